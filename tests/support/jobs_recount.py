"""A plain recount of queues, and that no copy counts which is being dropped."""

from __future__ import annotations

import sqlite3
from collections import Counter

from fluffy.core.metadata.packing import unpack_nodes


def check_jobs(db: sqlite3.Connection) -> None:
    """Assert that every queue's sums equal their recount, and that jobs and drops contradict nothing."""
    sums: Counter[tuple[int, str]] = Counter()
    costs: Counter[tuple[int, str]] = Counter()
    members = {row[0] for row in db.execute("SELECT node_no FROM nodes")}
    for (no, kind, chunk_id, node_no, cost, state, attempt, failures, until_ms, stuck_ms) in db.execute(
            "SELECT job_no, kind, chunk_id, node_no, cost, state, attempt, failures, lease_until_ms, stuck_ms"
            " FROM jobs").fetchall():
        assert node_no in members and len(chunk_id) == (0 if kind == "scrub" else 32), no
        assert (until_ms > 0) == (state == "leased") and (stuck_ms > 0) == (state == "stuck"), no
        assert failures <= attempt or state == "queued", no
        sums[node_no, state] += 1
        costs[node_no, state] += cost
    for node_no, queued, queued_bytes, leased, leased_bytes, stuck, stealable in db.execute(
            "SELECT node_no, queued, queued_bytes, leased, leased_bytes, stuck, stealable FROM job_queues").fetchall():
        assert (queued, queued_bytes) == (sums.pop((node_no, "queued"), 0), costs[node_no, "queued"])
        assert (leased, leased_bytes) == (sums.pop((node_no, "leased"), 0), costs[node_no, "leased"])
        assert stealable == db.execute("SELECT count(*) FROM jobs WHERE node_no = ? AND state = 'queued'"
                                       " AND kind IN ('repair', 'drain')", (node_no,)).fetchone()[0]
        assert stuck == sums.pop((node_no, "stuck"), 0)
    assert not sums, "every job is in a queue"
    for chunk_id, node_no, done_seq, done_ms in db.execute("SELECT chunk_id, node_no, done_seq, done_ms FROM drops"):
        assert (done_seq > 0) == (done_ms > 0)
        row = db.execute("SELECT replicas FROM chunks WHERE chunk_id = ?", (chunk_id,)).fetchone()
        if not done_ms and row is not None:
            assert node_no not in unpack_nodes(row[0]), "a copy that is being dropped does not count"
