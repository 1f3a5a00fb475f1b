"""The log process of a node: Raft, the state machine and the unix socket, on one thread and one loop."""

from __future__ import annotations

import logging
import os
import random
import secrets
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from fluffy.apps.birth_facts import check_birth_facts
from fluffy.apps.genesis import Birth
from fluffy.apps.identity import (
    load_or_create_identity,
    record_cluster_uuid,
    record_log,
    record_removal,
    refuse_lost_log,
)
from fluffy.apps.log_metrics import log_samples
from fluffy.apps.process import run_process
from fluffy.apps.seed import Seed, read_seed
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.boottime import boottime_s
from fluffy.base.checks import EXIT_DISK_FAILED
from fluffy.base.errors import StartRefused
from fluffy.base.ids import ClusterUuid
from fluffy.core.metadata import queries
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.meta_reader import DAMAGED_MARK
from fluffy.drivers.process_facts import ProcessFacts
from fluffy.drivers.raft import library
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles
from fluffy.drivers.raft.checkpoints import CheckpointPolicy, Checkpoints, recover_state
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.jobs import ThreadJobs, WalKeeper
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.links import LinkSettings, TcpLinks
from fluffy.drivers.raft.log_server import LogServer
from fluffy.drivers.raft.membership import FirstMembers, voters_of_genesis
from fluffy.drivers.raft.node import POLL_BUSY_S, POLL_MAX_S, NodeParts, RaftNode
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.drivers.raft.poller import EpollPoller
from fluffy.drivers.raft.state_store import StateStore, is_damage, state_digest
from fluffy.wire.handshake import PeerIdentity, derive_key

log = logging.getLogger(__name__)

# Entries kept behind a checkpoint for followers that lag a little: they need no whole copy then.
RETAIN_ENTRIES = 1024
# How long a stopping leader waits for a follower to take over before it goes anyway.
HANDOVER_S = 1.5
LOOP_STALL_LOGGED_S = 0.5
# Whether another process of the node found the database damaged.
LOOK_FOR_DAMAGE_EVERY_S = 1.0


def removed_sentence(name: str) -> str:
    return (f"node {name} was removed from this cluster, and its disk cannot come back; to let the machine join as a "
            f"new one, empty the folder of the node and start: server.py {name} --join HOST:PORT")


class LogProcess:
    """All parts of one log process, and its loop."""

    def __init__(self, settings: Settings, node: NodeSettings) -> None:
        self.settings = settings
        self.node = node
        self.identity = load_or_create_identity(settings, node)
        refuse_lost_log(node.dir, self.identity)
        self.cluster_uuid = self.identity.cluster_uuid or ""
        self.stopping = False
        self._members_seen = -1
        self._look_for_damage_s = 0.0
        self._slow_turns = 0
        self._facts = ProcessFacts()
        self._jobs = ThreadJobs()
        self._seed = read_seed(node.dir) or Seed({}, ())
        self._poller = EpollPoller()
        self._rng = random.Random(secrets.randbits(64))
        library.install(boottime_s, self._rng)  # a machine that slept must not believe that it still leads
        self._log_folder = node.dir / "log"
        self._disk = RealDisk(self._log_folder, fsync=settings.cluster.fsync)  # taken first: it is the lock
        self.store = StateStore(node.dir)
        self._wal = WalKeeper(lambda: self.store.path)
        self.links = TcpLinks(self._link_settings(), self._poller)
        self.raft = self._make_node()
        self.birth = Birth(settings, self.identity, self.raft, self.links)
        (node.dir / "run").mkdir(mode=0o700, exist_ok=True)
        self.server = LogServer(self.raft, self._poller, node.dir / "run" / "log.sock", status=self.status,
                                digest=self._digest, metrics=self._metrics)
        self._adopt_cluster()

    def run(self) -> None:
        """Turn until SIGTERM; then hand over and end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._wal.start()
        log.info("log.started", extra={"applied": self.store.applied_index, "last": self.raft.journal.last_index})
        while not self.stopping:
            self._turn()
            self._look_whether_removed()
        self._hand_over()
        self.server.close()
        self.raft.close()
        self._wal.stop()
        log.info("log.stopped")

    def _look_whether_removed(self) -> None:
        """End, for good, once this node's own state or another member says that its disk is no member's any more."""
        reason = self.links.gone
        if reason is None and self._members_seen != self.store.members_changed:
            self._members_seen = self.store.members_changed
            if queries.is_retired_disk(self.store.db, self.identity.disk_uuid):
                reason = removed_sentence(self.node.name)
        if reason is not None:
            record_removal(self.node.dir, reason)
            raise StartRefused(reason)

    def _turn(self, timeout_s: float = POLL_MAX_S) -> None:
        began = boottime_s()
        try:
            self.raft.turn(timeout_s)
            self._wal.shorten(self.store.db)
            if began >= self._look_for_damage_s:
                self._look_for_damage_s = began + LOOK_FOR_DAMAGE_EVERY_S
                self._end_if_damaged()
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                (self.node.dir / DAMAGED_MARK).touch()
            log.critical("state.write_failed", extra={"error": str(error)})
            sys.stderr.flush()
            os._exit(EXIT_DISK_FAILED)
        if not self.cluster_uuid:
            self.birth.step()
            self._adopt_cluster()
        took = boottime_s() - began
        if took > LOOP_STALL_LOGGED_S:
            self._slow_turns += 1
            log.warning("log.slow_turn", extra={"seconds": round(took, 3)})

    def _end_if_damaged(self) -> None:
        """Another process of the node could not read the database: the next start makes it anew."""
        if (self.node.dir / DAMAGED_MARK).exists():
            log.critical("state.damaged", extra={"file": self.store.path.name})
            sys.stderr.flush()
            os._exit(EXIT_DISK_FAILED)

    def _hand_over(self) -> None:
        """Take no more proposals; if this node leads, let another take over first, so that nobody waits for an
        election.
        """
        self.server.draining = True
        until = boottime_s() + HANDOVER_S
        asked = False
        while boottime_s() < until and self.raft.raft.is_leader and self.raft.membership.other_voters:
            asked = asked or self.raft.transfer_leadership()
            self._turn(POLL_BUSY_S)
        for _ in range(5):
            self._turn(POLL_BUSY_S)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        if self.stopping:
            os._exit(0)
        self.stopping = True

    # -- parts

    def _link_settings(self) -> LinkSettings:
        return LinkSettings(
            me=lambda: PeerIdentity(self.node.name, self.identity.disk_uuid, self.cluster_uuid),
            key=derive_key(self.settings.secret(), "raft"), bind=(self.node.host, self.node.raft),
            address_of=self._address_of, admit=self._admit, clock=boottime_s,
            is_gone=lambda peer: queries.is_retired_disk(self.store.db, peer.disk_uuid))

    def _address_of(self, name: str) -> tuple[str, int] | None:
        """As the configuration says, else as the log knows it, else as this node was told when it joined.

        None: its vote stands in the log already, but its admission, just before, is not applied here yet.
        """
        for node in self.settings.nodes.values():
            if node.name == name:
                return node.host, node.raft
        for record in queries.node_records(self.store.db):
            if record.name == name:
                return record.host, record.raft
        return next(((node.host, node.raft) for node in self._seed.nodes if node.name == name), None)

    def _make_node(self) -> RaftNode:
        journal = SegmentedJournal(self._disk, retain_entries=RETAIN_ENTRIES)
        record_log(self.node.dir, self.identity)
        files = CheckpointFiles(self.node.dir / "checkpoints")
        recover_state(self.store, files, journal)
        check_birth_facts(self.settings, self.store.db)
        members = self._first_members(journal)
        cluster = self.settings.cluster
        policy = CheckpointPolicy(entries_max=cluster.checkpoint_entries, every_s=cluster.checkpoint_every_ms / 1000)
        election_s = cluster.election_ms / 1000

        def checkpoints(counters: Counter[str]) -> Checkpoints:
            return Checkpoints(files, self.store, journal, start_job=self._jobs.start, clock=boottime_s,
                               counters=counters, policy=policy)

        return RaftNode(NodeParts(
            me=self.node.name, disk=self.identity.disk_uuid, members=members, links=self.links, poller=self._poller,
            journal=journal, store=self.store, checkpoints=checkpoints, clock=boottime_s, rng=self._rng,
            wall_ms=SystemClock().now_ms,
            times=RaftTimes(heartbeat=min(0.05, election_s / 5), election_min=election_s, election_max=2 * election_s,
                            fallback=1.5 * election_s)))

    def _first_members(self, journal: SegmentedJournal) -> FirstMembers:
        """Before the state knows: by the genesis in the log, by what this node was told when it joined, else by the
        configuration, with which a cluster is born.
        """
        if queries.cluster_state(self.store.db) is None and self.cluster_uuid:
            born_with = voters_of_genesis(journal, library.COMMAND)
            if born_with is not None:
                return FirstMembers(born_with)
        if self._seed.nodes:
            return FirstMembers(self._seed.voters, tuple(node.name for node in self._seed.nodes))
        return FirstMembers(dict.fromkeys(map(str, self.settings.nodes), ""))

    def _admit(self, peer: PeerIdentity) -> str | None:
        """A sentence why `peer` may not talk to this node, or None. A disk that was emptied has forgotten what it
        voted.
        """
        if self.cluster_uuid and peer.cluster_uuid and peer.cluster_uuid != self.cluster_uuid:
            return f"{peer.name} belongs to another cluster ({peer.cluster_uuid}, not {self.cluster_uuid})"
        if queries.is_retired_disk(self.store.db, peer.disk_uuid):
            return removed_sentence(peer.name)
        membership = self.raft.membership
        if peer.name not in membership.peers and not self.cluster_uuid:
            return f"{peer.name} is not among the nodes with which this cluster is to be born"
        expected = membership.disk_of(peer.name)
        if not self.cluster_uuid or expected == peer.disk_uuid or peer.cluster_uuid == self.cluster_uuid:
            return None  # who knows the cluster was let in by it once, even if this node has not heard of it yet
        if expected is None:
            return f"{peer.name} is not a member of this cluster: start it with: server.py {peer.name} --join HOST:PORT"
        return (f"the disk of node {peer.name} is not the one this cluster knows: it was emptied or exchanged. An "
                f"admin lets it be admitted again with: recover {peer.name}; then it comes back by itself")

    def _adopt_cluster(self) -> None:
        """Once the state has a cluster: write it to node.json, for good."""
        if self.store.applied_index < 2 or self.cluster_uuid:
            return
        state = queries.cluster_state(self.store.db)
        if state is not None:
            record_cluster_uuid(self.node.dir, ClusterUuid(state.cluster_uuid))
            self.cluster_uuid = state.cluster_uuid
            log.info("cluster.joined", extra={"cluster_uuid": state.cluster_uuid})

    # -- answers

    def status(self) -> dict[str, Any]:
        """The fields of `ports.LogStatus`."""
        raft = self.raft.raft
        leader = raft.leader_name
        peers = [(name, self.raft.transport.is_up(name), self.raft.behind(name))
                 for name in self.raft.transport.peer_names()]
        return {
            "node": self.node.name, "leader": leader, "term": raft.term, "commit_index": raft.commit_index,
            "applied_index": raft.last_applied, "seq": self.store.machine.seq,
            "caught_up": self.raft.caught_up and bool(self.cluster_uuid) and leader is not None,
            "majority_connected": self.raft.majority_connected(),
            "members": sorted(self.raft.membership.voters), "peers": peers,
            "log_bytes": self.raft.journal.log_bytes, "checkpoint_index": self.raft.checkpoints.newest_index,
            "cluster_uuid": self.cluster_uuid or None, "waiting_for": self._waiting_for(),
            "fsync": self.settings.cluster.fsync,
        }

    def _metrics(self) -> bytes:
        samples = log_samples(self.raft, self._disk.fsync_times, self._slow_turns)
        self._facts.tell(samples)
        return samples.pack()

    def _waiting_for(self) -> str | None:
        if self.links.refusals:
            name, reason = sorted(self.links.refusals.items())[0]
            return f"{name} refuses this node: {reason}"
        if not self.cluster_uuid:
            return self.birth.waiting_for()
        if self.raft.raft.leader_name is None:
            return "waiting for a leader" if self.raft.majority_connected() else "waiting for a majority of the nodes"
        return None if self.raft.caught_up else "catching up with the leader"

    def _digest(self, done: Callable[[int, str], None]) -> None:
        """Digest of the state as it is now, in a thread with its own read transaction; answered by that thread's
        end.
        """
        results: list[tuple[int, str]] = []
        worker = threading.Thread(target=lambda: results.append(state_digest(self.store.path)), daemon=True)
        worker.start()

        def look() -> None:
            if results:
                done(*results[0])
            elif worker.is_alive():
                self.raft.after_turn.append(look)

        self.raft.after_turn.append(look)


def serve(settings: Settings, node: NodeSettings, _arguments: Any) -> None:
    LogProcess(settings, node).run()


def main() -> None:
    run_process("log", serve)


if __name__ == "__main__":
    main()

