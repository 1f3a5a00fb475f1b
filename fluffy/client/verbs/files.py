"""The verbs on files: bytes in and out, a part of them, names and labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fluffy.base.errors import RangeIllegal
from fluffy.base.paths import parse_file_path, parse_path
from fluffy.client.download import Fetch, RemoteHead, Which, download, remote_head
from fluffy.client.parts import put_source
from fluffy.client.results import Fetched, FileInfo, Stored, info_of, known_time, stored_of
from fluffy.client.results_people import SignedUrl
from fluffy.client.sinks import MemorySink, StreamSink
from fluffy.client.sources import Uploadable, source_of
from fluffy.client.transport import Call
from fluffy.client.upload import APPEND, Progress, UploadOptions, Way, remote_url, upload
from fluffy.client.verbs.asking import Asking, LockToken, Moment, guards, moment_text, token_text, told

SIGN_TTL_S = 3600


class FileVerbs(Asking):
    """Files. Every change takes `lock`: the lock (or its token) under which it is made."""

    async def put(self, path: str, source: Uploadable, *, content_type: str | None = None,
                  meta: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None,
                  headers: Mapping[str, str] | None = None, if_match: str | None = None, create_only: bool = False,
                  lock: LockToken | None = None, request_id: str | None = None,
                  progress: Progress | None = None) -> Stored:
        """Create or update the file at `path`, durably.

        `source`: bytes, the name of a local file (`str` or path), an open binary file, or an iterator of bytes. Files,
        bytes and seekable streams survive a broken connection; an iterator cannot be read twice. Large ones (64 MiB) go
        in parts, several at once, and the same call goes on where it was cut, also after a restart of the program.
        `if_match`: only when this etag is the present version; `create_only`: only when there is none. `headers`: kept
        with the file, as Cache-Control and its like (docs/API.md).
        """
        options = UploadOptions(content_type, meta, tags, if_match, create_only, request_id, _token(lock), headers)
        return stored_of(await put_source(self._transport, path, await source_of(source), options, progress,
                                          state_folder=self._state_folder))

    async def append(self, path: str, source: Uploadable, *, if_match: str | None = None,
                     lock: LockToken | None = None, request_id: str | None = None,
                     progress: Progress | None = None) -> Stored:
        """Put bytes behind the last one of the file, which is made when missing; `offset` is where they begin.

        What one call brings stays together, however many append at once.
        """
        options = UploadOptions(if_match=if_match, request_id=request_id, lock=_token(lock))
        return stored_of(await upload(self._transport, path, await source_of(source), options, progress, APPEND))

    async def patch(self, path: str, offset: int, data: bytes, *, if_match: str | None = None,
                    lock: LockToken | None = None, request_id: str | None = None) -> Stored:
        """Overwrite the bytes from `offset` on, at most to behind the present end; a new generation of the file."""
        if offset < 0 or not data:
            raise RangeIllegal("a patch begins at 0 or later, and has at least one byte")
        way = Way("PATCH", headers={"Content-Range": f"bytes {offset}-{offset + len(data) - 1}/*"}, whole=False)
        options = UploadOptions(if_match=if_match, request_id=request_id, lock=_token(lock))
        return stored_of(await upload(self._transport, path, await source_of(data), options, None, way))

    async def touch(self, path: str, *, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Make an empty file, or give the one that is there the present time."""
        return await self._write("POST", _file_url(path), headers=guards(lock=lock), touch=True)

    async def get(self, path: str, *, offset: int = 0, length: int | None = None, generation: int | None = None,
                  at: Moment | None = None) -> bytes:
        """The file's bytes, verified; with `offset` or `length` only that part (verified by the peer alone).

        `generation`: an older one; `at`: the one that was there at that time.
        """
        if offset or length is not None:
            return await self._get_part(path, offset, length, Which(generation, moment_text(at)).query)
        sink = MemorySink()
        await Fetch(self._transport, path, sink, which=Which(generation, moment_text(at))).run()
        return bytes(sink.data)

    async def _get_part(self, path: str, offset: int, length: int | None, query: Mapping[str, str]) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise RangeIllegal("offset and length are not negative")
        if length == 0:
            return b""
        last = "" if length is None else str(offset + length - 1)
        return await self._transport.ask_bytes(
            Call("GET", _file_url(path), query=query, headers={"Range": f"bytes={offset}-{last}"}))

    async def write_to(self, path: str, write: Callable[[bytes], object], *, generation: int | None = None,
                       at: Moment | None = None, progress: Progress | None = None) -> RemoteHead:
        """Hand the file's bytes to `write`, in order, called in a thread.

        What was written cannot be taken back: raises TransferCorrupt at the end when it was not the file after all.
        """
        sink = StreamSink(write)
        which = Which(generation, moment_text(at))
        return await Fetch(self._transport, path, sink, which=which, progress=progress).run()

    async def download(self, path: str, local: str | os.PathLike[str], *, resume: bool = True,
                       overwrite: bool = False, generation: int | None = None, at: Moment | None = None,
                       progress: Progress | None = None) -> Fetched:
        """Bring the file to `local` (a file name, or a folder that is there), verified, and renamed when whole.

        A broken download leaves `NAME.fluffy-part`, from which the next one goes on. A file that is there already is
        not touched without `overwrite`: LocalFileExists, unless it has the same bytes.
        """
        target, head = await download(self._transport, path, Path(local), resume=resume, overwrite=overwrite,
                                      which=Which(generation, moment_text(at)), progress=progress)
        return Fetched(path=str(parse_file_path(path)), local=target, size=head.size,
                       etag=head.etag.strip('"'), blake3=head.blake3, generation=head.generation, stale_s=head.stale_s)

    async def delete(self, path: str, *, purge: bool = False, recursive: bool = False, if_match: str | None = None,
                     generation: int | None = None, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Delete the file: to the trash, or with `purge` for good. `recursive`: also a folder with all in it.

        `generation` (with `purge`): not the file, only that old generation of it.
        """
        return await self._write("DELETE", remote_url("files", parse_path(path).text),
                                 headers=guards(if_match=if_match, lock=lock), purge=purge, recursive=recursive,
                                 generation=generation)

    async def info(self, path: str, *, generation: int | None = None) -> FileInfo:
        """Everything known about a file or folder."""
        return info_of(await self._read(remote_url("info", parse_path(path).text), generation=generation))

    async def head(self, path: str, *, generation: int | None = None, at: Moment | None = None) -> RemoteHead:
        """Size, etag and hash of a file, cheaply."""
        return await remote_head(self._transport, path, Which(generation, moment_text(at)))

    async def move(self, src: str, dst: str, *, overwrite: bool = False, parents: bool = True,
                   if_match: str | None = None, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Move or rename a file or folder, in one step whatever its size.

        `dst` is the new path itself, not a folder to move into. `overwrite`: a file that stands there goes to the
        trash; `parents`: make the folders above `dst`; `if_match`: only when `src` still has this etag.
        """
        document = told(src=_path(src), dst=_path(dst), overwrite=overwrite, parents=parents, if_match=if_match)
        return await self._write("POST", "/v1/move", document=document, headers=guards(lock=lock))

    async def copy(self, src: str, dst: str, *, overwrite: bool = False, parents: bool = True,
                   generation: int | None = None, meta: Mapping[str, str] | None = None,
                   tags: Mapping[str, str] | None = None, content_type: str | None = None,
                   if_match: str | None = None, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Copy a file or folder in one step, without copying a byte. Arguments as in `move`.

        `meta`, `tags`, `content_type`: what the copy has instead of its model's.
        """
        document = told(src=_path(src), dst=_path(dst), overwrite=overwrite, parents=parents, generation=generation,
                        meta=meta, tags=tags, content_type=content_type, if_match=if_match)
        return await self._write("POST", "/v1/copy", document=document, headers=guards(lock=lock))

    async def set_tags(self, path: str, tags: Mapping[str, str], *, if_match: str | None = None,
                       lock: LockToken | None = None) -> Mapping[str, Any]:
        """Give the file these tags, and no others. Its bytes and generation stay."""
        return await self._write("PUT", remote_url("tags", parse_file_path(path).text), document={"tags": dict(tags)},
                                 headers=guards(if_match=if_match, lock=lock))

    async def set_meta(self, path: str, meta: Mapping[str, str], *, content_type: str | None = None,
                       if_match: str | None = None, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Give the file this metadata, and no other; with `content_type` also that. Its bytes and generation stay."""
        return await self._write("PUT", remote_url("meta", parse_file_path(path).text),
                                 document=told(meta=dict(meta), content_type=content_type),
                                 headers=guards(if_match=if_match, lock=lock))

    async def sign(self, path: str, *, method: str = "GET", ttl_s: int = SIGN_TTL_S) -> SignedUrl:
        """An address that needs no token, for exactly this file and method (GET, HEAD or PUT), for `ttl_s`."""
        document = await self._write("POST", "/v1/sign",
                                     document={"path": _path(path), "method": method, "ttl_s": ttl_s})
        url = str(document.get("url", ""))
        return SignedUrl(url=self._peers.current + url if url.startswith("/") else url, method=method,
                         path=_path(path), expires=known_time(document, "expires"))


def _file_url(path: str) -> str:
    return remote_url("files", parse_file_path(path).text)


def _path(path: str) -> str:
    return str(parse_path(path))


def _token(lock: LockToken | None) -> str | None:
    return None if lock is None else token_text(lock)
