"""Large uploads: by parts, several at once, and gone on with after a cut, at another peer, after a restart.

The source is read once, in order, by one thread: each part is hashed for itself and into the file's hash, and is sent
unless the cluster has those very bytes already. So going on costs reading what was sent, and sending only what was not,
at most one part for each stream twice; and bytes that changed on this side since are found out and sent anew. At the
end the parts are named by their hashes, and the file's hash is what was read here, from the first byte to the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from fluffy.base.errors import (
    AccessDenied,
    Conflict,
    FluffyError,
    IsFile,
    IsFolder,
    LocalFileFailed,
    NotFound,
    PartsMissing,
    PreconditionFailed,
    QuotaExceeded,
    RequestError,
    RequestIdReused,
    TooLarge,
    TransferCorrupt,
    Unavailable,
    UploadFinished,
    UploadNotFound,
)
from fluffy.base.paths import parse_file_path
from fluffy.base.units import KIB, MIB
from fluffy.client.download import remote_head
from fluffy.client.ranges import Ranges, open_ranges
from fluffy.client.results import number_in, text_in
from fluffy.client.resume import Record, Resumes, key_of
from fluffy.client.sessions import UploadSession
from fluffy.client.sources import MemorySource, Source
from fluffy.client.thread_names import UPLOAD_THREADS
from fluffy.client.transport import Call, Transport
from fluffy.client.upload import Progress, UploadOptions, new_request_id, upload
from fluffy.services.groups import first_failure

# Below, sending all again costs less than the log entries of the parts.
PARTS_FROM_BYTES = 64 * MIB
# Four streams fill a wire that one does not, and bound the memory to four parts and the one that is read.
STREAMS = 4
PARTS_MAX = 10_000
# A session may vanish under us, or a part be replaced by somebody else; each time what is there is asked anew.
BEGINNINGS_MAX = 4
HEAD_BYTES = 64 * KIB
# What is read at once where nothing is sent.
BLOCK_BYTES = 8 * MIB
# The same upload, gone on with later, would meet the same refusal. (Locks end, people log in again, lines mend.)
HOPELESS = (PreconditionFailed, QuotaExceeded, TooLarge, IsFile, IsFolder, PartsMissing, LocalFileFailed,
            TransferCorrupt)
T = TypeVar("T")


async def put_source(transport: Transport, path: str, source: Source, options: UploadOptions,
                     progress: Progress | None = None, *, state_folder: Path) -> dict[str, Any]:
    """Store `source` at `path`, in one request or, when it is large and can be read again, in parts.

    The cluster's answer as it is. `state_folder`: where this machine remembers unfinished uploads.
    """
    if (source.size or 0) < PARTS_FROM_BYTES:
        return await upload(transport, path, source, options, progress)
    ranges = await asyncio.to_thread(open_ranges, source)
    if ranges is None:
        return await upload(transport, path, source, options, progress)
    thread = ThreadPoolExecutor(1, UPLOAD_THREADS)
    try:
        return await _PartsUpload(transport, path, ranges, options, progress, Resumes(state_folder / "uploads"),
                                  thread).run()
    finally:
        thread.submit(ranges.close)
        thread.shutdown(wait=False)


@dataclass(frozen=True, slots=True)
class _Piece:
    number: int
    data: bytes | memoryview
    digest: bytes


@dataclass(frozen=True, slots=True)
class _There:
    """What the cluster has: hashes of parts by number; or the file that the session became."""

    parts: Mapping[int, str]
    file: Mapping[str, Any] | None


class _PartsUpload:
    """One upload. Everything that blocks runs in its one thread, in order."""

    def __init__(self, transport: Transport, path: str, ranges: Ranges, options: UploadOptions,
                 progress: Progress | None, resumes: Resumes, thread: ThreadPoolExecutor) -> None:
        self._transport = transport
        self._path = parse_file_path(path).text
        self._ranges = ranges
        self._options = options
        self._progress = progress
        self._resumes = resumes
        self._thread = thread
        self._key = ""
        self._hash = blake3()
        self._sent: dict[int, int] = {}
        self._digests: dict[int, bytes] = {}

    async def run(self) -> dict[str, Any]:
        self._key = await self._key_of()
        record = await self._in_thread(lambda: self._resumes.load(self._key))
        for attempt in range(1, BEGINNINGS_MAX + 1):
            session = None
            try:
                session, record = await self._session(record, attempt)
                return await self._through(session)
            except FluffyError as error:
                if attempt == BEGINNINGS_MAX or not isinstance(error, UploadNotFound | UploadFinished | PartsMissing):
                    await self._give_up(session, error)
                    raise
                if isinstance(error, UploadNotFound):
                    record = None
            except asyncio.CancelledError:
                self._tell()
                raise
        raise AssertionError("the last attempt returns or raises")

    async def _key_of(self) -> str:
        """By what an upload is known again: where to, and which bytes as far as that is seen without reading all."""
        status = (await self._transport.ask(Call("GET", "/v1/status"))).document
        cluster = status.get("cluster")
        head = await self._in_thread(lambda: blake3(self._ranges.read(0, min(HEAD_BYTES, self._ranges.size))))
        return key_of(str(cluster.get("uuid") if isinstance(cluster, dict) else cluster), self._path,
                      str(self._ranges.size), self._ranges.identity, head.hexdigest(), self._options.request_id or "")

    async def _session(self, record: Record | None, attempt: int) -> tuple[UploadSession, Record]:
        """The session to go on with, or a new one; its record is written before anything is sent."""
        if record is None:
            wanted = self._options.request_id
            request_id = (new_request_id() if wanted is None else
                          wanted if attempt == 1 else key_of(wanted, str(attempt)))
            record = Record(request_id, "", "/" + self._path, self._ranges.identity)
            await self._remember(record)
        if record.upload_id:
            return UploadSession(self._transport, record.upload_id, lock=self._options.lock), record
        # Under the same id as before, if the program ended before it got an answer: then this is the same session.
        try:
            session = await UploadSession.begin(
                self._transport, self._path, replace(self._options, request_id=record.request_id),
                size=self._ranges.size)
        except (RequestError, NotFound, Conflict):
            # The cluster would give a repetition the same refusal, whatever becomes of its reason.
            await self._forget()
            raise
        record = replace(record, upload_id=session.id)
        await self._remember(record)
        return session, record

    async def _remember(self, record: Record) -> None:
        await self._in_thread(lambda: self._resumes.save(self._key, record))

    async def _forget(self) -> None:
        await self._in_thread(lambda: self._resumes.drop(self._key))

    async def _through(self, session: UploadSession) -> dict[str, Any]:
        there, part_size = await self._there(session)
        self._hash, self._sent, self._digests = blake3(), {}, {}
        await self._send_all(session, there, part_size)
        digest = self._hash.digest()
        await self._in_thread(self._ranges.check)
        if there.file is None:
            stored = (await session.complete(
                [{"n": number, "blake3": part.hex()} for number, part in sorted(self._digests.items())],
                size=self._ranges.size, blake3=digest)).document
        else:
            stored = there.file
            await self._check_still_there(stored, digest)
        if stored.get("blake3") != digest.hex() or stored.get("size") != self._ranges.size:
            raise TransferCorrupt("the cluster stored other bytes than those that were sent; upload the file again",
                                  retry="never", sent=digest.hex(), stored=stored.get("blake3"))
        await self._forget()
        return dict(stored)

    async def _check_still_there(self, file: Mapping[str, Any], digest: bytes) -> None:
        """Of a session that was complete already: is that the answer to this upload?

        Under the caller's own request id it is, or the id was used for something else. Otherwise only when that version
        is still the present one: a record may be old. Raises UploadNotFound when it is not.
        """
        is_same = file.get("blake3") == digest.hex()
        if self._options.request_id is not None:
            if not is_same:
                raise RequestIdReused
            return
        if not is_same or await self._present_generation() != file.get("generation"):
            raise UploadNotFound

    async def _present_generation(self) -> int | None:
        try:
            return (await remote_head(self._transport, self._path)).generation
        except NotFound:
            return None

    async def _there(self, session: UploadSession) -> tuple[_There, int]:
        """What the session has, and the size of its parts. Raises UploadNotFound for one that is of no use here."""
        try:
            told = await session.look()
        except AccessDenied as error:
            raise UploadNotFound from error  # begun by another user of this machine
        file = told.get("file")
        if isinstance(file, dict):
            return _There({}, file), max(1, self._ranges.size)
        part_size = number_in(told, "part_size")
        if told.get("size") != self._ranges.size or not self._ranges.size <= part_size * PARTS_MAX:
            raise UploadNotFound
        parts = told.get("parts")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise Unavailable("a peer's answer has no parts; is it another version of Fluffy?")
        return _There({number_in(part, "n"): text_in(part, "blake3") for part in parts}, None), part_size

    async def _send_all(self, session: UploadSession, there: _There, part_size: int) -> None:
        """Read everything in order; send what is not there."""
        slots = asyncio.Semaphore(STREAMS)
        size = self._ranges.size
        step = part_size if there.file is None else BLOCK_BYTES
        try:
            async with asyncio.TaskGroup() as group:
                for number, offset in enumerate(range(0, size, step), start=1):
                    await slots.acquire()
                    length = min(step, size - offset)
                    piece = await self._in_thread(partial(self._read, number, offset, length))
                    self._digests[number] = piece.digest
                    if there.file is not None or there.parts.get(number) == piece.digest.hex():
                        self._count(number, length)
                        slots.release()
                    else:
                        group.create_task(self._put(session, piece, slots))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures

    def _read(self, number: int, offset: int, length: int) -> _Piece:
        """Blocking."""
        data = self._ranges.read(offset, length)
        self._hash.update(data)
        return _Piece(number, data, blake3(data).digest())

    async def _put(self, session: UploadSession, piece: _Piece, slots: asyncio.Semaphore) -> None:
        try:
            await session.put_part(piece.number, MemorySource(piece.data, piece.digest),
                                   lambda sent, total: self._count(piece.number, sent))
        finally:
            slots.release()

    def _count(self, number: int, sent: int) -> None:
        self._sent[number] = sent
        if self._progress is not None:
            self._progress(sum(self._sent.values()), self._ranges.size)

    async def _give_up(self, session: UploadSession | None, error: FluffyError) -> None:
        """End the session when going on cannot help, so that nothing is held for it; else leave it and say so."""
        if not isinstance(error, HOPELESS):
            self._tell()
            return
        await self._forget()
        if session is not None:
            try:
                await session.abort()
            except FluffyError as failure:
                # It ends by its lease.
                error.facts.setdefault("upload_not_ended", failure.code())

    def _tell(self) -> None:
        """Somebody may want to know that the same call goes on from here."""
        self._transport.observer.resumable("/" + self._path, sum(self._sent.values()), self._ranges.size)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
