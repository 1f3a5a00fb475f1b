"""What is owed to clusters: copies that must become as their model is. Durable, and made good when the cluster is back.

An order says "make TARGET:/path as SOURCE:/path is now": bytes, tags and metadata, or that nothing is there. So it may
be carried out late, twice, or after further changes, and is right all the same. It acts as the user who caused it, by
the hash of that one's token in each cluster; when a right or the token has ended meanwhile, the order ends too, with a
word in the log and in `/v1/owed`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ClusterUnreachable, FluffyError, NotFound, RequestError
from fluffy.ports import Clock

log = logging.getLogger("fluffy.supernode")

LOOK_EVERY_S = 0.5
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
    def due(self, now_ms: int, limit: int) -> list[Order]: ...
    def listed(self, limit: int) -> list[Order]: ...
    def count(self) -> int: ...
    def is_owed(self, target: str, path: str) -> bool: ...
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

    def is_reachable(self, name: str) -> bool: ...


class Copier:
    """Carries out orders. `run` it; `make_good` does one at once."""

    def __init__(self, store: OwedStore, clusters: Clusters, clock: Clock) -> None:
        self._store = store
        self._clusters = clusters
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.carried_out = 0
        self.given_up = 0

    def lock(self, path: str) -> asyncio.Lock:
        """Held by whoever writes the file or its copies: what is newer must not be overtaken by what is owed."""
        return self._locks.setdefault(path, asyncio.Lock())

    async def run(self) -> None:
        while True:
            for order in self._store.due(self._clock.now_ms(), DUE_MAX):
                if self._clusters.is_reachable(order.target) and self._clusters.is_reachable(order.source):
                    await self.make_good(order)
            await asyncio.sleep(LOOK_EVERY_S)

    async def make_good(self, order: Order) -> bool:
        """Carry out one order; whether it is done. Failures that may pass are tried again later."""
        async with self.lock(order.path):
            return not self._store.is_current(order) or await self._make_good(order)

    async def _make_good(self, order: Order) -> bool:
        now_ms = self._clock.now_ms()
        source, target = self._clusters.mover(order.source), self._clusters.mover(order.target)
        try:
            if source is None or target is None:
                raise RequestError("the cluster is not joined any more")
            await alike(source, target, order)
        except FluffyError as error:
            if error.facts.get("retry", error.retry) == "never" and not isinstance(error, ClusterUnreachable):
                log.warning("owed.given_up", extra={"target": order.target, "path": order.path,
                                                    "reason": error.message})
                self._store.give_up(order, now_ms, error.message)
                self.given_up += 1
                return False
            wait_ms = min(FIRST_WAIT_MS << min(order.attempts, 10), MOST_WAIT_MS)
            self._store.later(order, now_ms + wait_ms, error.message)
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
    if copy is not None and _same(model, copy):
        return
    headers = {"Content-Type": str(model.get("content_type") or "application/octet-stream"),
               "Fluffy-Tags": urlencode(_texts(model.get("tags")))}
    headers |= {f"Fluffy-Meta-{key}": value for key, value in _texts(model.get("meta")).items()
                if not key.startswith("@")}
    if isinstance(model.get("blake3"), str):
        headers["Fluffy-Blake3"] = str(model["blake3"])
    move = Deadline.after(MOVE_S)
    body = source.read(f"/v1/files/{path}?generation={int(model['generation'])}", move, asker=order.source_asker)
    await target.write(f"/v1/files/{path}", body, move, asker=order.target_asker, headers=headers)


async def _info(cluster: FileMover, path: str, asker: str, deadline: Deadline) -> Mapping[str, Any] | None:
    """What is known of the file; None: there is none."""
    try:
        found = await cluster.ask("GET", f"/v1/info/{path}", deadline, asker=asker)
    except NotFound:
        return None
    return found if found.get("kind") == "file" else None


def _same(model: Mapping[str, Any], copy: Mapping[str, Any]) -> bool:
    return model.get("blake3") is not None and all(
        model.get(name) == copy.get(name) for name in ("blake3", "size", "content_type", "tags"))


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else {}
