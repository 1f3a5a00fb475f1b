"""A whole replicated log in one object, for tests of the rooms above it: the real state machine on a real file.

What is missing is Raft. Everything else is the product's: commands go through their wire form, `meta.db` is a link to
a numbered file in WAL mode, answers come after the commit, refusals are raised as their errors.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FluffyError, error_for
from fluffy.base.ids import ClusterUuid, NodeNo, UserNo, new_cluster_uuid, new_disk_uuid, new_request_id
from fluffy.core.metadata.commands import Command, Genesis, Header, NodeRecord
from fluffy.core.metadata.machine import StateMachine
from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.meta_reader import MetaReader
from fluffy.drivers.raft.state_store import StateStore
from fluffy.ports import LogStatus, PeerLag
from fluffy.wire.log_entries import decode_command, encode_command

NODE_NAMES = ("one", "two", "three", "four", "five", "six", "seven")
ADMIN_NO = UserNo(1)
FIRST_NODE = NodeNo(1)
ADMIN_TOKEN = "test-admin-token"


class LocalLog:
    """Implements `ports.MetadataLog`.

    `refuse_with`: raised by `propose` and `barrier` while set, as if the cluster had no leader or no majority.
    `term`: what leader work must carry.
    """

    def __init__(self, node_dir: Path, node: str = "one", members: tuple[str, ...] = NODE_NAMES[:1]) -> None:
        node_dir.mkdir(parents=True, exist_ok=True)
        self.node_dir = node_dir
        self.store = StateStore(node_dir)
        self.node = node
        self.members = members
        self.term = max(1, self.machine.applied_term)
        self.refuse_with: FluffyError | None = None
        self.checkpoint_index = 0

    @property
    def db(self) -> sqlite3.Connection:
        return self.store.db

    @property
    def machine(self) -> StateMachine:
        return self.store.machine

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        if self.refuse_with is not None:
            raise self.refuse_with
        if deadline.passed:
            raise DeadlineExceeded
        return self.apply(command)

    def apply(self, command: Command) -> Accepted:
        """`propose` for tests without a loop."""
        [outcome] = self.apply_all([command])
        return outcome

    def apply_all(self, commands: list[Command]) -> list[Accepted]:
        """Many commands as one log entry; the first refusal is raised, after all were applied."""
        decoded = [decode_command(encode_command(command)) for command in commands]
        self.machine.begin()
        outcomes = self.machine.apply(self.machine.applied_index + 1, self.term, decoded)
        self.machine.commit()
        accepted = []
        for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                raise error_for(outcome.code, outcome.message, **outcome.facts)
            accepted.append(outcome)
        return accepted

    async def barrier(self, deadline: Deadline) -> int:
        if self.refuse_with is not None:
            raise self.refuse_with
        return self.machine.seq

    async def wait_seq(self, seq: int, deadline: Deadline) -> int:
        while self.machine.seq < seq:
            if deadline.passed:
                raise DeadlineExceeded
            await asyncio.sleep(0.005)
        return self.machine.seq

    async def status(self, deadline: Deadline) -> LogStatus:
        index = self.machine.applied_index
        return LogStatus(
            node=self.node, leader=None if self.refuse_with else self.node, term=self.term, commit_index=index,
            applied_index=index, seq=self.machine.seq, caught_up=True, majority_connected=self.refuse_with is None,
            members=self.members,
            peers=tuple(PeerLag(name, self.refuse_with is None, 0) for name in self.members if name != self.node),
            log_bytes=0, checkpoint_index=self.checkpoint_index,
            cluster_uuid=self.machine.cluster_uuid, waiting_for=None, fsync=False)

    async def checkpoint(self, deadline: Deadline) -> int:
        self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self.checkpoint_index = self.machine.applied_index
        return self.checkpoint_index

    def close(self) -> None:
        self.store.close()


def header(user_no: UserNo = ADMIN_NO, at_ms: int | None = None, proposer: NodeNo = FIRST_NODE) -> Header:
    """A header with a fresh request id, by the admin unless said otherwise, now unless said otherwise."""
    return Header(new_request_id(), int(time.time() * 1000) if at_ms is None else at_ms, proposer, user_no)


def genesis_command(nodes: int = 3, *, cluster_uuid: ClusterUuid | None = None, replication: int | None = None,
                    write_quorum: int | None = None, chunk_size: int = 8 << 20, inline_max: int = 16 << 10,
                    trash_days: int = 7, versions_max: int = 100, at_ms: int | None = None) -> Genesis:
    """A cluster of `nodes` members named one, two, …; replication and quorum as the config would choose them."""
    replication = min(3, nodes) if replication is None else replication
    records = tuple(
        NodeRecord(node_no=NodeNo(no), name=NODE_NAMES[no - 1], disk_uuid=new_disk_uuid(), zone="abcdefg"[no - 1],
                   host="127.0.0.1", http=7100 + no, raft=7200 + no, data=7300 + no, s3=7400 + no)
        for no in range(1, nodes + 1))
    return Genesis(
        header=header(UserNo(0), at_ms), cluster_uuid=cluster_uuid or new_cluster_uuid(), cluster_name="test",
        nodes=records, admin_name="admin", admin_token_hash=blake3(ADMIN_TOKEN.encode()).digest(),
        replication=replication, write_quorum=replication // 2 + 1 if write_quorum is None else write_quorum,
        chunk_size=chunk_size, inline_max=inline_max, trash_days=trash_days, versions_max=versions_max)


@dataclass(frozen=True, slots=True)
class BornCluster:
    """The metadata side of node one of a cluster that exists; a context manager that closes it."""

    log: LocalLog
    reader: MetaReader
    node_dir: Path
    genesis: Genesis
    admin_token: str = ADMIN_TOKEN

    def __enter__(self) -> BornCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.reader.close()
        self.log.close()


def born_cluster(folder: Path, genesis: Genesis | None = None) -> BornCluster:
    """Bear a cluster (three nodes by default) in `folder`/one, with a log and a reader on it."""
    command = genesis or genesis_command()
    log = LocalLog(folder / "one", members=tuple(node.name for node in command.nodes))
    log.apply(command)
    return BornCluster(log, MetaReader(log.node_dir), log.node_dir, command)
