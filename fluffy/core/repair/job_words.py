"""What a job does, when it will be done, and what holds it up, in words for `jobs` and `explain job`.

Estimates are the state machine's own arithmetic (job_rules): what stands before the job in its queue, at the speed that
its node has shown. A queue that others steal from is done sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.job_rules import effort_ms
from fluffy.core.metadata.model_jobs import Job

_DOES = {
    "repair": "makes a copy on {node}: there are too few",
    "drain": "makes a copy on {node}, so that a node that is being emptied can go",
    "rebalance": "makes a copy on {node}, where the placement wants it",
    "drop": "lets {node} delete its copy, which nobody needs any more",
    "scrub": "lets {node} read all its copies and check them"}

Name = Callable[[NodeNo], str]


def what_it_does(job: Job, name: Name) -> str:
    """One clause."""
    return _DOES.get(job.kind, "{node}").format(node=f"node {name(job.node_no)}")


def done_in_ms(job: Job, queue: Sequence[Job], rate: int, now_ms: int) -> int | None:
    """Until the job is done, by estimate. `queue`: the node's leased and queued jobs in order. None: it is stuck.

    A job that waits after a failure is done no sooner than its pause ends.
    """
    if job.state == "stuck":
        return None
    before = cost = 0
    for each in queue:
        before += 1
        cost += each.cost
        if each.no == job.no:
            break
    return max(0, job.not_before_ms - now_ms) + effort_ms(before, cost, rate)


def what_blocks(job: Job, node_state: str, now_ms: int, name: Name) -> str:
    """Why the job does not get on at this moment; empty: nothing holds it up but what stands before it."""
    if job.state == "stuck":
        return (f"stuck after {job.failures} failures, the last one {job.error or 'unknown'}: it is tried again when a "
                "node or the chunk's copies change, or by 'jobs --retry'")
    if node_state not in ("up", "draining", "joining"):
        return f"node {name(job.node_no)} is {node_state}; another node steals the job, or it waits"
    if job.state == "queued" and job.not_before_ms > now_ms:
        return f"waits {(job.not_before_ms - now_ms + 999) // 1000} s after failure {job.failures} ({job.error})"
    return ""
