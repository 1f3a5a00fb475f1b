"""One simulated machine: its disk, its folder, and the process that runs the real Raft code on them, for a while.

The journal lives on `SimDisk`. The database and the checkpoints are real SQLite files on a memory file system; when the
power fails, the write-ahead log of the database loses its end (it is never synced between checkpoints), and what was
safe stays.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import StartRefused
from fluffy.core.metadata.outcomes import Outcome
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles, Copied
from fluffy.drivers.raft.checkpoints import CheckpointPolicy, Checkpoints, recover_state
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.membership import FirstMembers
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.node import NodeParts, RaftNode
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.drivers.raft.state_store import StateStore
from fluffy.sim.checkers import DIGEST_EVERY_ENTRIES, Checks
from fluffy.sim.clock import World
from fluffy.sim.disk import SimDisk, SimDiskFailed
from fluffy.sim.network import SimLinks, SimNetwork, SimPoller
from fluffy.sim.stock import StockCheckpoints, StockDisk, StockJournal

# A turn without a sync takes about this long on a real machine.
TURN_S = 0.0002
# A turn that found nothing to do sleeps; messages wake it.
IDLE_S = 0.05
NEVER_S = float("inf")
ANY_OPERATION = frozenset({"write", "fdatasync", "truncate", "create", "rename", "unlink", "sync_folder", "fsync"})

Stock = Literal["transport", "journal"]


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """Sizes and times of a run. Small, so that segments, checkpoints and windows end often."""

    times: RaftTimes
    segment_bytes: int
    memory_bytes: int
    retain_entries: int
    policy: CheckpointPolicy
    fsync_s: float


class WatchedStore(StateStore):
    """The real state, whose every step is checked."""

    def __init__(self, folder: Path, name: str, checks: Checks) -> None:
        super().__init__(folder)
        self._name = name
        self._checks = checks

    def apply(self, entries: list[tuple[int, int, bytes]]) -> list[list[Outcome]]:
        self._checks.applies(self._name, self.applied_index, entries)
        outcomes: list[list[Outcome]] = []
        begin = 0
        for at, (index, _term, _group) in enumerate(entries):
            if index % DIGEST_EVERY_ENTRIES == 0:
                outcomes += super().apply(entries[begin:at + 1])
                begin = at + 1
                self._checks.state_at(self._name, index, self.machine.digest())
        return outcomes + super().apply(entries[begin:]) if begin < len(entries) else outcomes


class SimJob:
    """A checkpoint copy beside the loop: it looks at the database at one moment, and is done at a later one."""

    def __init__(self, world: World, work: Callable[[], Copied]) -> None:
        self._world = world
        self._work = work
        self._runs_s = world.now_s + world.rng.random() * 0.05
        self._done_s = self._runs_s + world.rng.random() * 0.4
        self._copied: Copied | None = None

    def poll(self) -> Copied | None:
        if self._copied is None and self._world.now_s >= self._runs_s:
            self._copied = self._work()
        return self._copied if self._world.now_s >= self._done_s else None


class Member:
    """A machine. `node` is its running process, or None."""

    def __init__(self, world: World, network: SimNetwork, checks: Checks, folder: Path, *, name: str,
                 first: FirstMembers, disk_uuid: str, options: MemberOptions, stock: Stock | None = None) -> None:
        self.world = world
        self.network = network
        self.checks = checks
        self.name = name
        self.first = first
        self.disk_uuid = disk_uuid
        self.is_absent = False  # admitted, and never started
        self.options = options
        self.stock = stock
        self.disk = (StockDisk if stock == "journal" else SimDisk)(Random(world.rng.getrandbits(64)))
        self.disk.before_operation = self._disk_operation
        self.node: RaftNode | None = None
        self.store: WatchedStore | None = None
        self.counters: Counter[str] = Counter()
        self.paused_until_s = 0.0
        self.fsync_s = options.fsync_s
        self.crash_at_operation: int | None = None
        self.crash_at_kinds: frozenset[str] | None = None  # None: any operation counts
        self.refused: str | None = None
        self.on_crash_at_operation: Callable[[Member], None] = lambda member: member.power_off()
        self._base = folder
        self._lives = 0
        self._applied_before = 0
        self._wal_synced: dict[str, tuple[bytes, int]] = {}  # what of each write-ahead log was synced
        self._folder = self._base / f"{name}-0"
        self._folder.mkdir()
        self._links: SimLinks | None = None
        self._skew_s = 0.0
        self._next_s = NEVER_S
        self._busy_until_s = 0.0
        self._turning = self._woken = False
        self._scheduled = 0
        self._changes_seen = 0

    # -- life and death

    @property
    def up(self) -> bool:
        return self.node is not None

    def start(self) -> None:
        """Start the process on what the disk holds."""
        if self.node is not None or self.refused is not None or self.is_absent:
            return
        world = self.world
        self._skew_s = world.rng.random() * 1e6
        world.skew_s = self._skew_s
        self.counters["starts"] += 1
        links = self._links = self.network.attach(self.name)
        try:
            self.node = self._make_node(links)
        except SimDiskFailed:
            self._died_of_disk()
            return
        except StartRefused as error:
            self.refused = error.message
            self.counters["start_refused"] += 1
            self._close_store()
            self.network.detach(self.name, silently=False)
            if self.stock != "journal":  # else it is no wonder
                self.checks.violated(f"{self.name} refuses to start: {error.message}")
            return
        finally:
            world.spent_s = 0.0
        world.note(f"start {self.name} last={self.node.journal.last_index} applied={self.node.store.applied_index}")
        self.wake(0.0)

    def _make_node(self, links: SimLinks) -> RaftNode:
        store = self.store = WatchedStore(self._folder, self.name, self.checks)
        journal = self._make_journal()
        if self.stock is None:
            links.watch = lambda receiver, message: self._sends(receiver, message, journal)
        files = CheckpointFiles(self._folder / "checkpoints")
        self.counters["state_behind_its_log"] += store.applied_index < self._applied_before
        found_index = store.applied_index
        recover_state(store, files, journal)
        self.counters["restored_from_checkpoint"] += store.applied_index > found_index

        def checkpoints(counters: Counter[str]) -> Checkpoints:
            make = StockCheckpoints if self.stock == "transport" else Checkpoints
            return make(files, store, journal, start_job=lambda work: SimJob(self.world, work), clock=self.world.clock,
                        counters=counters, policy=self.options.policy)

        return RaftNode(NodeParts(
            me=self.name, disk=self.disk_uuid, members=self.first, links=links,
            poller=SimPoller(links), journal=journal, store=store,
            checkpoints=checkpoints, clock=self.world.clock, rng=self.world.rng, times=self.options.times))

    def _sends(self, receiver: str, message: Message, journal: SegmentedJournal) -> None:
        self.checks.sends(self.name, receiver, message, journal.synced_index)
        node = self.node
        if node is not None and message["type"] == "request_vote":
            has_vote = node.membership.voters.get(self.name) in ("", self.disk_uuid)
            self.checks.require(has_vote, lambda: f"{self.name} stands for election and has no vote")

    def _make_journal(self) -> SegmentedJournal:
        if isinstance(self.disk, StockDisk):
            journal: Any = StockJournal(self.disk)
            return journal  # type: ignore[no-any-return]  # it answers the same questions
        options = self.options
        return SegmentedJournal(
            self.disk, segment_bytes=options.segment_bytes, memory_bytes=options.memory_bytes,
            retain_entries=options.retain_entries, salt=lambda: self.world.rng.randbytes(8))

    def kill(self) -> None:
        """kill -9: the process is gone, the kernel keeps what was written."""
        if self.node is not None:
            self._leave("kill", silently=False)
            self.disk.kill()

    def power_off(self) -> None:
        """The machine is gone, with everything that was not synced."""
        if self.node is not None:
            self._leave("power_off", silently=True)
            self._lose_what_was_not_synced()

    def _lose_what_was_not_synced(self) -> None:
        self.disk.crash()
        if self.stock == "journal":  # the library keeps its state in memory, and makes it anew from the log
            for database in self._folder.glob("meta.*"):
                database.unlink()
        for wal in sorted(self._folder.glob("meta.*.db-wal")):
            size = wal.stat().st_size
            generation, safe_bytes = self._wal_synced.get(wal.name, (b"", 0))
            floor = safe_bytes if generation == _wal_generation(wal) else 0
            kept = self.world.rng.randrange(size - floor + 1) if self.world.rng.random() < 0.7 else 0
            os.truncate(wal, floor + kept)

    def stop(self) -> None:
        """A clean end."""
        node = self.enter()
        if node is None:
            return
        try:
            node.journal.sync()
        except SimDiskFailed:
            self._died_of_disk()
            return
        finally:
            self.world.spent_s = 0.0
        self._leave("stop", silently=False)
        self.disk.kill()

    def _leave(self, how: str, *, silently: bool) -> None:
        """End the process: everything in its memory is gone; its files stay as they are at this moment."""
        if self.node is not None:
            self._applied_before = self.node.store.applied_index
            self.counters.update(self.node.counters)
            stats = self.node.journal.stats
            self.counters.update(
                torn_tails_cut=int(stats.torn_bytes_cut > 0), log_bodies_read_back=stats.bodies_read_back,
                log_segments_removed=stats.segments_removed, log_resets=stats.resets)
            self.counters["crash_during_checkpoint"] += self.node.checkpoints.busy
            self.node.checkpoints.close()
        self.counters[how] += 1
        self.world.note(f"{how} {self.name}")
        self.node = None
        self._changes_seen = 0
        self._scheduled += 1
        self._next_s, self._busy_until_s = NEVER_S, 0.0
        self.crash_at_operation = None
        self.network.detach(self.name, silently=silently)
        self._lives += 1
        after = self._base / f"{self.name}-{self._lives}"
        shutil.copytree(self._folder, after, symlinks=True, ignore=shutil.ignore_patterns("*-shm"))
        self._close_store()
        shutil.rmtree(self._folder)
        self._folder = after

    def _close_store(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None

    def _died_of_disk(self) -> None:
        self.counters["crash_at_disk_operation"] += 1
        self._leave("power_off", silently=True)
        self._lose_what_was_not_synced()
        self.on_crash_at_operation(self)

    def _disk_operation(self, kind: str, _name: str) -> None:
        if kind in ("fdatasync", "fsync"):
            self.world.spent_s += self.fsync_s * (0.5 + self.world.rng.random())
        if self.crash_at_operation is not None and kind in (self.crash_at_kinds or ANY_OPERATION):
            self.crash_at_operation -= 1
            if self.crash_at_operation < 0:
                self.crash_at_operation = None
                raise SimDiskFailed(f"the power of {self.name} fails before {kind}")

    def move_wal(self) -> bool:
        """What the real process does beside its loop: sync the write-ahead log, move it into the database."""
        if self.store is None:
            return False
        wal = self.store.path.with_name(self.store.path.name + "-wal")
        self.store.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._wal_synced[wal.name] = (_wal_generation(wal), wal.stat().st_size)
        return True

    def before_fsync(self, path: Path) -> None:
        """One of the files in the folder is about to be synced. A crash leaves any part of it."""
        if self._folder not in path.parents and path != self._folder:
            return
        try:
            self._disk_operation("fsync", path.name)
        except SimDiskFailed:
            self.counters["crash_at_file_fsync"] += 1
            if path.is_file():
                os.truncate(path, self.world.rng.randrange(path.stat().st_size + 1))
            raise

    # -- turns

    def wake(self, delay_s: float = 0.0) -> None:
        """Have the next turn of the loop come no later than `delay_s` from now."""
        if self.node is None or self._turning:
            self._woken = True
            return
        when_s = max(self.world.now_s + delay_s, self.paused_until_s, self._busy_until_s)
        if self._next_s <= when_s:
            return
        self._next_s = when_s
        self._scheduled += 1
        mine = self._scheduled
        self.world.at(when_s, lambda: self._turn(mine))

    def pause(self, seconds: float) -> None:
        """Stop the process for a while, as a debugger or a swapping machine does."""
        self.counters["pause"] += 1
        self.paused_until_s = self.world.now_s + seconds
        if self._links is not None:
            self._links.paused = True
        self._next_s = NEVER_S
        self.wake()

    def enter(self) -> RaftNode | None:
        """The running process, for a call into it from outside its loop: its clock is the clock now."""
        self.world.skew_s = self._skew_s
        return self.node

    def _turn(self, scheduled: int) -> None:
        node, links, world = self.node, self._links, self.world
        if scheduled != self._scheduled or node is None or links is None:
            return
        links.paused = False
        self._next_s, self._turning, self._woken = NEVER_S, True, False
        world.skew_s, world.spent_s = self._skew_s, 0.0
        arrived = len(links.inbox)
        try:
            node.turn(0.0)
        except SimDiskFailed:
            self._turning = False
            self._died_of_disk()
            return
        except InvariantBroken as error:
            self._turning = False
            self.checks.violated(f"{self.name} stopped with a bug: {error}")
            self.kill()
            return
        finally:
            spent_s, world.spent_s = world.spent_s, 0.0
            self._turning = False
        raft = node.raft
        world.note(f"turn {self.name} t={raft.term} l={int(raft.is_leader)} c={raft.commit_index} "
                   f"a={raft.last_applied} n={node.journal.last_index} in={arrived}")
        if raft.is_leader:
            voters = tuple(node.membership.voters) if self.stock is None else ()
            self.checks.leads(self.name, raft.term, voters)
            self._check_changes(node)
        if self.stock is None:
            self.checks.stands(self.name, raft.last_applied, node.journal.synced_index)
        self._busy_until_s = world.now_s + spent_s
        busy = self._woken or arrived or raft.last_applied < raft.commit_index or node.reads.busy
        self.wake(spent_s + (TURN_S if busy else IDLE_S))


    def _check_changes(self, node: RaftNode) -> None:
        """A leader that has just appended a change of the members had no other one on its way."""
        changed = node.counters["membership_changed"]
        if changed > self._changes_seen:
            self.checks.require(node.membership.pending <= 1 and changed == self._changes_seen + 1,
                                lambda: f"{self.name} has two changes of the members on their way")
        self._changes_seen = changed


def _wal_generation(wal: Path) -> bytes:
    """The salt in the head of a write-ahead log: another one after it was begun anew."""
    with wal.open("rb") as file:
        return file.read(24)[16:]
