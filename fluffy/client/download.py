"""One download: verified, and resumed from where it broke off, on whichever peer still answers.

The first answer names the version (etag, BLAKE3, size); every continuation asks for the rest of exactly that version
(`Range` with `If-Range`), and gets the whole new one when the file was changed meanwhile. At the end the BLAKE3 of all
bytes must be the file's: a damaged transfer is fetched anew from another peer and never handed over.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
from blake3 import blake3

from fluffy.base.errors import (
    FileNotFound,
    LocalFileFailed,
    NotFound,
    PeerUnreachable,
    TransferCorrupt,
)
from fluffy.base.hashing import BLAKE3_BYTES
from fluffy.base.paths import parse_file_path
from fluffy.client.retry import Persistence
from fluffy.client.sinks import PartFile, Sink, exists_already
from fluffy.client.sources import local_failure
from fluffy.client.transport import STALL_S, Call, StallGuard, Transport, stale_age
from fluffy.client.upload import Progress, quoted, remote_url

# One damaged transfer is an accident, and the second comes from another peer; the third is the file's own hash.
DAMAGED_MAX = 3
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteHead:
    """What the head of an answer says about a version. `blake3` is None when the peer does not tell."""

    etag: str
    size: int
    blake3: str | None
    generation: int | None
    modified: datetime | None
    content_type: str
    stale_s: int | None


@dataclass(frozen=True, slots=True)
class Which:
    """Which version of a file is meant: the present one, an older `generation`, or what was there `at` a time."""

    generation: int | None = None
    at: str | None = None

    @property
    def query(self) -> dict[str, str]:
        said = {} if self.generation is None else {"generation": str(self.generation)}
        return said if self.at is None else said | {"at": self.at}


PRESENT = Which()


def head_of(headers: Mapping[str, str], peer: str) -> RemoteHead:
    """Read an answer's headers; for a 206 `size` is the whole file's. Raises PeerUnreachable for what is no peer's."""
    ranged = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    length = ranged[3] if ranged else headers.get("Content-Length", "")
    if not length.isdecimal() or not headers.get("ETag"):
        raise PeerUnreachable(f"what answers at {peer} is not a Fluffy peer", peer=peer)
    digest = headers.get("Fluffy-Blake3", "").lower()
    generation = headers.get("Fluffy-Generation", "")
    return RemoteHead(
        etag=headers["ETag"], size=int(length), blake3=digest if len(digest) == 2 * BLAKE3_BYTES else None,
        generation=int(generation) if generation.isdecimal() else None, modified=_date(headers.get("Last-Modified")),
        content_type=headers.get("Content-Type", ""), stale_s=stale_age(headers))


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None  # a date nobody can read is no date


async def remote_head(transport: Transport, path: str, which: Which = PRESENT) -> RemoteHead:
    """HEAD: what version is there. Raises FileNotFound."""
    call = Call("HEAD", remote_url("files", parse_file_path(path).text), query=which.query)

    async def once(peer: str, patience: Persistence) -> RemoteHead:
        async with transport.open(peer, call, StallGuard(patience.answer_s)) as response:
            return head_of(response.headers, peer)
    try:
        return await transport.persist(once)
    except NotFound as error:  # the answer to a HEAD has no body that could say it
        raise FileNotFound(f"there is no file at {parse_file_path(path)}") from error


class Fetch:
    """One file on its way into one sink."""

    def __init__(self, transport: Transport, path: str, sink: Sink, *, which: Which = PRESENT,
                 progress: Progress | None = None) -> None:
        self._transport = transport
        self._path = parse_file_path(path)
        self._sink = sink
        self._which = which
        self._progress = progress
        self._version: RemoteHead | None = None
        self._damaged = 0

    async def run(self, version: RemoteHead | None = None) -> RemoteHead:
        """Fill the sink; returns what was got, verified. `version`: whose beginning the sink holds already."""
        self._version = version
        return await self._transport.persist(self._once)

    async def _once(self, peer: str, patience: Persistence) -> RemoteHead:
        version = self._version
        if version is None or self._sink.offset < version.size or version.size == 0:
            version = await self._receive(peer, patience)
        await self._verify(version, peer, patience)
        return version

    async def _receive(self, peer: str, patience: Persistence) -> RemoteHead:
        stall = StallGuard(patience.answer_s)
        async with self._transport.open(peer, self._call(), stall) as response:
            stall.moved(seconds=STALL_S)
            version = await self._begin(response, peer)
            async for block in response.content.iter_any():
                stall.moved()
                await self._sink.add(block)
                patience.progressed(time.monotonic())
                if self._progress is not None:
                    self._progress(self._sink.offset, version.size)
        if self._sink.offset < version.size:
            raise PeerUnreachable(f"{peer} broke off after {self._sink.offset} of {version.size} bytes", peer=peer)
        return version

    def _call(self) -> Call:
        headers: dict[str, str] = {}
        if self._sink.offset and self._version is not None:
            headers = {"Range": f"bytes={self._sink.offset}-", "If-Range": quoted(self._version.etag)}
        return Call("GET", remote_url("files", self._path.text), query=self._which.query, headers=headers)

    async def _begin(self, response: aiohttp.ClientResponse, peer: str) -> RemoteHead:
        """Line the sink up with what comes: it goes on, or starts again with a version that is not the one begun."""
        version = head_of(response.headers, peer)
        ranged = _CONTENT_RANGE.match(response.headers.get("Content-Range", "")) if response.status == 206 else None
        same = self._version is not None and version.etag == self._version.etag
        if ranged is not None and (not same or int(ranged[1]) != self._sink.offset):
            raise PeerUnreachable(f"{peer} sent another part than the one asked for", peer=peer)
        if ranged is None and self._sink.offset:
            await self._sink.restart()
        self._version = version
        return version

    async def _verify(self, version: RemoteHead, peer: str, patience: Persistence) -> None:
        wanted = version.blake3 or await self._hash_of(version, peer, patience.answer_s)
        found = await self._sink.digest()
        if wanted in (found.hex(), None) and self._sink.offset == version.size:
            return
        self._damaged += 1
        self._version = None
        await self._sink.restart()
        raise TransferCorrupt(
            f"the bytes of {self._path} that came from {peer} do not match the file's hash; nothing was kept",
            retry="never" if self._damaged >= DAMAGED_MAX else "other-replica", peer_asked=peer)

    async def _hash_of(self, version: RemoteHead, peer: str, answer_s: float) -> str | None:
        """The BLAKE3 from `/v1/info`, for peers that do not send it along with the bytes.

        None: nobody knows it, the file was changed in parts; the peer has checked each of its chunks.
        """
        if self._which.at is not None:
            return None
        call = Call("GET", remote_url("info", self._path.text), query=self._which.query)
        answer = await self._transport.ask_peer(peer, call, answer_s=answer_s)
        if quoted(str(answer.document.get("etag", ""))) != version.etag:
            self._version = None
            await self._sink.restart()
            raise PeerUnreachable(f"{self._path} changed while it was being downloaded", peer=peer)
        told = answer.document.get("blake3")
        return str(told).lower() if told else None


async def download(transport: Transport, path: str, local: Path, *, resume: bool, overwrite: bool,
                   which: Which = PRESENT, progress: Progress | None = None) -> tuple[Path, RemoteHead]:
    """Bring the file at `path` to `local`, whole and verified, or leave a part to go on from.

    Gives the local file (inside `local`, when that is a folder) and the version it is. Raises LocalFileExists unless
    `overwrite`, except when the file there has the very bytes already.
    """
    target, is_there = await asyncio.to_thread(_target_of, local, parse_file_path(path).name)
    if is_there and not overwrite:
        return target, await _same_already(transport, path, target, which)
    part = PartFile(target)
    try:
        await part.open(resume=resume)
        version = await _begun_version(transport, path, part, which) if part.offset else None
        version = await Fetch(transport, path, part, which=which, progress=progress).run(version)
        await part.finish(overwrite=overwrite)
        return target, version
    except TransferCorrupt:
        await part.discard()
        raise
    finally:
        await part.close()


def _target_of(local: Path, name: str) -> tuple[Path, bool]:
    target = local / name if local.is_dir() else local
    if target.is_dir():
        raise LocalFileFailed(f"{target} is a folder on this machine", local=str(target))
    return target, os.path.lexists(target)


async def _begun_version(transport: Transport, path: str, part: PartFile, which: Which) -> RemoteHead | None:
    """The version that an old part can be the beginning of; None (and an emptied part) when it cannot.

    A part older than the version is of another one. What this cheap look misses, the hash finds at the end.
    """
    version = await remote_head(transport, path, which)
    older = version.modified is not None and part.mtime_s < version.modified.timestamp()
    if older or part.offset > version.size:
        await part.restart()
        return None
    return version


async def _same_already(transport: Transport, path: str, target: Path, which: Which) -> RemoteHead:
    version = await remote_head(transport, path, which)
    if not await asyncio.to_thread(_has_bytes, target, version):
        raise exists_already(target)
    return version


def _has_bytes(target: Path, version: RemoteHead) -> bool:
    """Whether the local file is that version already."""
    try:
        return (target.is_file() and target.stat().st_size == version.size
                and blake3(max_threads=1).update_mmap(target).hexdigest() == version.blake3)
    except OSError as error:
        raise local_failure(target, error) from error
