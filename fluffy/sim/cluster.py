"""A whole cluster in one thread: the real Raft code and the real state machine on simulated clocks, networks and disks.

`simulate(seed)` runs one: birth, troubled times under load, calm. The same seed gives the same run, event by event, in
every process; its trace hash says so.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TextIO

from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import Change, FileVersion
from fluffy.core.metadata.outcomes import Rejected
from fluffy.drivers.raft import library
from fluffy.drivers.raft.checkpoints import CheckpointPolicy
from fluffy.drivers.raft.membership import FirstMembers
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.sim.checkers import Checks
from fluffy.sim.clients import Clients, Workload
from fluffy.sim.clock import RunsInCircles, Trace, World
from fluffy.sim.growing import Growing
from fluffy.sim.member import Member, MemberOptions, Stock
from fluffy.sim.nemesis import Nemesis
from fluffy.sim.network import NetworkTimes, SimNetwork
from fluffy.sim.places import KINDS, contents_of
from fluffy.sim.scale import crash_points, replaced, scaled_sizes
from fluffy.sim.stock import decode_unchecked, encode_unchecked, stock_transport

TROUBLE_S = 9.0
# Elections take up to 1.2 s each, streams are noticed dead after 1.5 s, a lost answer is asked again after 2 s. Where
# checkpoints travel in the smallest parts a state without files (111 pages since format 3) takes 6 s, and several of
# them are needed when the log keeps nothing behind them (seeds 1679; 3010 with --grows). Who stands still is found too.
CALM_MAX_S = 75.0
FEED_PAGE = 100_000
VIOLATIONS_MAX = 20
# Databases live on a memory file system where there is one: their fsyncs are then free.
MEMORY_FOLDER = Path("/dev/shm")


@dataclass(slots=True)
class Result:
    """What one run found."""

    seed: int
    violations: list[str]
    counters: Counter[str]
    trace_hash: str
    simulated_s: float
    events: int
    lost: list[int] = field(default_factory=list)  # acknowledged writes that are gone
    writes_acked: int = 0
    reads: int = 0


@dataclass(slots=True)
class Plan:
    """Everything about a run that is decided before it begins, by the seed."""

    members: int
    options: MemberOptions
    network: NetworkTimes
    load: Workload
    trouble_every_s: float
    sizes: dict[str, int] = field(default_factory=dict)


def plan_for(rng: Random, stock: Stock | None = None) -> Plan:
    """Sizes are small by chance, so that every window, batch and segment ends often in some runs.

    The library's transport shows its faults when more is under way than one of its messages holds, and streams break:
    then many clients write little things over a slow network, and there is much trouble.
    """
    options = MemberOptions(
        # A leader that holds on for long after it lost its followers is where stale reads would come from.
        times=RaftTimes(heartbeat=0.1, election_min=0.6, election_max=1.2, fallback=rng.choice((0.9, 2.5))),
        segment_bytes=rng.choice((2_000, 20_000, 1_000_000)), memory_bytes=rng.choice((0, 10_000, 1_000_000)),
        retain_entries=rng.choice((0, 0, 20)),
        policy=CheckpointPolicy(log_bytes_min=1 << 40, entries_max=rng.choice((40, 150, 100_000)), every_s=3.0),
        fsync_s=rng.choice((0.0002, 0.002, 0.01)))
    network = NetworkTimes(delay=rng.choice((0.0002, 0.001, 0.01)), jitter=rng.choice((0.0002, 0.005)),
                           spike=0.2, spike_chance=rng.choice((0.0, 0.002, 0.01)))
    load = Workload(clients=rng.choice((2, 4, 8)), think_s=rng.choice((0.02, 0.1)), until_s=TROUBLE_S,
                    content_bytes_max=rng.choice((50, 1500)))
    trouble_every_s = rng.choice((0.3, 0.6, 1.2))
    if stock == "transport":
        load = Workload(clients=16, think_s=0.01, until_s=TROUBLE_S, content_bytes_max=50)
        network = NetworkTimes(delay=0.01, jitter=0.01, spike=0.2, spike_chance=0.01)
        trouble_every_s = 0.3
    sizes = {"group_commands": 2 if stock == "transport" else rng.choice((1, 3, 512)),
             "batch_bytes": rng.choice((600, 4_000, 1 << 20)), "part_bytes": rng.choice((8_000, 60_000, 1 << 20)),
             "window_bytes": rng.choice((4_000, 100_000, 8 << 20))}
    return Plan(members=rng.choice((3, 3, 3, 5)), options=options, network=network, load=load,
                trouble_every_s=trouble_every_s, sizes=sizes)


class Cluster:
    """The members, their network, the clients and the troubles of one run. Use within `simulate` or a test."""

    def __init__(self, world: World, plan: Plan, folder: Path, stock: Stock | None = None, *,
                 grows: bool = False) -> None:
        self.world = world
        self.plan = plan
        self.stock = stock
        self.checks = Checks()
        names = tuple(("one", "two", "three", "four", "five")[:plan.members])
        self.network = SimNetwork(world, plan.network, self._wake)
        if stock == "transport":
            self.network.encode, self.network.decode = encode_unchecked, decode_unchecked
        self._folder = folder
        self.members: list[Member] = []
        self._by_name: dict[str, Member] = {}
        for number, name in enumerate(names, start=1):
            self._add(name, f"disk-{number}", FirstMembers(dict.fromkeys(names, "")))
        self.clients = Clients(world, self.members, self.checks, plan.load)
        self.growing = Growing(
            world, self.members, self.network, self.checks, until_s=TROUBLE_S,
            add=lambda name, disk, seeds: self._add(name, disk, FirstMembers(self._voters_known(seeds), seeds)),
        ) if grows else None
        self.nemesis = Nemesis(world, self.members, self.network, every_s=plan.trouble_every_s, until_s=TROUBLE_S)

    def _add(self, name: str, disk_uuid: str, first: FirstMembers) -> Member:
        member = Member(self.world, self.network, self.checks, self._folder, name=name, first=first,
                        disk_uuid=disk_uuid, options=self.plan.options, stock=self.stock)
        member.on_crash_at_operation = self.nemesis.back_soon if self.members and hasattr(self, "nemesis") else (
            member.on_crash_at_operation)
        self.network.disks[name] = disk_uuid
        self.members.append(member)
        self._by_name[name] = member
        return member

    def _voters_known(self, seeds: tuple[str, ...]) -> dict[str, str]:
        """What the member that was asked told the newcomer; any of them will do."""
        return {name: self.network.disks.get(name, f"disk-{name}") for name in seeds}

    def _wake(self, name: str) -> None:
        self._by_name[name].wake()

    def before_fsync(self, path: Path) -> None:
        """A member is about to sync one of its files."""
        for member in self.members:
            member.before_fsync(path)

    def start(self) -> None:
        for member in self.members:
            self.world.after(0.2 * self.world.rng.random(), member.start)

    @property
    def broken(self) -> bool:
        """Whether enough is known. With a part of the stock library in it, a run goes on until a write is lost."""
        if self.stock is None:
            return bool(self.checks.violations)
        return bool(self.checks.lost) or len(self.checks.violations) > VIOLATIONS_MAX

    def run(self) -> None:
        """Birth, trouble, calm, judgement."""
        self.start()
        self.clients.start()
        self.nemesis.start()
        if self.growing is not None:
            self.growing.start()
        self.world.run_until(TROUBLE_S, lambda: self.broken)
        self.settle()

    def settle(self) -> None:
        """The calm end: everything must finish, and then everything must fit."""
        if self.broken:
            return
        self.nemesis.calm()
        end_s = self.world.now_s + CALM_MAX_S
        self.world.run_until(end_s, lambda: self.broken or self.clients.finished)
        self.clients.last_words()
        self.world.run_until(end_s, lambda: self.broken or (self.clients.finished and self.level))
        if not self.broken:
            self._judge()

    @property
    def level(self) -> bool:
        """All members are up and stand at the newest entry."""
        return all(member.refused or member.is_absent or (member.node is not None
                                      and member.node.raft.last_applied == self.checks.applied_max)
                   for member in self.members)

    def _judge(self) -> None:
        checks = self.checks
        if not self.clients.finished or not self.level:
            standing = ", ".join(
                f"{member.name} {member.node.raft.last_applied if member.node is not None else 'down'}"
                for member in self.members)
            checks.violated(f"not finished in the calm: {self.clients.busy} clients wait, {standing}")
            return
        for member in self.members:
            if member.store is not None:
                checks.state_at(member.name, member.store.applied_index, member.store.machine.digest())
                db = member.store.db

        def current(path: str) -> FileVersion | None:
            return queries.file_version(db, parse_path(path))

        feed: list[Change] = list(queries.changes(db, 0, FEED_PAGE))
        checks.finish(feed, current, contents_of(db))

    def close(self) -> None:
        for member in self.members:
            member.kill()

    def counters(self) -> Counter[str]:
        """How often each rare path was taken, by all members in all their lives."""
        total = Counter(self.network.counters) + self.nemesis.counters + self.checks.counters
        if self.growing is not None:
            total += self.growing.counters
        for member in self.members:
            total.update(member.counters)
            total.update({f"disk_{name}": count for name, count in member.disk.counters.items()})
        total["terms_led"] = self.checks.terms_led
        for write in self.checks.writes:
            if write.kind in KINDS:
                code = write.outcome.code if isinstance(write.outcome, Rejected) else "done"
                total[f"places_{write.kind}_{code}"] += 1
        total["retried_writes"] = sum(write.tries > 1 for write in self.checks.writes)
        return total


def simulate(seed: int, *, stock: Stock | None = None, trace_file: TextIO | None = None,
             grows: bool = False) -> Result:
    """One run of one seed. `grows`: machines join and go meanwhile."""
    world = World(seed, Trace(trace_file))
    plan = plan_for(world.rng, stock)
    folder = Path(tempfile.mkdtemp(prefix="fluffy-sim-", dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        stack.enter_context(replaced(scaled_sizes(**plan.sizes)))
        library.install(world.clock, world.rng)
        if stock == "transport":
            stack.enter_context(replaced(stock_transport()))
        cluster = Cluster(world, plan, folder, stock, grows=grows)
        stack.enter_context(replaced(crash_points(cluster.before_fsync)))
        stack.callback(cluster.close)
        try:
            cluster.run()
        except (Exception, RunsInCircles) as error:  # noqa: BLE001 - any exception is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            cluster.checks.violated(f"{type(error).__name__}: {error} (in {where.name}, {Path(where.filename).name}:"
                                    f"{where.lineno})")
        acked = sum(write.outcome is not None for write in cluster.checks.writes)
        return Result(seed, cluster.checks.violations, cluster.counters(), world.trace.digest(), world.now_s,
                      world.events, cluster.checks.lost, acked, len(cluster.checks.reads))
