"""How the window of a node's queue is divided among the classes of work, and what still fits.

Each class has a share of its own: a drain of a million chunks leaves room for the repair of one that is endangered,
and a repair of a million chunks does not keep a wrongly placed one waiting for ever. (Whose turn it is inside the
queue: `job_rules.turns`.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fluffy.base.checks import invariant
from fluffy.base.ids import NodeNo
from fluffy.core.metadata.job_rules import COPYING_KINDS, JOB_KINDS, QUEUE_JOBS_MAX

WINDOWS: Mapping[str, int] = {"repair": 512, "drain": 256, "drop": 191, "rebalance": 64, "scrub": 1}
invariant(sorted(WINDOWS) == sorted(JOB_KINDS), "every class has a window")
invariant(sum(WINDOWS.values()) <= QUEUE_JOBS_MAX, "a queue has room for the windows of all classes")


class Room:
    """What still fits into the queues. One plan takes from it as it gives out jobs."""

    def __init__(self, queued: Mapping[tuple[NodeNo, str], int], closed: Collection[NodeNo] = ()) -> None:
        """`queued`: what is there; `closed`: nodes with so many stuck jobs that they get no more copies to make."""
        self._queued = dict(queued)
        self._closed = frozenset(closed)

    def of(self, node_no: NodeNo, kind: str) -> int:
        """So many more jobs of a kind may be assigned to a node now."""
        if kind in COPYING_KINDS and node_no in self._closed:
            return 0
        return max(0, WINDOWS[kind] - self._queued.get((node_no, kind), 0))

    def take(self, node_no: NodeNo, kind: str) -> bool:
        """Use one place; False when there is none."""
        if not self.of(node_no, kind):
            return False
        self._queued[node_no, kind] = self._queued.get((node_no, kind), 0) + 1
        return True
