"""All loops of one node's keeper under one parent: when one fails for a reason of our own, all end, and the process."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from fluffy.base.ids import NodeNo
from fluffy.core.health.failure_detector import PING_EVERY_MS, Patience
from fluffy.core.health.pacing import Pace
from fluffy.core.repair.retention import OrphanRules
from fluffy.ports import Buffers, ChunkStore, Clock, MetadataLog, MetadataReader, NodeClient, SearchIndex, VotersLog
from fluffy.services.keeper.heal import Candidates, Healer
from fluffy.services.keeper.inventory import Inventory
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.lift import Lifter
from fluffy.services.keeper.members import MemberKeeper
from fluffy.services.keeper.rounds import run_rounds
from fluffy.services.keeper.tidy import Tidier
from fluffy.services.keeper.watch import NodeWatch
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.search import FOLLOW_EVERY_S, SearchFollower

WATCH_EVERY_S = PING_EVERY_MS / 1000
# Missing copies are seen within seconds; a round that finds none is one short scan.
HEAL_EVERY_S = 3.0
INVENTORY_EVERY_S = 1.0
TIDY_EVERY_S = 60.0
# After an upgrade people wait for what is new; asking all nodes costs a ping each.
LIFT_EVERY_S = 5.0
# A machine that has joined waits for its vote, an operator for a node to be gone; a round reads a few rows.
MEMBERS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class KeeperRules:
    """What an operator or a test chooses. The defaults of `Pace` and `Patience` are the product's."""

    patience: Patience
    pace: Pace
    orphans: OrphanRules
    forget_grace_ms: int
    tidy_every_s: float = TIDY_EVERY_S
    inventory_rest_s: float = 600.0


@dataclass(frozen=True, slots=True)
class KeeperWorld:
    """The ports of one node. `buffers` hold any chunk; their number is how many copies are made at a time."""

    own_no: NodeNo
    own_name: str
    log: MetadataLog
    voters: VotersLog
    reader: MetadataReader
    store: ChunkStore
    peers: NodeClient
    clock: Clock
    candidates: Candidates
    disk: Executor
    buffers: Buffers
    search: SearchIndex


async def run_keeper(world: KeeperWorld, rules: KeeperRules) -> None:
    """Run for ever; cancel to stop. Nothing needs draining: every round can be cut anywhere."""
    reports = ReplicaReporter(world.log, world.clock, world.own_no)
    leadership = Leadership(world.log, world.own_name)
    watch = NodeWatch(
        world.own_no, leadership, world.log, world.reader, world.peers, world.clock, rules.patience)
    tidier = Tidier(world.own_no, leadership, world.log, world.reader, world.clock, rules.forget_grace_ms)
    healer = Healer(world.own_no, world.reader, world.store, world.peers, reports, world.candidates, world.clock,
                    rules.pace, world.disk, world.buffers)
    inventory = Inventory(world.own_no, world.log, world.reader, world.store, reports, world.clock, world.disk,
                          rules.orphans, rules.inventory_rest_s)
    lifter = Lifter(world.own_no, leadership, world.log, world.reader, world.peers, world.clock)
    members = MemberKeeper(world.own_no, leadership, world.log, world.voters, world.reader, world.clock)
    search = SearchFollower(world.reader, world.search, world.clock, world.disk)
    async with asyncio.TaskGroup() as group:
        group.create_task(reports.run(), name="replica reports")
        group.create_task(run_rounds("watch over the nodes", WATCH_EVERY_S, watch.one_round), name="watch")
        group.create_task(run_rounds("tidying", rules.tidy_every_s, tidier.one_round), name="tidy")
        group.create_task(run_rounds("making missing copies", HEAL_EVERY_S, healer.one_round), name="heal")
        group.create_task(run_rounds("inventory", INVENTORY_EVERY_S, inventory.one_round), name="inventory")
        group.create_task(run_rounds("lifting the feature level", LIFT_EVERY_S, lifter.one_round), name="lift")
        group.create_task(run_rounds("the members", MEMBERS_EVERY_S, members.one_round), name="members")
        group.create_task(run_rounds("the search index", FOLLOW_EVERY_S, search.one_round), name="search")
