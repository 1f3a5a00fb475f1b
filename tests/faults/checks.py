"""Comparing a record with the cluster, once the load has ended."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing

from fluffy.core.metadata.model import Change
from tests.faults.recorder import Key, Operation, Record, body_of
from tests.support.cluster import Cluster
from tests.support.states import all_changes, copy_state, digest_of

SETTLE_TIMEOUT_S = 40.0


def settle(cluster: Cluster) -> str:
    """Wait until all nodes have applied the same log, then compare their digests; returns the one digest."""
    digests: dict[str, tuple[int, str]] = {}

    def level() -> bool:
        digests.update({name: digest_of(cluster.node_dir(name)) for name in cluster.running})
        return len({index for index, _ in digests.values()}) == 1

    cluster.wait_until(level, SETTLE_TIMEOUT_S, "all nodes at the same log position")
    if len({text for _, text in digests.values()}) != 1:
        raise cluster.failed(f"states differ at the same log position: {json.dumps(digests)}")
    return next(iter(digests.values()))[1]


def check_feed(record: Record, cluster: Cluster, node: str) -> None:
    """Exactly the acknowledged operations happened, once each and in order; open ones at most once."""
    feed: dict[str, list[Change]] = defaultdict(list)
    with closing(copy_state(cluster.node_dir(node))) as db:
        for change in all_changes(db):
            if change.path in record.keys and change.kind in ("file-put", "file-deleted"):
                feed[change.path].append(change)
    for key in record.keys.values():
        problem = compare_with_feed(key, feed[key.path])
        if problem:
            record.violation(f"{key.path}: {problem}")


def compare_with_feed(key: Key, changes: list[Change]) -> str | None:
    left = list(changes)
    for operation in key.operations:
        kind = "file-put" if operation.kind == "put" else "file-deleted"
        if left and left[0].kind == kind and _is_same(key, operation, left[0]):
            left.pop(0)
        elif operation.acked_s is not None:
            return f"acknowledged #{operation.number} ({operation.kind}) is lost; feed goes on with {left[:1]}"
    return f"happened twice or was never asked for: {left[:2]}" if left else None


def _is_same(key: Key, operation: Operation, change: Change) -> bool:
    if change.kind == "file-deleted":
        return True
    if change.size != len(body_of(key.path, operation.number, operation.size)):
        return False
    return operation.generation is None or operation.generation == change.generation


def check_files(record: Record, cluster: Cluster, nodes: tuple[str, ...]) -> int:
    """Every file reads as its last acknowledged operation left it, through each of `nodes`; returns how many reads."""
    read = 0
    for key in record.keys.values():
        if not key.operations:
            continue
        settled = [op for op in key.operations if op.acked_s is not None]
        allowed = {(op.kind, op.number) for op in key.operations if op.acked_s is None and op.number > key.acked_number}
        allowed |= {(settled[-1].kind, settled[-1].number)} if settled else {("delete", 0)}
        for node in nodes:
            status, _, body = cluster.request(node, "GET", f"/v1/files/{key.path}", timeout_s=20.0)
            read += 1
            problem = _check_file(key, allowed, status, body)
            if problem:
                record.violation(f"{key.path} at {node}: {problem}")
    return read


def _check_file(key: Key, allowed: set[tuple[str, int]], status: int, body: bytes) -> str | None:
    if status == 404:
        return None if any(kind == "delete" for kind, _ in allowed) else "not found, but it was acknowledged"
    if status != 200:
        return f"status {status}: {body[:200]!r}"
    number = int(body.split(b"#", 2)[1])
    if ("put", number) not in allowed:
        return f"reads as #{number}, allowed are {sorted(allowed)}"
    operation = key.operations[number - 1]
    return None if body == body_of(key.path, number, operation.size) else "bytes differ"
