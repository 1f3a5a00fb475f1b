"""Finding the other nodes after a start: a node is ready when it can place the copies of a write.

The log processes of a cluster agree within a second; the data ports of the other nodes may open a moment later. Whoever
waits for `/readyz` and then uploads must not be told that there are too few nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError
from fluffy.base.ids import NodeNo
from fluffy.core.metadata.model import PlacementMap
from fluffy.ports import NodeClient

# Who starts alone among dead ones is of use to readers, and shall not be kept from them for long.
PATIENCE_S = 5.0
PING_TIMEOUT_S = 1.0
AGAIN_AFTER_S = 0.1


async def meet_others(own_no: NodeNo, peers: NodeClient, placement: Callable[[], PlacementMap], write_quorum: int,
                      patience_s: float = PATIENCE_S) -> int:
    """How many nodes, this one included, take chunks: at least `write_quorum`, or as many as answered in time."""
    deadline = Deadline.after(patience_s)
    while True:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_answers(peers, node, deadline)) for node in _others(own_no, placement)]
        met = 1 + sum(task.result() for task in tasks)
        if met >= write_quorum or deadline.passed:
            return met
        await asyncio.sleep(AGAIN_AFTER_S)


def _others(own_no: NodeNo, placement: Callable[[], PlacementMap]) -> list[NodeNo]:
    try:
        return [node.node_no for node in placement().nodes if node.node_no != own_no]
    except FluffyError:
        return []  # a database that is being made anew


async def _answers(peers: NodeClient, node: NodeNo, deadline: Deadline) -> bool:
    try:
        await peers.ping(node, deadline.at_most(PING_TIMEOUT_S))
    except FluffyError:
        return False
    return True
