"""Linearizable reads without writing: ReadIndex (Raft dissertation, section 6.4).

The leader notes its commit index, sends one round of heartbeats and waits until a majority has answered something
sent at or after that moment: then nobody else was leader when the read began, so everything committed before it is at
or below that index.

A follower asks the leader for such an index. Its question says in which term it is, and so is an answer already: it was
sent after the read began. Where two are a majority, the leader needs no round for it. Whoever asked may read once its
own state has applied the index. Requests that arrive while a round is under way share the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.transport import RaftTransport

# Gateways keep one barrier in flight each; peers one request a turn. Beyond this a caller hears "no leader" and asks
# again.
WAITING_MAX = 4096
# A leader that gets no majority answer in this time may not be one; the asker tries again.
ROUND_DEADLINE_S = 2.0
# Those that a round asked first have this long; then the others are asked, too.
ASK_ALL_AFTER_S = 0.005

# The feature level from which every member's program knows questions with a term.
TERMS_LEVEL = 3

Done = Callable[[bool], None]
IndexKnown = Callable[[int | None], None]


@dataclass(slots=True)
class _Round:
    """One confirmation of leadership: answers to messages numbered above `after_seq` count."""

    term: int
    index: int
    after_seq: int
    began_s: float
    waiting: list[IndexKnown]
    all_asked: bool = False


class LinearizableReads:
    """Call `barrier` for each read and `step` once a turn, after the library's tick has received messages."""

    def __init__(self, raft: HardenedSyncObj, transport: RaftTransport, clock: Callable[[], float],
                 level: Callable[[], int]) -> None:
        """`level`: the feature level of the state."""
        self._raft = raft
        self._transport = transport
        self._clock = clock
        self._level = level
        self._round: _Round | None = None
        self._next: list[IndexKnown] = []
        self._asked: dict[int, tuple[float, str, list[Done]]] = {}
        self._unasked: list[Done] = []
        self._last_id = 0
        self._rounds = 0
        self._applying: list[tuple[float, int, Done]] = []
        transport.extra["read_index"] = self._on_request
        transport.extra["read_index_answer"] = self._on_answer

    def barrier(self, done: Done) -> None:
        """`done(True)` once this node's state holds all that was committed before now; `done(False)`: no leader, ask
        again.
        """
        if len(self._unasked) + len(self._applying) >= WAITING_MAX:
            done(False)
        else:
            self._unasked.append(done)

    @property
    def busy(self) -> bool:
        """Whether a turn without incoming messages would still move something."""
        return bool(self._unasked)

    @property
    def patience_s(self) -> float:
        """How long a turn may wait for messages."""
        return ROUND_DEADLINE_S if self._round is None or self._round.all_asked else ASK_ALL_AFTER_S

    def step(self) -> None:
        self._ask()
        self._lead_round()
        self._release()
        self._expire()

    # -- the asking side

    def _ask(self) -> None:
        if not self._unasked:
            return
        waiting, self._unasked = self._unasked, []
        leader = self._raft.leader_name
        if self._raft.is_leader:
            self._next.append(lambda index: self._index_known(index, waiting))
            return
        self._last_id += 1
        question = {"type": "read_index", "read_id": self._last_id}
        if self._level() >= TERMS_LEVEL:
            question["term"] = self._raft.term
        if leader is None or not self._transport.send_to(leader, question):
            self._index_known(None, waiting)
            return
        self._asked[self._last_id] = (self._clock(), leader, waiting)

    def _on_answer(self, name: str, message: Message) -> None:
        asked = self._asked.get(message["read_id"])
        if asked is not None and asked[1] == name:
            del self._asked[message["read_id"]]
            # Index 0 never exists in the log: the leader could not confirm that it leads.
            self._index_known(message["index"] or None, asked[2])

    def _index_known(self, index: int | None, waiting: list[Done]) -> None:
        for done in waiting:
            if index is None:
                done(False)
            else:
                self._applying.append((self._clock(), index, done))

    def _release(self) -> None:
        if not self._applying:
            return
        applied = self._raft.last_applied
        ready = [done for _, index, done in self._applying if index <= applied]
        if ready:
            self._applying = [known for known in self._applying if known[1] > applied]
            for done in ready:
                done(True)

    def _expire(self) -> None:
        if not self._asked and self._round is None and not self._applying:
            return
        oldest = self._clock() - ROUND_DEADLINE_S
        for read_id in [read_id for read_id, (asked_s, leader, _) in self._asked.items()
                        if asked_s < oldest or self._is_gone(leader)]:
            self._index_known(None, self._asked.pop(read_id)[2])
        if self._applying and self._applying[0][0] < oldest:  # what this node lacks does not come: all others are gone
            late = [done for known_s, _, done in self._applying if known_s < oldest]
            self._applying = [known for known in self._applying if known[0] >= oldest]
            for done in late:
                done(False)
        if self._round is not None and self._round.began_s < oldest:
            self._finish_round(None)

    def _is_gone(self, leader: str) -> bool:
        """Whether no answer is to be waited for: the link to it broke, or it leads no more. The next one is asked."""
        return leader != self._raft.leader_name or not self._transport.is_up(leader)

    # -- the leading side

    def _on_request(self, name: str, message: Message) -> None:
        read_id = message["read_id"]

        def answer(index: int | None) -> None:
            self._transport.send_to(name, {"type": "read_index_answer", "read_id": read_id, "index": index or 0})

        if len(self._next) >= WAITING_MAX or not self._raft.is_leader:
            answer(None)
        elif self._confirms(name, message):
            self._transport.counters["reads_confirmed_by_asking"] += 1
            answer(self._raft.commit_index)
        else:
            self._next.append(answer)

    def _confirms(self, name: str, message: Message) -> bool:
        """Whether the question itself confirms that this node led after the read began.

        Its sender was in this term then, and this node is: when both are a majority, none has elected another leader
        before.
        """
        raft = self._raft
        return (message.get("term") == raft.term and raft.majority <= 2 and raft.votes(name)
                and raft.leads_with_authority)

    def _lead_round(self) -> None:
        raft = self._raft
        if not raft.is_leader:
            self._finish_round(None)
            waiting, self._next = self._next, []
            for known in waiting:
                known(None)
            return
        if self._round is not None:
            self._judge_round(self._round)
        if self._round is not None and not self._round.all_asked and self._is_late(self._round):
            self._ask_all(self._round)
        if self._round is None and self._next and raft.leads_with_authority:
            waiting, self._next = self._next, []
            self._round = _Round(raft.term, raft.commit_index, self._transport.sequence(), self._clock(), waiting)
            self._ask_members(self._round)
            self._judge_round(self._round)

    def _ask_members(self, current: _Round) -> None:
        """Ask as few as make a majority, in turn, of those that owe no answer: half the work when three nodes vote.

        All are asked when too few of them do, and when those that were asked do not answer soon.
        """
        wanted = self._raft.majority - 1
        ready = [name for name in self._raft.membership.other_voters
                 if self._transport.is_up(name) and not self._transport.owes_an_answer(name)]
        if len(ready) < wanted:
            self._ask_all(current)
            return
        self._rounds += 1
        begin = self._rounds % max(1, len(ready))
        self._raft.heartbeat_to((ready + ready)[begin:begin + wanted])

    def _ask_all(self, current: _Round) -> None:
        current.all_asked = True
        self._raft.heartbeat_now()

    def _is_late(self, current: _Round) -> bool:
        return self._clock() - current.began_s >= ASK_ALL_AFTER_S

    def _judge_round(self, current: _Round) -> None:
        if current.term != self._raft.term:
            self._finish_round(None)
            return
        confirmed = 1 + sum(self._transport.acked_sequence(name) > current.after_seq
                            for name in self._raft.membership.other_voters)
        if confirmed >= self._raft.majority:
            self._finish_round(current.index)

    def _finish_round(self, index: int | None) -> None:
        if self._round is None:
            return
        waiting, self._round = self._round.waiting, None
        for known in waiting:
            known(index)
