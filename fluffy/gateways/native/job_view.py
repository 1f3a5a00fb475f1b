"""Jobs as people see them: names instead of numbers, what stands before one, when it is done, what holds it up."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fluffy.base.errors import NodeNotFound
from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.job_rules import QUEUE_JOBS_MAX
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.repair.job_words import done_in_ms, what_blocks
from fluffy.core.repair.plan import REASONS
from fluffy.wire.conditions import rfc3339


class JobView:
    """Nodes and queues at one moment, for showing jobs: who is who, what stands before a job, how fast a node is."""

    def __init__(self, db: sqlite3.Connection, wall_ms: int) -> None:
        self._db = db
        state = queries.cluster_state(db)
        self.now_ms = wall_ms if state is None else max(wall_ms, state.clock_ms)
        self.names: Mapping[NodeNo, str] = {each.node_no: each.name for each in queries.node_records(db)}
        self.states = {node.node_no: node.state for node in queries.placement_map(db).nodes}
        self._rates = {queue.node_no: queue.load.rate for queue in queries.queues(db)}
        self._waiting: dict[NodeNo, Sequence[Job]] = {}

    def name(self, node_no: NodeNo) -> str:
        return self.names.get(node_no, f"node {node_no}")

    def number(self, name: str) -> NodeNo:
        """Raises NodeNotFound."""
        for node_no, its_name in self.names.items():
            if its_name == name:
                return node_no
        raise NodeNotFound(f"there is no node {name!r} in this cluster", node=name)

    def done_in_ms(self, job: Job) -> int | None:
        node_no = job.node_no
        if node_no not in self._waiting:
            self._waiting[node_no] = [each for state in ("leased", "queued")
                                      for each in queries.jobs_of_node(self._db, node_no, state, QUEUE_JOBS_MAX)]
        return done_in_ms(job, self._waiting[node_no], self._rates.get(node_no, 0), self.now_ms)

    def json(self, job: Job) -> dict[str, Any]:
        """One job; times that are not are null."""
        wait_ms = self.done_in_ms(job)
        return {
            "job": job.no, "kind": job.kind, "chunk": job.chunk_id.hex() or None, "node": self.name(job.node_no),
            "state": job.state, "reason": job.reason, "why": REASONS.get(job.reason, job.reason),
            "bytes": job.cost, "priority": job.priority, "attempt": job.attempt,
            "failures": job.failures, "error": job.error or None,
            "stolen_from": self.name(job.stolen_from) if job.stolen_from else None, "created": rfc3339(job.created_ms),
            "lease_ends_s": _seconds(job.lease_until_ms, self.now_ms), "stuck_since": _time(job.stuck_ms),
            "done_in_s": None if wait_ms is None else wait_ms // 1000,
            "blocked": what_blocks(job, self.states.get(job.node_no, "gone"), self.now_ms, self.name) or None}


def _seconds(at_ms: int, now_ms: int) -> int | None:
    return max(0, at_ms - now_ms) // 1000 if at_ms else None


def _time(at_ms: int) -> str | None:
    return rfc3339(at_ms) if at_ms else None
