"""Nodes that say of themselves what a test plants, for `about` and `ping`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fluffy import __version__
from fluffy.base.deadline import Deadline
from fluffy.base.errors import PeerUnreachable
from fluffy.base.ids import NodeNo
from fluffy.base.units import GIB
from fluffy.core.metadata.commands import FEATURE_LEVEL
from tests.support.scripted_peers import ScriptedPeers


@dataclass
class PlantedNodes(ScriptedPeers):
    """`facts`: what a node says otherwise than a node in good order. `silent`: these do not answer."""

    facts: dict[NodeNo, dict[str, int | str]] = field(default_factory=dict)
    silent: set[NodeNo] = field(default_factory=set)

    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        if node in self.silent:
            raise PeerUnreachable(node_no=node)
        return {"free_bytes": 1 << 40, "level": int(self.said(node)["level"])}

    async def about(self, node: NodeNo, deadline: Deadline) -> dict[str, int | str]:
        if node in self.silent:
            raise PeerUnreachable(node_no=node)
        return self.said(node)

    def said(self, node: NodeNo) -> dict[str, int | str]:
        now_ms = int(time.time() * 1000) + int(self.facts.get(node, {}).get("clock_ms", 0))
        return {"version": __version__, "level": FEATURE_LEVEL, "free_bytes": 60 * GIB, "total_bytes": 100 * GIB,
                "fsync": 1, "seq": 1 << 40, "leader": "one", "quarantined": 0, "search_state": "ready",
                "search_behind": 0, "search_lag_ms": 0, "now_ms": now_ms, **self.facts.get(node, {})}
