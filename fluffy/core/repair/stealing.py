"""Whether an idle node should ask for work of others: the thief's side of stealing.

What is taken, and from whom, the state machine decides by the same rules (`job_rules.victims`, `Loot`). A thief that
asks in vain has cost everybody a log entry, so it looks at its own copy of the state first.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.job_rules import searchers_max, victims
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Queue


def should_steal(own: NodeNo, queues: Sequence[Queue], placement: PlacementMap, now_ms: int) -> bool:
    """Whether a StealJobs of this node would probably move something. `now_ms`: log time as it would then be."""
    states = {node.node_no: node.state for node in placement.nodes}
    if states.get(own) != "up":
        return False
    mine = next((queue for queue in queues if queue.node_no == own), None)
    if mine is not None and (mine.load.queued or mine.search_after_ms > now_ms):
        return False
    searching = sum(queue.search_after_ms > now_ms for queue in queues)
    if searching >= searchers_max(sum(state == "up" for state in states.values())):
        return False
    return bool(victims(own, {queue.node_no: queue.load for queue in queues}))
