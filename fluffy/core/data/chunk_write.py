"""When a chunk is safe, and who stands in for a node that fails: the write's state machine.

    start ──> SEND to the first `wanted` candidates
    failed(n) ──> SEND to the next candidate (handoff)        ... or GIVE UP once the quorum is out of reach
    slow(n)   ──> SEND to the next candidate as well; n may still make it
    stored(n) ──> FINISH when `wanted` copies are there, or the quorum is and nobody is working any more
    patience_over ──> FINISH when the quorum is there: the rest is late, and a repair job will make what is missing

Events in, instructions out; the service (services/chunk_writer.py) does the sending and keeps the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.errors import DiskFull, NotEnoughCopies
from fluffy.base.ids import NodeNo


@dataclass(frozen=True, slots=True)
class Send:
    node: NodeNo


@dataclass(frozen=True, slots=True)
class Finish:
    """At least the quorum have it. Whoever is still working may be stopped."""

    replicas: tuple[NodeNo, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The quorum cannot be reached. `code` is the error's: DiskFull when nothing but full disks stood in the way."""

    code: str
    failures: dict[NodeNo, str]
    stored: tuple[NodeNo, ...]


WriteStep = Send | Finish | GiveUp


class ChunkWrite:
    """One chunk's way to its replicas. After Finish or GiveUp no further step comes."""

    def __init__(self, candidates: Sequence[NodeNo], wanted: int, quorum: int) -> None:
        invariant(0 < quorum <= wanted, "a quorum is at least one and at most all")
        self._unused = deque(candidates)
        self._wanted = wanted
        self._quorum = quorum
        self._working: set[NodeNo] = set()
        self._slow: set[NodeNo] = set()
        self._stored: list[NodeNo] = []
        self.failures: dict[NodeNo, str] = {}
        self._ended = False

    @property
    def working(self) -> frozenset[NodeNo]:
        """Who was asked and has neither stored nor failed."""
        return frozenset(self._working)

    @property
    def stored_on(self) -> tuple[NodeNo, ...]:
        return tuple(sorted(self._stored))

    @property
    def quorum_reached(self) -> bool:
        return len(self._stored) >= self._quorum

    def start(self) -> list[WriteStep]:
        steps: list[WriteStep] = []
        while self._unused and len(self._working) < self._wanted:
            steps.append(self._send_next())
        return steps + self._end_if_due()

    def stored(self, node: NodeNo) -> list[WriteStep]:
        """`node` has fsynced the chunk."""
        if self._ended or node not in self._working:
            return []
        self._working.discard(node)
        self._stored.append(node)
        return self._end_if_due()

    def failed(self, node: NodeNo, code: str) -> list[WriteStep]:
        """`node` certainly will not acknowledge; `code` is its error's."""
        if self._ended or node not in self._working:
            return []
        self._working.discard(node)
        self.failures[node] = code
        steps: list[WriteStep] = []
        if self._unused and node not in self._slow:  # a slow one has got its stand-in already
            steps.append(self._send_next())
        return steps + self._end_if_due()

    def slow(self, node: NodeNo) -> list[WriteStep]:
        """`node` takes longer than anybody should; ask a stand-in, once."""
        if self._ended or node not in self._working or node in self._slow or not self._unused:
            return []
        self._slow.add(node)
        return [self._send_next()]

    def patience_over(self) -> list[WriteStep]:
        """The time that stragglers get after the quorum is over."""
        return self._finish() if self.quorum_reached and not self._ended else []

    def _send_next(self) -> Send:
        node = self._unused.popleft()
        self._working.add(node)
        return Send(node)

    def _end_if_due(self) -> list[WriteStep]:
        if len(self._stored) >= self._wanted or (self.quorum_reached and not self._working):
            return self._finish()
        within_reach = len(self._stored) + len(self._working) + len(self._unused)
        if within_reach < self._quorum:
            self._ended = True
            only_full = bool(self.failures) and set(self.failures.values()) == {DiskFull.code()}
            code = DiskFull.code() if only_full else NotEnoughCopies.code()
            return [GiveUp(code, dict(self.failures), self.stored_on)]
        return []

    def _finish(self) -> list[WriteStep]:
        self._ended = True
        return [Finish(self.stored_on)]
