"""Whether an idle node should ask for work of others: the thief's side of stealing.

What is taken, and from whom, the state machine decides by the same rules (`job_rules.victims`, `Loot`). A thief that
asks in vain has cost everybody a log entry, so it looks at its own copy of the state first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.job_rules import (
    CLASS_WIDTH,
    STEAL_VICTIMS_MAX,
    STEALABLE_KINDS,
    TRANSFER_MS,
    Loot,
    QueueLoad,
    effort_ms,
    victims,
)
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Job, Queue

# An idle node is one that has no more to do than this: then new work is there when the old one ends.
AHEAD_MS = 500


def should_steal(own: NodeNo, queues: Sequence[Queue], placement: PlacementMap, now_ms: int,
                 cost_of_suiting: Callable[[NodeNo], int | None]) -> bool:
    """Whether a StealJobs of this node would probably move something. `now_ms`: log time as it would then be.

    `cost_of_suiting`: of the job at the tail of that node's queue that this one could do; None: there is none.
    """
    if not any(node.node_no == own and node.state == "up" for node in placement.nodes):
        return False
    loads = {queue.node_no: queue.load for queue in queues}
    mine = loads.get(own, QueueLoad(0, 0, 0, 0, 0))
    if mine.queued or mine.wait_ms > AHEAD_MS:
        return False
    if any(queue.node_no == own and queue.search_after_ms > now_ms for queue in queues):
        return False
    for victim in victims(own, loads)[:STEAL_VICTIMS_MAX]:
        cost = cost_of_suiting(victim)
        if cost is not None and Loot(loads[victim], mine).takes(cost):
            return True
    return False


def is_worth_waiting(job: Job) -> bool:
    """Whether a job may wait for a faster node: others could do it, and its chunk is not endangered."""
    return job.kind in STEALABLE_KINDS and job.priority % CLASS_WIDTH > 1


def others_end_within(own: NodeNo, queues: Sequence[Queue], placement: PlacementMap, job_ms: int) -> bool:
    """Whether the other nodes would have done all that waits, here too, before this one has done a single job.

    Then the slow node leaves its queue to them: what it leases nobody can take from it. `job_ms`: how long a job
    takes here. Nodes whose speed is not known are not counted on.
    """
    up = {node.node_no for node in placement.nodes if node.state == "up"}
    mine = next((queue.load for queue in queues if queue.node_no == own), None)
    others = [queue.load for queue in queues if queue.node_no != own and queue.node_no in up and queue.load.rate]
    if mine is None or not others or mine.wait_ms <= TRANSFER_MS:
        return False
    jobs = mine.queued + sum(load.queued + load.leased for load in others)
    cost = mine.queued_bytes + sum(load.queued_bytes + load.leased_bytes for load in others)
    together_ms = effort_ms(jobs // len(others), cost, sum(load.rate for load in others))
    return together_ms + TRANSFER_MS < job_ms
