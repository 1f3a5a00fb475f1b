"""The SDK: `AsyncFluffy`, a cluster as an object.

    async with AsyncFluffy(["127.0.0.1:7101"], token) as fluffy:
        await fluffy.put("/admin/notes.txt", b"hello")
        assert await fluffy.get("/admin/notes.txt") == b"hello"

Any peer will do: the client goes on with another one when one dies, asks again when the cluster is busy or choosing a
leader (`patience_s`), and repeats writes under one request id, so they happen once. What cannot be done is raised as a
class of `fluffy.base.errors`, with a sentence for people and facts for programs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fluffy.base.errors import RangeIllegal
from fluffy.base.paths import parse_file_path, parse_path
from fluffy.client.download import Fetch, RemoteHead, download, remote_head
from fluffy.client.peers import PeerList, parse_peer
from fluffy.client.results import Entry, EntryPage, Fetched, FileInfo, Stored, info_of, page_of, stored_of
from fluffy.client.sinks import MemorySink, StreamSink
from fluffy.client.sources import Uploadable, source_of
from fluffy.client.transport import Call, Observer, Transport
from fluffy.client.upload import Progress, UploadOptions, new_request_id, remote_url, upload

# A leader's loss is over in 2 s, a node's restart in 10 s.
PATIENCE_S = 30.0
# A million files are copied and synced in 10 s; the server's own deadline is 60 s.
CHECKPOINT_S = 65.0
# The largest page the servers give.
PAGE_ENTRIES = 1000


class AsyncFluffy:
    """One user's access to one cluster. For one event loop; many calls may run at once.

    `peers`: addresses (`HOST:PORT` or URLs) of one or more nodes; the others are learned from them. `patience_s`: how
    long a call that gets nowhere is tried again; `reach_s`: the same while no peer can be reached at all (default: the
    same). `consistency`: `strong` (default of the cluster) or `local`, for reads.
    """

    def __init__(self, peers: str | Iterable[str], token: str | None = None, *, patience_s: float = PATIENCE_S,
                 reach_s: float | None = None, consistency: str | None = None, ca_file: Path | None = None,
                 observer: Observer | None = None) -> None:
        listed = (peers,) if isinstance(peers, str) else tuple(peers)
        self._peers = PeerList(parse_peer(peer) for peer in listed)
        self._transport = Transport(
            self._peers, token, patience_s=patience_s, reach_s=patience_s if reach_s is None else reach_s,
            consistency=consistency, ca_file=ca_file, observer=observer)

    async def __aenter__(self) -> AsyncFluffy:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client may be used again afterwards; it then opens new ones."""
        await self._transport.close()

    @property
    def peers(self) -> tuple[str, ...]:
        """The known peers, as URLs."""
        return self._peers.urls

    @property
    def peer(self) -> str:
        """The peer that is asked first."""
        return self._peers.current

    def use_peer(self, peer: str) -> None:
        """Ask this peer first from now on."""
        self._peers.prefer(parse_peer(peer))

    # Files

    async def put(self, path: str, source: Uploadable, *, content_type: str | None = None,
                  meta: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None,
                  if_match: str | None = None, create_only: bool = False, request_id: str | None = None,
                  progress: Progress | None = None) -> Stored:
        """Create or update the file at `path`, durably.

        `source`: bytes, the name of a local file (`str` or path), an open binary file, or an iterator of bytes. Files,
        bytes and seekable streams survive a broken connection; an iterator cannot be read twice. `if_match`: only when
        this etag is the present version; `create_only`: only when there is none.
        """
        options = UploadOptions(content_type, meta, tags, if_match, create_only, request_id)
        return stored_of(await upload(self._transport, path, await source_of(source), options, progress))

    async def get(self, path: str, *, offset: int = 0, length: int | None = None,
                  generation: int | None = None) -> bytes:
        """The file's bytes, verified; with `offset` or `length` only that part (verified by the peer alone)."""
        if offset or length is not None:
            return await self._get_part(path, offset, length, generation)
        sink = MemorySink()
        await Fetch(self._transport, path, sink, generation=generation).run()
        return bytes(sink.data)

    async def _get_part(self, path: str, offset: int, length: int | None, generation: int | None) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise RangeIllegal("offset and length are not negative")
        if length == 0:
            return b""
        last = "" if length is None else str(offset + length - 1)
        return await self._transport.ask_bytes(Call(
            "GET", remote_url("files", parse_file_path(path).text), query=_given(generation=generation),
            headers={"Range": f"bytes={offset}-{last}"}))

    async def write_to(self, path: str, write: Callable[[bytes], object], *, generation: int | None = None,
                       progress: Progress | None = None) -> RemoteHead:
        """Hand the file's bytes to `write`, in order, called in a thread.

        What was written cannot be taken back: raises TransferCorrupt at the end when it was not the file after all.
        """
        sink = StreamSink(write)
        return await Fetch(self._transport, path, sink, generation=generation, progress=progress).run()

    async def download(self, path: str, local: str | os.PathLike[str], *, resume: bool = True,
                       overwrite: bool = False, generation: int | None = None,
                       progress: Progress | None = None) -> Fetched:
        """Bring the file to `local` (a file name, or a folder that is there), verified, and renamed when whole.

        A broken download leaves `NAME.fluffy-part`, from which the next one goes on. A file that is there already is
        not touched without `overwrite`: LocalFileExists, unless it has the same bytes.
        """
        target, head = await download(self._transport, path, Path(local), resume=resume, overwrite=overwrite,
                                      generation=generation, progress=progress)
        return Fetched(path=str(parse_file_path(path)), local=target, size=head.size,
                       etag=head.etag.strip('"'), blake3=head.blake3, generation=head.generation, stale_s=head.stale_s)

    async def delete(self, path: str, *, purge: bool = False, recursive: bool = False,
                     if_match: str | None = None) -> Mapping[str, Any]:
        """Delete the file: to the trash, or with `purge` for good. `recursive`: also a folder with all in it."""
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return await self._write("DELETE", remote_url("files", parse_path(path).text), headers=headers,
                                 purge=purge or None, recursive=recursive or None)

    async def info(self, path: str, *, generation: int | None = None) -> FileInfo:
        """Everything known about a file or folder."""
        return info_of(await self._read(remote_url("info", parse_path(path).text), generation=generation))

    async def head(self, path: str, *, generation: int | None = None) -> RemoteHead:
        """Size, etag and hash of a file, cheaply."""
        return await remote_head(self._transport, path, generation)

    # Folders and listings

    async def mkdir(self, path: str, *, parents: bool = False) -> Mapping[str, Any]:
        """Make a folder (or, with one name, a bucket). `parents`: also those above, and no error when it is there."""
        return await self._write("PUT", remote_url("dirs", parse_path(path).text), parents=parents or None)

    async def rmdir(self, path: str) -> Mapping[str, Any]:
        """Remove an empty folder."""
        return await self._write("DELETE", remote_url("dirs", parse_path(path).text))

    async def ls_page(self, path: str = "/", *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of a folder, in key order, files and folders; `/` lists the buckets."""
        url = remote_url("dirs", parse_path(path).text)
        return page_of(await self._read(url, after=after, limit=limit, long=1), "entries")

    def ls(self, path: str = "/") -> AsyncIterator[Entry]:
        """A folder's files and folders, page by page."""
        return _all_pages(lambda after: self.ls_page(path, after=after))

    async def list_page(self, user: str, *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of all files of a user."""
        return page_of(await self._read("/v1/files", owner=user, after=after, limit=limit), "entries")

    def list(self, user: str) -> AsyncIterator[Entry]:
        """All files of a user, page by page."""
        return _all_pages(lambda after: self.list_page(user, after=after))

    async def search_page(self, query: str, *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of the files whose name has `query` in it."""
        return page_of(await self._read("/v1/search", q=query, after=after, limit=limit), "hits")

    def search(self, query: str) -> AsyncIterator[Entry]:
        """All files whose name has `query` in it, page by page."""
        return _all_pages(lambda after: self.search_page(query, after=after))

    # The cluster

    async def status(self) -> Mapping[str, Any]:
        """The cluster as the answering peer sees it."""
        return await self._read("/v1/status")

    async def nodes(self) -> Mapping[str, Any]:
        """`nodes`: each node with its address, state and space."""
        return await self._read("/v1/nodes")

    async def checkpoint(self) -> Mapping[str, Any]:
        """Make a checkpoint of the metadata now."""
        return await self._write("POST", "/v1/admin/checkpoint", answer_s=CHECKPOINT_S)

    async def _read(self, url: str, **query: object) -> Mapping[str, Any]:
        return (await self._transport.ask(Call("GET", url, query=_given(**query)))).document

    async def _write(self, method: str, url: str, *, headers: Mapping[str, str] | None = None,
                     answer_s: float | None = None, **query: object) -> Mapping[str, Any]:
        call = Call(method, url, query=_given(**query), headers=headers or {}, request_id=new_request_id())
        answer = await (self._transport.ask(call) if answer_s is None else self._transport.ask(call, answer_s=answer_s))
        return answer.document


def _given(**query: object) -> dict[str, str]:
    """The parameters that have a value; True is sent as 1."""
    return {key: "1" if value is True else str(value) for key, value in query.items() if value is not None}


async def _all_pages(page_after: Callable[[str | None], Any]) -> AsyncIterator[Entry]:
    after: str | None = None
    while True:
        page: EntryPage = await page_after(after)
        for entry in page.entries:
            yield entry
        if page.after is None or page.after == after:
            return
        after = page.after
