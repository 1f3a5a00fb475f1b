"""`Fluffy`: the SDK for programs without an event loop. The same methods as `AsyncFluffy`, blocking.

    with Fluffy(["127.0.0.1:7101"], token) as fluffy:
        fluffy.put("/admin/notes.txt", Path("notes.txt"))

One daemon thread runs the loop; any thread may call. Ctrl-C during a call cancels it, waits until it has tidied up (a
broken download keeps its part), and is raised on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from fluffy.client.api import PAGE_ENTRIES, PATIENCE_S, AsyncFluffy
from fluffy.client.download import RemoteHead
from fluffy.client.results import Entry, EntryPage, Fetched, FileInfo, Stored
from fluffy.client.sources import Uploadable
from fluffy.client.transport import Observer
from fluffy.client.trees import OnFile, TreeResult, delete_tree, get_tree, put_tree
from fluffy.client.upload import Progress

T = TypeVar("T")

# Tidying up after Ctrl-C writes at most a few buffered megabytes.
TIDY_S = 10.0


class Fluffy:
    """One user's access to one cluster, blocking. See `AsyncFluffy` for the arguments and each method."""

    def __init__(self, peers: str | Iterable[str], token: str | None = None, *, patience_s: float = PATIENCE_S,
                 reach_s: float | None = None, consistency: str | None = None, ca_file: Path | None = None,
                 observer: Observer | None = None) -> None:
        self._client = AsyncFluffy(peers, token, patience_s=patience_s, reach_s=reach_s, consistency=consistency,
                                   ca_file=ca_file, observer=observer)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fluffy-client", daemon=True)
        self._thread.start()
        self._closed = False
        self._running: set[Future[Any]] = set()

    def __enter__(self) -> Fluffy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Harmless a second time."""
        if self._closed:
            return
        self._run(self._client.close())
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        tidied = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                tidied.set()
        if self._closed:
            work.close()
            raise RuntimeError("this Fluffy is closed")
        future: Future[T] = asyncio.run_coroutine_threadsafe(watched(), self._loop)
        self._running.add(future)
        try:
            return future.result()
        except CancelledError:
            tidied.wait(TIDY_S)
            raise
        except BaseException:
            if future.cancel():  # we were interrupted, not it
                tidied.wait(TIDY_S)
            raise
        finally:
            self._running.discard(future)

    def interrupt(self) -> None:
        """Cancel what all threads are waiting for now: their calls raise `concurrent.futures.CancelledError`."""
        for future in tuple(self._running):
            future.cancel()

    def _pull(self, entries: AsyncIterator[Entry]) -> Iterator[Entry]:
        while True:
            try:
                yield self._run(_next(entries))
            except StopAsyncIteration:
                return

    @property
    def peers(self) -> tuple[str, ...]:
        return self._client.peers

    @property
    def peer(self) -> str:
        return self._client.peer

    def use_peer(self, peer: str) -> None:
        self._client.use_peer(peer)

    # Files

    def put(self, path: str, source: Uploadable, *, content_type: str | None = None,
            meta: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None, if_match: str | None = None,
            create_only: bool = False, request_id: str | None = None, progress: Progress | None = None) -> Stored:
        return self._run(self._client.put(
            path, source, content_type=content_type, meta=meta, tags=tags, if_match=if_match, create_only=create_only,
            request_id=request_id, progress=progress))

    def get(self, path: str, *, offset: int = 0, length: int | None = None, generation: int | None = None) -> bytes:
        return self._run(self._client.get(path, offset=offset, length=length, generation=generation))

    def write_to(self, path: str, write: Callable[[bytes], object], *, generation: int | None = None,
                 progress: Progress | None = None) -> RemoteHead:
        return self._run(self._client.write_to(path, write, generation=generation, progress=progress))

    def download(self, path: str, local: str | os.PathLike[str], *, resume: bool = True, overwrite: bool = False,
                 generation: int | None = None, progress: Progress | None = None) -> Fetched:
        return self._run(self._client.download(
            path, local, resume=resume, overwrite=overwrite, generation=generation, progress=progress))

    def delete(self, path: str, *, purge: bool = False, recursive: bool = False,
               if_match: str | None = None) -> Mapping[str, Any]:
        return self._run(self._client.delete(path, purge=purge, recursive=recursive, if_match=if_match))

    def info(self, path: str, *, generation: int | None = None) -> FileInfo:
        return self._run(self._client.info(path, generation=generation))

    def head(self, path: str, *, generation: int | None = None) -> RemoteHead:
        return self._run(self._client.head(path, generation=generation))

    # Folders and listings

    def mkdir(self, path: str, *, parents: bool = False) -> Mapping[str, Any]:
        return self._run(self._client.mkdir(path, parents=parents))

    def rmdir(self, path: str) -> Mapping[str, Any]:
        return self._run(self._client.rmdir(path))

    def ls_page(self, path: str = "/", *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        return self._run(self._client.ls_page(path, after=after, limit=limit))

    def ls(self, path: str = "/") -> Iterator[Entry]:
        return self._pull(self._client.ls(path))

    def list_page(self, user: str, *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        return self._run(self._client.list_page(user, after=after, limit=limit))

    def list(self, user: str) -> Iterator[Entry]:
        return self._pull(self._client.list(user))

    def search_page(self, query: str, *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        return self._run(self._client.search_page(query, after=after, limit=limit))

    def search(self, query: str) -> Iterator[Entry]:
        return self._pull(self._client.search(query))

    # Whole folders

    def put_tree(self, local: str | os.PathLike[str], remote: str, on_file: OnFile | None = None) -> TreeResult:
        return self._run(put_tree(self._client, Path(local), remote, on_file))

    def get_tree(self, remote: str, local: str | os.PathLike[str], *, overwrite: bool = False,
                 on_file: OnFile | None = None) -> TreeResult:
        return self._run(get_tree(self._client, remote, Path(local), overwrite=overwrite, on_file=on_file))

    def delete_tree(self, remote: str, *, purge: bool = False, on_file: OnFile | None = None) -> TreeResult:
        return self._run(delete_tree(self._client, remote, purge=purge, on_file=on_file))

    # The cluster

    def status(self) -> Mapping[str, Any]:
        return self._run(self._client.status())

    def nodes(self) -> Mapping[str, Any]:
        return self._run(self._client.nodes())

    def checkpoint(self) -> Mapping[str, Any]:
        return self._run(self._client.checkpoint())


async def _next(entries: AsyncIterator[Entry]) -> Entry:
    return await anext(entries)
