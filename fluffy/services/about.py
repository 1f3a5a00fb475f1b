"""What a node says of itself when another one asks (`about` on the data port), and asking all of them at once.

The answer is a flat map of numbers and short texts, so that nodes of different versions understand what they both
know. Clocks are compared as NTP does it: the answer's time against the middle of asking and hearing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluffy import __version__
from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError
from fluffy.base.ids import NodeNo
from fluffy.core.health.diagnosis import About
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.ports import ChunkStore, Clock, MetadataLog, MetadataReader, NameSearch, NodeClient

# The first level whose programs know the question.
ABOUT_LEVEL = 3
STATUS_TIMEOUT_S = 0.8
ASK_TIMEOUT_S = 2.0
OLDER = "an older one"
# What fits a text on the data port: the first dozen of them.
FLAPS_CHARS_MAX = 64

Facts = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class AboutNode:
    """This node's own answer. `keeper_word`: the newest word of its keeper, None while that is silent.

    `total_bytes`: size of the file system of the chunks; `quarantined`: files set aside; `traffic`: requests and bytes
    of this node's users since the start of its gateways.
    """

    log: MetadataLog
    reader: MetadataReader
    names: NameSearch
    store: ChunkStore
    clock: Clock
    total_bytes: Callable[[], int]
    quarantined: Callable[[], int]
    keeper_word: Callable[[], Mapping[str, Any] | None]
    traffic: Callable[[], Mapping[str, int]] = dict

    async def facts(self) -> dict[str, int | str]:
        """Never raises for a silent log process: then its facts are absent."""
        free_bytes, total_bytes, quarantined, traffic = await asyncio.to_thread(
            lambda: (self.store.free_bytes(), self.total_bytes(), self.quarantined(), self.traffic()))
        search = self.reader.read(lambda db: self.names.status(db, self.clock.now_ms()))
        facts: dict[str, int | str] = {
            "version": __version__, "level": FEATURE_LEVEL, "free_bytes": free_bytes, "total_bytes": total_bytes,
            "quarantined": quarantined, "search_state": search.state, "search_behind": search.behind,
            "search_lag_ms": search.lag_ms, "load_permille": int(1000 * os.getloadavg()[0] / (os.cpu_count() or 1)),
            **{f"users_{name}": value for name, value in traffic.items()}, **_keeper_facts(self.keeper_word())}
        try:
            status = await self.log.status(Deadline.after(STATUS_TIMEOUT_S))
        except FluffyError:
            return facts | {"now_ms": self.clock.now_ms()}
        return facts | {"fsync": int(status.fsync), "seq": status.seq, "leader": status.leader or "",
                        "now_ms": self.clock.now_ms()}


def _keeper_facts(word: Mapping[str, Any] | None) -> dict[str, int | str]:
    """Whether its keeper works; and of the leader's keeper, which nodes come and go: `two:3 five:1`."""
    if word is None:
        return {"keeper": 0}
    watched = word.get("watch")
    flaps = watched.get("flaps") if isinstance(watched, dict) else None
    if not isinstance(flaps, dict) or not flaps:
        return {"keeper": 1}
    return {"keeper": 1, "flaps": " ".join(f"{node}:{number}" for node, number in flaps.items())[:FLAPS_CHARS_MAX]}


@dataclass(frozen=True, slots=True)
class AskingNodes:
    """Asks every member what it says of itself; the own node without the network."""

    own_no: NodeNo
    own: Callable[[], Awaitable[Facts]]
    peers: NodeClient
    clock: Clock

    async def ask_all(self, nodes: Sequence[NodeNo]) -> dict[NodeNo, About | None]:
        """None for those that do not answer within ASK_TIMEOUT_S."""
        async with asyncio.TaskGroup() as group:
            tasks = {node: group.create_task(self._ask(node)) for node in nodes}
        return {node: task.result() for node, task in tasks.items()}

    async def _ask(self, node: NodeNo) -> About | None:
        deadline = Deadline.after(ASK_TIMEOUT_S)
        try:
            if node != self.own_no:
                ping = await self.peers.ping(node, deadline)
                if ping.get("level", 1) < ABOUT_LEVEL:
                    return about_of({"version": OLDER, "level": ping.get("level", 1)}, 0, 0)
            asked_s, asked_ms = self.clock.monotonic_s(), self.clock.now_ms()
            facts = await (self.own() if node == self.own_no else self.peers.about(node, deadline))
            took_ms = int((self.clock.monotonic_s() - asked_s) * 1000)
        except (FluffyError, OSError, TimeoutError):
            return None
        return about_of(facts, asked_ms, took_ms)


def about_of(facts: Facts, asked_ms: int, took_ms: int) -> About:
    """What it did not tell is unknown: `seq` -1, `total_bytes` 0, and everything else as if it were in order."""
    def number(name: str, unknown: int = 0) -> int:
        value = facts.get(name)
        return value if isinstance(value, int) else unknown

    def text(name: str, unknown: str = "") -> str:
        value = facts.get(name)
        return value if isinstance(value, str) else unknown

    now_ms = number("now_ms", asked_ms + took_ms // 2)
    return About(
        version=text("version", OLDER), level=number("level", 1), free_bytes=number("free_bytes"),
        total_bytes=number("total_bytes"), fsync=bool(number("fsync", 1)), seq=number("seq", -1), leader=text("leader"),
        quarantined=number("quarantined"), search_state=text("search_state", "ready"),
        search_behind=number("search_behind"), search_lag_ms=number("search_lag_ms"),
        keeper_works=bool(number("keeper", 1)), flaps=_flaps_of(text("flaps")),
        load_permille=number("load_permille", -1), users_requests=number("users_requests"),
        users_sent_bytes=number("users_sent_bytes"), users_received_bytes=number("users_received_bytes"),
        skew_ms=now_ms - (asked_ms + took_ms // 2), skew_error_ms=took_ms // 2 + 1)


def _flaps_of(text: str) -> tuple[tuple[int, int], ...]:
    """(node number, how often it came and went)"""
    pairs = [pair.partition(":") for pair in text.split()]
    return tuple((int(node), int(number)) for node, _, number in pairs if node.isdecimal() and number.isdecimal())
