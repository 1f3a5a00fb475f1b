"""What is owed to clusters: copies that must become as their model is. Durable, and made good when the cluster is back.

An order says "make TARGET:/path as SOURCE:/path is now": bytes, tags and metadata, or that nothing is there. So it may
be carried out late, twice, or after further changes, and is right all the same. It acts as the user who caused it, by
the hash of that one's token in each cluster; when a right or the token has ended meanwhile, the order ends too, with a
word in the log and in `/v1/owed`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ClusterUnreachable, FluffyError, NotFound, RequestError
from fluffy.ports import Clock
from fluffy.services.federation.told import headers_of, line_of, meta_of, reason_of, texts_of, whole_of

log = logging.getLogger("fluffy.supernode")

LOOK_EVERY_S = 0.5
# At once to each cluster: one large file delays neither the small ones nor other clusters.
AT_ONCE_PER_CLUSTER = 4
DUE_MAX = 100
FIRST_WAIT_MS = 500
MOST_WAIT_MS = 30_000
ASK_S = 5.0
# A copy of any size, at some speed.
MOVE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Order:
    """`no` grows with each order, so that one which was renewed meanwhile is not taken for done."""

    no: int
    target: str
    path: str
    source: str
    source_asker: str
    target_asker: str
    made_ms: int
    attempts: int = 0
    error: str = ""


class OwedStore(Protocol):
    """The durable queue: one order for each (target, path), the newest. Calls block briefly."""

    def owe(self, target: str, path: str, source: str, source_asker: str, target_asker: str, now_ms: int) -> Order: ...
    def due(self, now_ms: int, limit: int, among: Collection[str]) -> list[Order]:
        """Of those whose both clusters are `among` these; at most `limit` for each target, the longest due first."""

    def listed(self, limit: int, askers: Collection[str] | None) -> list[Order]: ...
    def given_up(self, limit: int, askers: Collection[str] | None) -> list[dict[str, Any]]: ...
    def count(self) -> int: ...

    def aside(self, joined: Collection[str]) -> dict[str, int]:
        """How many orders wait for a cluster that is none of these, by cluster."""

    def is_owed(self, target: str, path: str) -> bool: ...
    def is_owed_between(self, one: str, other: str, path: str) -> bool: ...
    def is_current(self, order: Order) -> bool: ...
    def forget(self, target: str, path: str) -> None: ...
    def done(self, order: Order) -> None: ...
    def later(self, order: Order, until_ms: int, error: str) -> None: ...
    def give_up(self, order: Order, now_ms: int, error: str) -> None: ...


class FileMover(Protocol):
    """A cluster, for moving whole files. Raises like ClusterClient."""

    async def ask(self, method: str, target: str, deadline: Deadline, *, asker: str,
                  document: Mapping[str, Any] | None = None, request_id: str | None = None,
                  headers: Mapping[str, str] | None = None) -> Mapping[str, Any]: ...
    def read(self, target: str, deadline: Deadline, *, asker: str,
             headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]: ...
    async def write(self, target: str, body: AsyncIterator[bytes], deadline: Deadline, *, asker: str,
                    headers: Mapping[str, str]) -> Mapping[str, Any]: ...


class Clusters(Protocol):
    def mover(self, name: str) -> FileMover | None:
        """None: there is no such cluster (any more)."""

    def reachable(self) -> list[str]: ...

    def names(self) -> list[str]:
        """All that are joined."""


class Copier:
    """Carries out orders. `run` it; `make_good` does one at once.

    What is owed to or from a cluster that left is put aside: kept, told of, and carried out if the cluster joins again.
    """

    def __init__(self, store: OwedStore, clusters: Clusters, clock: Clock) -> None:
        self._store = store
        self._clusters = clusters
        self._clock = clock
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._running: dict[tuple[str, str], asyncio.Task[bool]] = {}
        self.carried_out = 0
        self.given_up = 0

    def lock(self, cluster: str, path: str) -> asyncio.Lock:
        """Held by whoever writes the file or its copies: what is newer must not be overtaken by what is owed."""
        return self._locks.setdefault((cluster, path), asyncio.Lock())

    @asynccontextmanager
    async def locked(self, clusters: Iterable[str], path: str) -> AsyncIterator[None]:
        """The file in all these clusters."""
        async with AsyncExitStack() as stack:
            for cluster in sorted(set(clusters)):
                await stack.enter_async_context(self.lock(cluster, path))
            yield

    async def run(self) -> None:
        """For ever. Several at a time; one that is long, or being written, delays no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._begin_due(group)
                if self._running:
                    await asyncio.wait(self._running.values(), timeout=LOOK_EVERY_S,
                                       return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(LOOK_EVERY_S)

    def aside(self) -> dict[str, int]:
        """How many orders wait for clusters that are not joined (any more), by cluster."""
        return self._store.aside(self._clusters.names())

    def _begin_due(self, group: asyncio.TaskGroup) -> None:
        self._running = {place: task for place, task in self._running.items() if not task.done()}
        busy = Counter(target for target, _ in self._running)
        for order in self._store.due(self._clock.now_ms(), DUE_MAX, self._clusters.reachable()):
            place = order.target, order.path
            is_begun = place in self._running or self.lock(*place).locked()  # or somebody writes it now
            if not is_begun and busy[order.target] < AT_ONCE_PER_CLUSTER:
                busy[order.target] += 1
                self._running[place] = group.create_task(self.make_good(order))

    async def make_good(self, order: Order) -> bool:
        """Carry out one order; whether it is done. Failures that may pass are tried again later."""
        async with self.lock(order.target, order.path):
            return not self._store.is_current(order) or await self._make_good(order)

    async def _make_good(self, order: Order) -> bool:
        now_ms = self._clock.now_ms()
        source, target = self._clusters.mover(order.source), self._clusters.mover(order.target)
        try:
            if source is None or target is None:
                raise RequestError("the cluster is not joined any more")
            await alike(source, target, order)
        except FluffyError as error:
            reason = reason_of(error)
            if error.facts.get("retry", error.retry) == "never" and not isinstance(error, ClusterUnreachable):
                log.warning("owed.given_up", extra={"target": order.target, "path": order.path,
                                                    "reason": reason})
                self._store.give_up(order, now_ms, reason)
                self.given_up += 1
                return False
            wait_ms = min(FIRST_WAIT_MS << min(order.attempts, 10), MOST_WAIT_MS)
            self._store.later(order, now_ms + wait_ms, reason)
            return False
        self._store.done(order)
        self.carried_out += 1
        return True


async def alike(source: FileMover, target: FileMover, order: Order) -> None:
    """Make the target's file as the source's is: same bytes, type, tags and metadata, or gone."""
    ask, path = Deadline.after(ASK_S), quote(order.path)
    model = await _info(source, path, order.source_asker, ask)
    copy = await _info(target, path, order.target_asker, ask)
    if model is None:
        if copy is not None:
            await target.ask("DELETE", f"/v1/files/{path}", ask, asker=order.target_asker,
                             request_id=f"owed-{order.made_ms}-{order.no}")
        return
    if copy is not None and model.is_as(copy):
        return
    headers = {"Content-Type": model.content_type, "Fluffy-Tags": urlencode(model.tags)}
    headers |= {f"Fluffy-Meta-{key}": value for key, value in model.meta.items()}
    headers |= {f"Fluffy-Header-{key}": value for key, value in model.headers.items()}
    if model.blake3 is not None:
        headers["Fluffy-Blake3"] = model.blake3
    move = Deadline.after(MOVE_S)
    body = source.read(f"/v1/files/{path}?generation={model.generation}", move, asker=order.source_asker)
    await target.write(f"/v1/files/{path}", body, move, asker=order.target_asker, headers=headers)


@dataclass(frozen=True, slots=True)
class _File:
    """What a cluster tells of a file, as far as it can be told to another cluster."""

    generation: int
    size: int
    blake3: str | None
    content_type: str
    tags: Mapping[str, str]
    meta: Mapping[str, str]
    headers: Mapping[str, str]

    def is_as(self, copy: _File) -> bool:
        return self.blake3 is not None and all(
            getattr(self, name) == getattr(copy, name) for name in ("blake3", "size", "content_type", "tags", "meta"))


async def _info(cluster: FileMover, path: str, asker: str, deadline: Deadline) -> _File | None:
    """What is known of the file; None: there is none. Raises RequestError for what makes no sense."""
    try:
        found = await cluster.ask("GET", f"/v1/info/{path}", deadline, asker=asker)
    except NotFound:
        return None
    if found.get("kind") != "file":
        return None
    blake3 = found.get("blake3")
    return _File(whole_of(found, "generation"), whole_of(found, "size"),
                 None if blake3 is None else line_of(blake3, "blake3"),
                 line_of(found.get("content_type") or "application/octet-stream", "content_type"),
                 texts_of(found, "tags"), meta_of(found), headers_of(found))
