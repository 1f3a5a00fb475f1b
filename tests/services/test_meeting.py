"""A node is ready when it has found enough of those who keep copies."""

from __future__ import annotations

import asyncio
import time

from fluffy.base.deadline import Deadline
from fluffy.base.errors import PeerUnreachable
from fluffy.base.ids import NodeNo
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.services.meeting import meet_others
from tests.support.scripted_peers import ScriptedPeers

MAP = PlacementMap(1, tuple(NodeState(NodeNo(no), "up", "", 1) for no in (1, 2, 3)))


class Sleepers(ScriptedPeers):
    """Peers that answer once they are awake."""

    def __init__(self, *awake: int) -> None:
        super().__init__()
        self.awake = {*awake}

    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        if node not in self.awake:
            raise PeerUnreachable
        return await super().ping(node, deadline)


async def test_one_of_two_others_is_enough_for_a_quorum_of_two() -> None:
    assert await meet_others(NodeNo(1), Sleepers(3), lambda: MAP, 2) == 2


async def test_those_who_wake_later_are_waited_for() -> None:
    peers = Sleepers()
    asyncio.get_running_loop().call_later(0.15, peers.awake.add, 2)
    began_s = time.monotonic()
    assert await meet_others(NodeNo(1), peers, lambda: MAP, 2) == 2
    assert time.monotonic() - began_s > 0.1


async def test_who_stays_alone_is_ready_in_the_end() -> None:
    assert await meet_others(NodeNo(1), Sleepers(), lambda: MAP, 2, patience_s=0.05) == 1
