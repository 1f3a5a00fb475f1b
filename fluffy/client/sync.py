"""`Fluffy`: the SDK for programs without an event loop. The same verbs as `AsyncFluffy`, blocking.

    with Fluffy(["127.0.0.1:7101"], token) as fluffy:
        fluffy.put("/admin/notes.txt", Path("notes.txt"))

One daemon thread runs the loop; any thread may call. Each verb is made from the one of `AsyncFluffy`, with its
arguments and its documentation; a test sees to it that none is missing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from fluffy.client.api import PATIENCE_S, AsyncFluffy
from fluffy.client.loop_thread import LoopThread
from fluffy.client.sync_lock import SyncLock
from fluffy.client.transport import Observer
from fluffy.client.trees import OnFile, TreeResult, delete_tree, get_tree, put_tree
from fluffy.client.verbs.asking import LockToken
from fluffy.client.verbs.locks import LOCK_TTL_S

P = ParamSpec("P")
T = TypeVar("T")

AsyncVerb = Callable[Concatenate[AsyncFluffy, P], Coroutine[Any, Any, T]]
AsyncListing = Callable[Concatenate[AsyncFluffy, P], AsyncIterator[T]]


def _waits(verb: AsyncVerb[P, T]) -> Callable[Concatenate[Fluffy, P], T]:
    @functools.wraps(verb)
    def waiting(self: Fluffy, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(verb(self._client, *args, **kwargs))
    return waiting


def _lists(verb: AsyncListing[P, T]) -> Callable[Concatenate[Fluffy, P], Iterator[T]]:
    @functools.wraps(verb)
    def listing(self: Fluffy, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._thread.pull(verb(self._client, *args, **kwargs))
    return listing


class Fluffy:
    """One user's access to one cluster, blocking. See `AsyncFluffy` for the arguments and each method."""

    def __init__(self, peers: str | Iterable[str], token: str | None = None, *, patience_s: float = PATIENCE_S,
                 reach_s: float | None = None, consistency: str | None = None, ca_file: Path | None = None,
                 observer: Observer | None = None) -> None:
        self._client = AsyncFluffy(peers, token, patience_s=patience_s, reach_s=reach_s, consistency=consistency,
                                   ca_file=ca_file, observer=observer)
        self._thread = LoopThread("fluffy-client")

    def __enter__(self) -> Fluffy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Harmless a second time."""
        if not self._thread.is_closed:
            self._thread.run(self._client.close())
            self._thread.close()

    def interrupt(self) -> None:
        """Cancel what all threads are waiting for now: their calls raise `concurrent.futures.CancelledError`."""
        self._thread.interrupt()

    @property
    def peers(self) -> tuple[str, ...]:
        """The known peers, as URLs."""
        return self._client.peers

    @property
    def peer(self) -> str:
        """The peer that is asked first."""
        return self._client.peer

    def use_peer(self, peer: str) -> None:
        """Ask this peer first from now on."""
        self._client.use_peer(peer)

    # Files
    put = _waits(AsyncFluffy.put)
    append = _waits(AsyncFluffy.append)
    patch = _waits(AsyncFluffy.patch)
    touch = _waits(AsyncFluffy.touch)
    get = _waits(AsyncFluffy.get)
    write_to = _waits(AsyncFluffy.write_to)
    download = _waits(AsyncFluffy.download)
    delete = _waits(AsyncFluffy.delete)
    info = _waits(AsyncFluffy.info)
    head = _waits(AsyncFluffy.head)
    move = _waits(AsyncFluffy.move)
    copy = _waits(AsyncFluffy.copy)
    set_tags = _waits(AsyncFluffy.set_tags)
    set_meta = _waits(AsyncFluffy.set_meta)
    sign = _waits(AsyncFluffy.sign)

    # Folders and listings
    mkdir = _waits(AsyncFluffy.mkdir)
    rmdir = _waits(AsyncFluffy.rmdir)
    ls_page = _waits(AsyncFluffy.ls_page)
    ls = _lists(AsyncFluffy.ls)
    list_page = _waits(AsyncFluffy.list_page)
    list = _lists(AsyncFluffy.list)
    search_page = _waits(AsyncFluffy.search_page)
    search = _lists(AsyncFluffy.search)
    changes = _lists(AsyncFluffy.changes)

    # Whole folders
    def put_tree(self, local: str | os.PathLike[str], remote: str, on_file: OnFile | None = None) -> TreeResult:
        """See `trees.put_tree`."""
        return self._thread.run(put_tree(self._client, Path(local), remote, on_file))

    def get_tree(self, remote: str, local: str | os.PathLike[str], *, overwrite: bool = False,
                 on_file: OnFile | None = None) -> TreeResult:
        """See `trees.get_tree`."""
        return self._thread.run(get_tree(self._client, remote, Path(local), overwrite=overwrite, on_file=on_file))

    def delete_tree(self, remote: str, *, purge: bool = False, lock: LockToken | None = None,
                    on_file: OnFile | None = None) -> TreeResult:
        """See `trees.delete_tree`."""
        return self._thread.run(delete_tree(self._client, remote, purge=purge, lock=lock, on_file=on_file))

    # The past
    versions = _waits(AsyncFluffy.versions)
    restore = _waits(AsyncFluffy.restore)
    restore_at = _waits(AsyncFluffy.restore_at)
    trash_page = _waits(AsyncFluffy.trash_page)
    trash = _lists(AsyncFluffy.trash)
    empty_trash = _waits(AsyncFluffy.empty_trash)
    undelete = _waits(AsyncFluffy.undelete)
    diff_page = _waits(AsyncFluffy.diff_page)
    diff = _lists(AsyncFluffy.diff)

    # Locks
    def lock(self, path: str, *, mode: str = "exclusive", ttl_s: float = LOCK_TTL_S, wait_s: float = 0,
             note: str = "") -> SyncLock:
        """Take a lock on a file, or on a folder with all in it, for `ttl_s`; `with` keeps and then releases it.

        `mode`: `exclusive`, or `shared` with other shared ones. While somebody else holds the path, it is waited for
        `wait_s`; then raises FileLocked, which names the holder.
        """
        lock = self._client.lock(path, mode=mode, ttl_s=ttl_s, wait_s=wait_s, note=note)
        self._thread.run(lock.take())
        return SyncLock(lock, self._thread)

    renew_lock = _waits(AsyncFluffy.renew_lock)
    take_lock = _waits(AsyncFluffy.take_lock)
    unlock = _waits(AsyncFluffy.unlock)
    locks_page = _waits(AsyncFluffy.locks_page)
    locks = _lists(AsyncFluffy.locks)
    break_locks = _waits(AsyncFluffy.break_locks)

    # People
    login = _waits(AsyncFluffy.login)
    logout = _waits(AsyncFluffy.logout)
    whoami = _waits(AsyncFluffy.whoami)
    set_password = _waits(AsyncFluffy.set_password)
    tokens = _waits(AsyncFluffy.tokens)
    add_token = _waits(AsyncFluffy.add_token)
    revoke_token = _waits(AsyncFluffy.revoke_token)
    users = _waits(AsyncFluffy.users)
    user = _waits(AsyncFluffy.user)
    add_user = _waits(AsyncFluffy.add_user)
    change_user = _waits(AsyncFluffy.change_user)
    remove_user = _waits(AsyncFluffy.remove_user)
    grants = _waits(AsyncFluffy.grants)
    grant = _waits(AsyncFluffy.grant)
    revoke = _waits(AsyncFluffy.revoke)
    quota = _waits(AsyncFluffy.quota)
    set_quota = _waits(AsyncFluffy.set_quota)
    buckets = _waits(AsyncFluffy.buckets)
    bucket = _waits(AsyncFluffy.bucket)
    set_bucket = _waits(AsyncFluffy.set_bucket)
    audit_page = _waits(AsyncFluffy.audit_page)
    audit = _lists(AsyncFluffy.audit)

    # The cluster
    status = _waits(AsyncFluffy.status)
    nodes = _waits(AsyncFluffy.nodes)
    checkpoint = _waits(AsyncFluffy.checkpoint)
