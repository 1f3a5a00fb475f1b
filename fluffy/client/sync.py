"""`Fluffy`: the SDK for programs without an event loop. The same verbs as `AsyncFluffy`, blocking.

    with Fluffy(["127.0.0.1:7101"], token) as fluffy:
        fluffy.put("/admin/notes.txt", Path("notes.txt"))

One daemon thread runs the loop; any thread may call. Each verb is made from the one of `AsyncFluffy`, with its
arguments and its documentation; a test sees to it that none is missing.
"""

from __future__ import annotations

import functools
import io
import os
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from fluffy.client import rebuild, syncing
from fluffy.client.api import PATIENCE_S, AsyncFluffy
from fluffy.client.loop_thread import LoopThread
from fluffy.client.opened import Closable, Opened, Opening, ReadBytes, ReadText, WriteBytes, WriteText
from fluffy.client.opened_sync import FluffyReader, FluffyTextWriter, FluffyWriter
from fluffy.client.sync_lock import SyncLock
from fluffy.client.transport import Observer
from fluffy.client.trees import OnFile, TreeResult, delete_tree, get_tree, put_tree
from fluffy.client.verbs.asking import LockToken, Moment
from fluffy.client.verbs.locks import LOCK_TTL_S

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Closable)

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


def _end(thread: LoopThread, client: AsyncFluffy) -> None:
    thread.close(client.close())


async def _opened(opening: Opening[F]) -> F:
    return await opening


class Fluffy:
    """One user's access to one cluster, blocking. See `AsyncFluffy` for the arguments and each method."""

    def __init__(self, peers: str | Iterable[str], token: str | None = None, *, patience_s: float = PATIENCE_S,
                 reach_s: float | None = None, consistency: str | None = None, ca_file: Path | None = None,
                 observer: Observer | None = None, state_folder: Path | None = None,
                 cluster_tokens: Mapping[str, str] | None = None) -> None:
        self._client = AsyncFluffy(peers, token, patience_s=patience_s, reach_s=reach_s, consistency=consistency,
                                   ca_file=ca_file, observer=observer, state_folder=state_folder,
                                   cluster_tokens=cluster_tokens)
        self._thread = LoopThread("fluffy-client")
        # Also when it is forgotten, and when the program ends.
        self._end = weakref.finalize(self, _end, self._thread, self._client)

    def __enter__(self) -> Fluffy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Harmless a second time."""
        self._end()

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

    @overload
    def open(self, path: str, mode: ReadBytes = "rb", *, generation: int | None = None,
             at: Moment | None = None) -> FluffyReader: ...

    @overload
    def open(self, path: str, mode: ReadText, *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, generation: int | None = None,
             at: Moment | None = None) -> io.TextIOWrapper: ...

    @overload
    def open(self, path: str, mode: WriteBytes, *, content_type: str | None = None,
             meta: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None,
             headers: Mapping[str, str] | None = None, if_match: str | None = None,
             lock: LockToken | None = None, autocommit: bool = True) -> FluffyWriter: ...

    @overload
    def open(self, path: str, mode: WriteText, *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, content_type: str | None = None, meta: Mapping[str, str] | None = None,
             tags: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
             if_match: str | None = None, lock: LockToken | None = None,
             autocommit: bool = True) -> FluffyTextWriter: ...

    def open(self, path: str, mode: str = "rb", *, encoding: str = "utf-8", errors: str = "strict",
             newline: str | None = None, generation: int | None = None, at: Moment | None = None,
             content_type: str | None = None, meta: Mapping[str, str] | None = None,
             tags: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
             if_match: str | None = None, lock: LockToken | None = None,
             autocommit: bool = True) -> FluffyReader | FluffyWriter | io.TextIOWrapper:
        """The file as an object of Python's `io`: `with fluffy.open(path, "rb") as file`.

        Modes as of Python's `open`: `rb` (the default), `wb`, `ab`, `xb` (create only), and without `b` for text. What
        is read is one generation (the present one, `generation`, or the one `at` a time), whatever happens meanwhile.
        What is written appears when the file is closed (without `autocommit`: by its `commit`); a block that raises
        leaves everything as it was. `headers`: kept with the file, as Cache-Control and its like.
        """
        opened = Opened.of(mode)
        if opened.act == "r":
            opening = self._client.open(path, "rb", generation=generation, at=at)
            reader = FluffyReader(self._thread.run(_opened(opening)), self._thread)
            return io.TextIOWrapper(reader, encoding, errors, newline) if opened.is_text else reader
        acts: dict[str, WriteBytes] = {"w": "wb", "a": "ab", "x": "xb"}
        creating = self._client.open(path, acts[opened.act], content_type=content_type, meta=meta, tags=tags,
                                     headers=headers, if_match=if_match, lock=lock, autocommit=autocommit)
        writer = FluffyWriter(self._thread.run(_opened(creating)), self._thread)
        return FluffyTextWriter(writer, encoding, errors, newline) if opened.is_text else writer

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

    # Many clusters
    supernodes = _waits(AsyncFluffy.supernodes)
    clusters = _waits(AsyncFluffy.clusters)
    mirrors = _waits(AsyncFluffy.mirrors)
    catalog_page = _waits(AsyncFluffy.catalog_page)
    catalog = _lists(AsyncFluffy.catalog)
    search_everywhere_page = _waits(AsyncFluffy.search_everywhere_page)
    search_everywhere = _lists(AsyncFluffy.search_everywhere)
    supernode_token = _waits(AsyncFluffy.supernode_token)
    federate = _waits(AsyncFluffy.federate)

    # Whole folders
    def put_tree(self, local: str | os.PathLike[str], remote: str, on_file: OnFile | None = None, *,
                 lock: LockToken | None = None) -> TreeResult:
        """See `trees.put_tree`."""
        return self._thread.run(put_tree(self._client, Path(local), remote, on_file, lock=lock))

    def get_tree(self, remote: str, local: str | os.PathLike[str], *, overwrite: bool = False,
                 on_file: OnFile | None = None) -> TreeResult:
        """See `trees.get_tree`."""
        return self._thread.run(get_tree(self._client, remote, Path(local), overwrite=overwrite, on_file=on_file))

    def delete_tree(self, remote: str, *, purge: bool = False, lock: LockToken | None = None) -> TreeResult:
        """See `trees.delete_tree`."""
        return self._thread.run(delete_tree(self._client, remote, purge=purge, lock=lock))

    def prepare_sync(self, memory: syncing.SyncMemory, task: syncing.Task) -> syncing.Prepared:
        """See `syncing.prepare`."""
        return self._thread.run(syncing.prepare(self._client, memory, task))

    def carry_out_sync(self, memory: syncing.SyncMemory, prepared: syncing.Prepared, state: Path, *,
                       on_step: syncing.OnStep | None = None,
                       lock_for: syncing.LockFor | None = None) -> syncing.Report:
        """See `syncing.carry_out`."""
        return self._thread.run(syncing.carry_out(
            self._client, memory, prepared, state, on_step=on_step, lock_for=lock_for))

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
    keys = _waits(AsyncFluffy.keys)
    add_key = _waits(AsyncFluffy.add_key)
    remove_key = _waits(AsyncFluffy.remove_key)
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

    # When everything else is gone
    def restore_backup(self, backup: str | os.PathLike[str], on_progress: rebuild.OnProgress) -> rebuild.Restored:
        """See `rebuild.restore.restore_backup`."""
        return self._thread.run(rebuild.restore_backup(rebuild.Rebuilder(self._client), Path(backup), on_progress))

    def restore_from_storage(self, folder: str | os.PathLike[str], on_progress: rebuild.OnProgress, *,
                             cluster_uuid: str | None = None, quick: bool = False,
                             dry_run: bool = False) -> rebuild.Restored:
        """See `rebuild.restore.restore_from_storage`."""
        return self._thread.run(rebuild.restore_from_storage(
            rebuild.Rebuilder(self._client), Path(folder), on_progress, cluster_uuid=cluster_uuid, quick=quick,
            dry_run=dry_run))

    def abandon_restore(self) -> None:
        """See `rebuild.restore.abandon`."""
        self._thread.run(rebuild.abandon(rebuild.Rebuilder(self._client)))

    # The cluster
    status = _waits(AsyncFluffy.status)
    nodes = _waits(AsyncFluffy.nodes)
    jobs = _waits(AsyncFluffy.jobs)
    explain_job = _waits(AsyncFluffy.explain_job)
    retry_jobs = _waits(AsyncFluffy.retry_jobs)
    explain = _waits(AsyncFluffy.explain)
    doctor = _waits(AsyncFluffy.doctor)
    recover = _waits(AsyncFluffy.recover)
    readiness = _waits(AsyncFluffy.readiness)
    drain = _waits(AsyncFluffy.drain)
    drain_progress = _waits(AsyncFluffy.drain_progress)
    remove_node = _waits(AsyncFluffy.remove_node)
    restart_node = _waits(AsyncFluffy.restart_node)
    scrub = _waits(AsyncFluffy.scrub)
    set_repair = _waits(AsyncFluffy.set_repair)
    quarantine = _waits(AsyncFluffy.quarantine)
    purge_quarantine = _waits(AsyncFluffy.purge_quarantine)
    checkpoint = _waits(AsyncFluffy.checkpoint)
    backup = _waits(AsyncFluffy.backup)
    tree_digest = _waits(AsyncFluffy.tree_digest)
