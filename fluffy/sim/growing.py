"""Machines that join, get their vote, are removed and go, while everything else goes wrong too.

An operator admits spare machines and gives up others, leaders included; what a leader's keeper does about it is decided
by the product's own `next_step` and done through the product's own `change_voters` and `hand_over`. Some machines are
admitted and never come: a majority must not wait for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.health.membership_plan import GiveVote, HandOver, Retire, Standing, Strip, TakeVote, next_step
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_members import AdmitNode, RemoveNode, RetireNode, StripCopies
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.node import RaftNode
from fluffy.sim.checkers import Checks
from fluffy.sim.clock import World
from fluffy.sim.member import Member
from fluffy.sim.network import SimNetwork
from fluffy.wire.log_entries import decode_outcome, encode_command

SPARES = ("aaron", "mary", "zoe", "bob", "yan")
OPERATOR_EVERY_S = 0.9
KEEPER_EVERY_S = 0.15
MEMBERS_MIN = 3
# Of the machines that are admitted, so many never come, and so many only much later.
NEVER_COMES = 0.25
COMES_LATER = 0.3
REMOVES = 0.45
# In so many runs nobody gets a vote any more, as in a cluster that has its seven.
KEEPS_LEARNERS = 0.3
# So often two of them decide at the same moment, as when an old leader's keeper has not heard that it is one no more.
TWO_KEEPERS = 0.3


class Growing:
    """The operator and the keepers. `add` makes a machine: name, disk, seeds."""

    def __init__(self, world: World, members: list[Member], network: SimNetwork, checks: Checks, *, until_s: float,
                 add: Callable[[str, str, tuple[str, ...]], Member]) -> None:
        self._world = world
        self._members = members
        self._network = network
        self._checks = checks
        self._until_s = until_s
        self._add = add
        self._spares = list(SPARES)
        self._keeps_learners = world.rng.random() < KEEPS_LEARNERS
        self.counters: Counter[str] = Counter()
        network.admits = self._admits

    def start(self) -> None:
        self._world.after(OPERATOR_EVERY_S, self._operate)
        self._world.after(KEEPER_EVERY_S, self._keep)

    # -- the operator

    def _operate(self) -> None:
        if self._world.now_s >= self._until_s:
            return
        rng = self._world.rng
        asked = rng.choice(self._members).enter()
        if asked is not None and asked.store.machine.cluster_uuid is not None:
            nodes = queries.node_records(asked.store.db)
            if rng.random() < REMOVES and len(nodes) > MEMBERS_MIN:
                name = rng.choice(nodes).name
                self._world.note(f"remove {name}")
                self._propose(asked, RemoveNode(self._header(), name, True), self._count("removal_wished"))
            elif self._spares:
                self._admit(asked)
        self._world.after(OPERATOR_EVERY_S * 2 * rng.random(), self._operate)

    def _admit(self, asked: RaftNode) -> None:
        name = self._spares.pop(0)
        disk = f"disk-{name}"
        self._world.note(f"admit {name}")

        def admitted(_outcome: Outcome) -> None:
            if any(member.name == name for member in self._members):
                return
            self.counters["admitted"] += 1
            seeds = tuple(node.name for node in queries.node_records(asked.store.db) if node.name != name)
            member = self._add(name, disk, seeds)
            draw = self._world.rng.random()
            if draw < NEVER_COMES:
                member.is_absent = True
                self.counters["never_came"] += 1
            else:
                self._world.after(2.0 if draw < NEVER_COMES + COMES_LATER else 0.0, member.start)

        self._propose(asked, AdmitNode(self._header(), name, disk, "z", "h", 1, 2, 3, 4), admitted)

    def _count(self, name: str) -> Callable[[Outcome], None]:
        return lambda outcome: self.counters.update({name: int(isinstance(outcome, Accepted))})

    # -- the leader's keeper

    def _keep(self) -> None:
        """On every node that believes it leads: one step. And who was removed ends itself."""
        for member in list(self._members):
            node = member.enter()
            if node is None:
                continue
            if self._hears_of_its_removal(member):
                self.counters["removed_node_ended"] += 1
                member.refused = "removed"
                member.kill()
            elif node.raft.leads_with_authority and node.store.machine.cluster_uuid is not None:
                for _ in range(2 if self._world.rng.random() < TWO_KEEPERS else 1):
                    self._step(member, node)
                member.wake()
        self._world.after(KEEPER_EVERY_S, self._keep)

    def _step(self, member: Member, node: RaftNode) -> None:
        db, term = node.store.db, node.raft.term
        voters, intents = queries.voters(db), queries.node_intents(db)
        standings = []
        own = NodeNo(0)
        for record in queries.node_records(db):
            own = record.node_no if record.name == node.name else own
            behind = node.behind(record.name)
            standings.append(Standing(
                record.node_no, record.name, is_voter=voters.get(record.name) == record.disk_uuid, state="up",
                is_draining=False, is_leaving=record.node_no in intents,
                is_connected=node.transport.is_up(record.name), behind=behind if behind >= 0 else None))
        unstripped = [retired.node_no for retired in queries.retired_nodes(db) if not retired.is_stripped]
        step = next_step(own, standings, unstripped)
        if step is None or (isinstance(step, GiveVote) and self._keeps_learners):
            return
        self._world.note(f"step {node.name} {step}")
        done = self._told(step.__class__.__name__)
        match step:
            case GiveVote(name):
                node.change_voters(term, add=name, done=done)
            case TakeVote(name):
                node.change_voters(term, remove=name, done=done)
            case HandOver():
                node.hand_over(lambda handed: self.counters.update(handed_over=int(handed)))
            case Retire(node_no):
                self._propose(node, RetireNode(self._header(), term, node_no), self._count("retired"))
            case Strip(node_no):
                self._propose(node, StripCopies(self._header(), term, node_no, 10), self._count("stripped"))

    def _told(self, what: str) -> Callable[[str | None], None]:
        return lambda refusal: self.counters.update({f"{what}_{'refused' if refusal else 'done'}": 1})

    # -- who is let in

    def _admits(self, one: str, other: str) -> bool:
        """A node that has heard of a removal lets that disk in no more."""
        store = self._member(one).store
        return store is None or not queries.is_retired_disk(store.db, self._network.disks.get(other, ""))

    def _hears_of_its_removal(self, member: Member) -> bool:
        """From its own state, or from anybody who refuses it."""
        for other in self._members:
            cut = (other.name, member.name) in self._network.cut or (member.name, other.name) in self._network.cut
            if (other is member or not cut) and other.store is not None and queries.is_retired_disk(
                    other.store.db, member.disk_uuid):
                return True
        return False

    def _member(self, name: str) -> Member:
        return next(member for member in self._members if member.name == name)

    # -- proposing

    def _header(self) -> Header:
        return Header(RequestId(b""), 1 + int(self._world.now_s * 1000), NodeNo(1), UserNo(0))

    def _propose(self, node: RaftNode, command: Command, done: Callable[[Outcome], None]) -> None:
        """Once: whoever wanted it looks again later."""
        def answered(answer: Answered) -> None:
            if answer.outcome is not None:
                done(decode_outcome(answer.outcome))

        node.proposals.offer(encode_command(command), answered)
