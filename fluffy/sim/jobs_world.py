"""A cluster for the protocol of jobs: the real state machine and the real plan, everything else simulated from a seed.

What other simulations prove (that the log is one log) is taken for granted here: an entry is committed when it reaches
a leader. What is uncertain is everything around it: when a proposal arrives (late, twice, under another leader, never),
whether its answer does, how far behind the state is that a node reads, which nodes are dead, paused, slow or full, and
when a disk is lost for good.

Two states are kept: the truth, which applies every entry at once, and one that is behind, which everybody but the
leader reads. Both decode the entries' bytes by themselves, and must be equal in the end.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable

from fluffy.base.ids import ClusterUuid, NodeNo, RequestId, UserNo
from fluffy.base.units import MIB
from fluffy.core.metadata.commands import FEATURE_LEVEL, Command, Genesis, Header, NodeRecord
from fluffy.core.metadata.machine import StateMachine, open_state
from fluffy.core.metadata.outcomes import Outcome
from fluffy.sim import clock
from fluffy.sim.jobs_checks import Checks, Node
from fluffy.wire.log_entries import decode_command, encode_command

START_MS = 1_000_000
NODES = 5
REPLICATION = 3
WRITE_QUORUM = 2
CHUNK_SIZE = 8 * MIB
ADMIN = UserNo(1)
CLUSTER = UserNo(0)
NO_REQUEST = RequestId(b"")
ZONES = ("a", "b", "c", "d", "d")
PROPOSE_TIMEOUT_S = 5.0
Answer = Callable[[Outcome | None], None]


class JobsWorld(clock.World):
    """Time, nodes, the log and the two states."""

    def __init__(self, seed: int, trace: clock.Trace | None = None) -> None:
        super().__init__(seed, trace)
        self.nodes = {NodeNo(no): Node(NodeNo(no)) for no in range(1, NODES + 1)}
        self.counters: Counter[str] = Counter()
        self.term = 1
        self.leader: NodeNo | None = NodeNo(1)
        self.is_calm = False
        self.entries: list[tuple[int, bytes]] = []
        self.truth_db, self.truth = _born()
        self.behind_db, self.behind = _born()
        self.behind_frozen_until_s = 0.0
        self._applied_behind = 0
        self.checks = Checks(self.truth_db, self.nodes, self.counters, lambda: self.now_s)

    def wall_ms(self, node: Node) -> int:
        return START_MS + round(self.now_s * 1000) + node.skew_ms

    def log_ms(self, node: Node) -> int:
        """Log time as the node's keeper expects it."""
        (log_ms,) = self.db_of(node).execute("SELECT clock_ms FROM state").fetchone()
        return node.log_time.now_ms(log_ms=log_ms, wall_ms=self.wall_ms(node), monotonic_ms=round(self.now_s * 1000))

    def header(self, node: Node, user: UserNo = CLUSTER, request_id: RequestId = NO_REQUEST) -> Header:
        """Of the node's keeper; or of a client, which goes by the wall clock."""
        return Header(request_id, self.log_ms(node) if user == CLUSTER else self.wall_ms(node), node.no, user)

    def db_of(self, node: Node) -> sqlite3.Connection:
        """The state that a node reads: its own, which only the leader knows to be the newest."""
        return self.truth_db if node.no == self.leader else self.behind_db

    def is_running(self, node: Node) -> bool:
        return node.is_alive and self.now_s >= node.paused_until_s

    # --- time of processes

    def later(self, node: Node, after_s: float, call: Callable[[], None]) -> None:
        """Call in this life of the node; a paused process goes on where it was when it is let."""
        life = node.life

        def run() -> None:
            if not node.is_alive or node.life != life:
                return
            if self.now_s < node.paused_until_s:
                self.at(node.paused_until_s + 0.001, run)
            else:
                call()

        self.at(self.now_s + after_s, run)

    # --- the log

    def delay_s(self) -> float:
        """Of a message."""
        if not self.is_calm and self.rng.random() < 0.04:
            self.counters["late_messages"] += 1
            return self.rng.uniform(0.5, 15.0)
        return self.rng.uniform(0.001, 0.02)

    def propose(self, node: Node, command: Command, answer: Answer) -> None:
        """Send a command to whoever leads. `answer` gets the outcome, or None when it does not come in time."""
        data = encode_command(command)
        pending = [answer]

        def settle(outcome: Outcome | None) -> None:
            if pending:
                pending.pop()(outcome)

        def answered(outcome: Outcome, index: int) -> None:
            # Answers come after the node's own state shows the entry (decision 003).
            self.catch_up(index)
            settle(outcome)

        def arrive(first: bool) -> None:
            if self.leader is None:
                if self.rng.random() < 0.5:
                    self.at(self.now_s + self.rng.uniform(0.2, 2.0), lambda: arrive(first))
                return
            outcome = self._commit(data)
            if first and not self.is_calm and self.rng.random() < 0.03:
                self.counters["duplicates"] += 1
                self.at(self.now_s + self.rng.uniform(0.01, 20.0), lambda: arrive(False))
            if self.is_calm or self.rng.random() > 0.03:
                index = len(self.entries)
                self.later(node, self.delay_s(), lambda: answered(outcome, index))

        self.at(self.now_s + self.delay_s(), lambda: arrive(True))
        self.later(node, PROPOSE_TIMEOUT_S, lambda: settle(None))

    def commit(self, command: Command) -> Outcome:
        """Append an entry at once."""
        return self._commit(encode_command(command))

    def _commit(self, data: bytes) -> Outcome:
        self.entries.append((self.term, data))
        command = decode_command(data)
        self.checks.before(command)
        outcome = _apply(self.truth, len(self.entries), self.term, data)
        self.checks.after(command, outcome, self.term)
        self.note(f"{len(self.entries)} t{self.term} {type(command).__name__} {outcome}")
        return outcome

    def catch_up(self, index: int) -> None:
        """Let the state that is behind apply up to an entry."""
        while self._applied_behind < min(index, len(self.entries)):
            term, data = self.entries[self._applied_behind]
            self._applied_behind += 1
            _apply(self.behind, self._applied_behind, term, data)

    def drift(self) -> None:
        """Now and then the state that is behind applies some more, unless its machine has better things to do."""
        if self.now_s >= self.behind_frozen_until_s:
            self.catch_up(len(self.entries) if self.is_calm else len(self.entries) - self.rng.randrange(3))
        self.at(self.now_s + self.rng.uniform(0.02, 0.3), self.drift)


def _born() -> tuple[sqlite3.Connection, StateMachine]:
    db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    machine = open_state(db)
    records = tuple(NodeRecord(NodeNo(no), f"n{no}", f"disk-{no}", ZONES[no - 1], "h", 1, 2, 3, 4)
                    for no in range(1, NODES + 1))
    genesis = Genesis(Header(RequestId(b""), START_MS, NodeNo(0), CLUSTER), ClusterUuid("sim"), "sim", records, "admin",
                      bytes(32), REPLICATION, WRITE_QUORUM, CHUNK_SIZE, 0, 0, 1, FEATURE_LEVEL)
    machine.begin()
    machine.apply(1, 1, [genesis])
    machine.commit()
    return db, machine


def _apply(machine: StateMachine, index: int, term: int, data: bytes) -> Outcome:
    machine.begin()
    [outcome] = machine.apply(index + 1, term, [decode_command(data)])
    machine.commit()
    return outcome
