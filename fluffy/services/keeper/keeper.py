"""All loops of one node's keeper under one parent: when one fails for a reason of our own, all end, and the process."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from fluffy.base.ids import NodeNo
from fluffy.base.units import MINUTE_MS
from fluffy.core.health.failure_detector import PING_EVERY_MS, Patience
from fluffy.core.health.pacing import COPIES_AT_ONCE_MAX, PACES
from fluffy.core.metadata import queries
from fluffy.core.repair.retention import OrphanRules
from fluffy.core.repair.round import Rules
from fluffy.ports import (
    Buffers,
    ChunkStore,
    Clock,
    ManifestLog,
    MetadataLog,
    MetadataReader,
    NodeClient,
    SearchIndex,
    VotersLog,
)
from fluffy.services.keeper.copying import Copier
from fluffy.services.keeper.heal import Candidates, Healer
from fluffy.services.keeper.inventory import Inventory, InventoryMemory
from fluffy.services.keeper.job_work import JobWork
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.lifecycle import LifecycleKeeper
from fluffy.services.keeper.lift import Lifter
from fluffy.services.keeper.log_clock import LogClock
from fluffy.services.keeper.manifests import FOLLOW_EVERY_S as MANIFEST_EVERY_S
from fluffy.services.keeper.manifests import ManifestKeeper
from fluffy.services.keeper.members import MemberKeeper
from fluffy.services.keeper.planner import JobPlanner
from fluffy.services.keeper.rounds import run_rounds
from fluffy.services.keeper.scrub import ScheduledScrub, Scrubber, ScrubMemory
from fluffy.services.keeper.tallies import KeeperTallies
from fluffy.services.keeper.tidy import Tidier
from fluffy.services.keeper.tuning import AskUsers, Tell, Tuner
from fluffy.services.keeper.watch import NodeWatch
from fluffy.services.keeper.worker import Worker
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.search import FOLLOW_EVERY_S, SearchFollower
from fluffy.services.throttle import Throttle

WATCH_EVERY_S = PING_EVERY_MS / 1000
# Missing copies are seen within seconds; a round that finds none is one short scan.
HEAL_EVERY_S = 3.0
PLAN_EVERY_S = 1.0
INVENTORY_EVERY_S = 1.0
SCRUB_EVERY_S = 1.0
TUNE_EVERY_S = 1.0
TIDY_EVERY_S = 60.0
# Lifecycles speak of days; a round walks every bucket that has one.
LIFECYCLE_EVERY_S = 900.0
# After an upgrade people wait for what is new; asking all nodes costs a ping each.
LIFT_EVERY_S = 5.0
# A machine that has joined waits for its vote, an operator for a node to be gone; a round reads a few rows.
MEMBERS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class KeeperRules:
    """What an operator or a test chooses. The default of `Patience` is the product's."""

    patience: Patience
    repair_mode: str
    scrub_days: int
    orphans: OrphanRules
    forget_grace_ms: int
    grace_ms: int = 10 * MINUTE_MS
    tidy_every_s: float = TIDY_EVERY_S
    inventory_rest_s: float = 600.0
    job_delay_s: float = 0.0  # a test's: how much longer each copy takes on this node
    steals: bool = True


@dataclass(frozen=True, slots=True)
class KeeperWorld:
    """The ports of one node. `buffers` hold any chunk; their number is how many copies are made at a time.

    `users` and `tell`: what this node's gateways say and hear once a second.
    """

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
    manifests: ManifestLog
    scrub_memory: ScrubMemory
    inventory_memory: InventoryMemory
    users: AskUsers
    tell: Tell
    tallies: KeeperTallies = field(default_factory=KeeperTallies)


async def run_keeper(world: KeeperWorld, rules: KeeperRules) -> None:
    """Run for ever; cancel to stop. Nothing needs draining: every round can be cut anywhere."""
    log_clock = LogClock(world.clock, world.reader)
    reports = ReplicaReporter(world.log, log_clock, world.own_no)
    leadership = Leadership(world.log, world.own_name)
    watch = NodeWatch(
        world.own_no, leadership, world.log, world.reader, world.peers, log_clock, rules.patience)
    tidier = Tidier(world.own_no, leadership, world.log, world.reader, log_clock, rules.forget_grace_ms)
    throttle = Throttle(world.clock, PACES[rules.repair_mode].bytes_per_s, COPIES_AT_ONCE_MAX)
    healer = Healer(world.own_no, world.reader, world.store, world.peers, reports, world.candidates, throttle,
                    world.disk, world.buffers)
    scrubber = Scrubber(world.own_no, world.store, reports, world.disk, world.buffers, throttle)
    scrub = ScheduledScrub(scrubber, world.clock, rules.scrub_days, world.scrub_memory, world.disk,
                           lambda: _stored_bytes(world))
    planner = JobPlanner(world.own_no, leadership, world.log, world.reader, log_clock, world.candidates,
                         Rules(rules.grace_ms, rules.forget_grace_ms))
    copier = Copier(world.own_no, world.reader, world.store, world.peers, reports, throttle, world.disk, world.buffers,
                    rules.job_delay_s)
    worker = Worker(world.own_no, world.log, world.reader, log_clock,
                    JobWork(world.reader, world.store, world.clock, world.disk, copier, scrubber),
                    lambda: tuner.pace.copies_max, steals=rules.steals, tallies=world.tallies)
    inventory = Inventory(world.own_no, world.log, world.reader, world.store, reports, world.clock, world.disk,
                          world.buffers, world.inventory_memory, rules.orphans, rules.inventory_rest_s)
    words = {"scrub": scrub.word, "jobs": worker.word, "inventory": inventory.word, "watch": watch.word}
    tuner = Tuner(rules.repair_mode, world.reader, world.clock, throttle, world.users,
                  world.tallies.hearing(world.tell), words)
    lifter = Lifter(world.own_no, leadership, world.log, world.reader, world.peers, log_clock)
    members = MemberKeeper(world.own_no, leadership, world.log, world.voters, world.reader, log_clock)
    lifecycle = LifecycleKeeper(world.own_no, leadership, world.log, world.reader, world.clock)
    search = SearchFollower(world.reader, world.search, world.clock, world.disk)
    manifests = ManifestKeeper(world.reader, world.manifests, world.clock, world.disk, also=search.take)
    rounds = partial(run_rounds, tallies=world.tallies)
    async with asyncio.TaskGroup() as group:
        group.create_task(reports.run(), name="replica reports")
        group.create_task(rounds("watch over the nodes", WATCH_EVERY_S, watch.one_round), name="watch")
        group.create_task(rounds("tidying", rules.tidy_every_s, tidier.one_round), name="tidy")
        group.create_task(rounds("making missing copies", HEAL_EVERY_S, healer.one_round), name="heal")
        group.create_task(rounds("inventory", INVENTORY_EVERY_S, inventory.one_round), name="inventory")
        group.create_task(rounds("lifting the feature level", LIFT_EVERY_S, lifter.one_round), name="lift")
        group.create_task(rounds("lifecycles", LIFECYCLE_EVERY_S, lifecycle.one_round), name="lifecycles")
        group.create_task(rounds("the members", MEMBERS_EVERY_S, members.one_round), name="members")
        group.create_task(rounds("planning", PLAN_EVERY_S, planner.one_round), name="plan")
        group.create_task(worker.run(), name="jobs")
        group.create_task(rounds("scrub", SCRUB_EVERY_S, scrub.one_round), name="scrub")
        group.create_task(rounds("the pace", TUNE_EVERY_S, tuner.one_round), name="tune")
        group.create_task(rounds("the search index", FOLLOW_EVERY_S, search.one_round), name="search")
        group.create_task(rounds("the manifests", MANIFEST_EVERY_S, manifests.one_round), name="manifests")


def _stored_bytes(world: KeeperWorld) -> int:
    """What the catalog says is on this node."""
    members = world.reader.read(queries.members)
    return next((member.bytes for member in members if member.record.node_no == world.own_no), 0)
