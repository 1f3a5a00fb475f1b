"""Who may do a job: leases from a node's own queue, with the permission for drops, and steals from other queues.

Only the order of the log decides, so no job is ever under two valid leases, and no copy is dropped that is needed:
every job is looked at once more at the moment of its lease, against the state of that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluffy.base.errors import NodeNotFound, RequestError
from fluffy.base.ids import NodeNo
from fluffy.core.metadata import chunk_table, drop_table, job_table
from fluffy.core.metadata.commands_jobs import LeaseJobs, StealJobs
from fluffy.core.metadata.job_rules import (
    CLASS_WIDTH,
    COPYING_KINDS,
    JOB_KINDS,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    LEASE_RATE_UNKNOWN,
    LEASE_WORK_MS,
    LEASED_ALWAYS,
    LEASED_JOBS_MAX,
    SEARCH_FIRST_MS,
    STEAL_LOOKED_MAX,
    STEAL_VICTIMS_MAX,
    STEALABLE_KINDS,
    Loot,
    QueueLoad,
    effort_ms,
    search_pause_ms,
    searchers_max,
    turns,
    victims,
)
from fluffy.core.metadata.job_table import LEASED
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_operator, refused
from fluffy.core.metadata.working import Working

LEASES_ENDED_MAX = 500
# Nodes that can be expected to serve a copy. A copy that is to stay must be on one that is up for certain.
LIVE_STATES = frozenset({"up", "suspect"})
CERTAIN_STATE = "up"


@dataclass(frozen=True, slots=True)
class Places:
    """The placement map as the decisions here need it."""

    states: dict[NodeNo, str]
    zones: dict[NodeNo, str]

    def live(self, nodes: tuple[NodeNo, ...]) -> int:
        return sum(self.states.get(node) in LIVE_STATES for node in nodes)

    def certain(self, nodes: tuple[NodeNo, ...]) -> int:
        return sum(self.states.get(node) == CERTAIN_STATE for node in nodes)


def places(work: Working) -> Places:
    rows = work.db.execute("SELECT node_no, state, zone FROM placement ORDER BY node_no").fetchall()
    return Places({NodeNo(no): state for no, state, _ in rows}, {NodeNo(no): zone for no, _, zone in rows})


def _refuse_node(work: Working, command: LeaseJobs | StealJobs) -> Rejected | None:
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is None and command.node_no not in work.nodes:
        return refused(NodeNotFound, node_no=command.node_no)
    return refusal


def lease(work: Working, command: LeaseJobs) -> Outcome:
    """Give a node its next jobs. facts: leased (numbers), obsolete, until_ms."""
    refusal = _refuse_node(work, command)
    if refusal is not None:
        return refusal
    if not LEASE_MS_MIN <= command.lease_ms <= LEASE_MS_MAX:
        return refused(RequestError, f"a lease lasts {LEASE_MS_MIN} to {LEASE_MS_MAX} ms")
    ended = job_table.end_leases(work, LEASES_ENDED_MAX)
    load = job_table.load(work, command.node_no)
    count = min(command.jobs_max, LEASED_JOBS_MAX - load.leased)
    where = places(work)
    until_ms = work.clock_ms + command.lease_ms
    leased: list[int] = []
    obsolete = 0
    rate = load.rate or LEASE_RATE_UNKNOWN
    filled_ms = effort_ms(load.leased, load.leased_bytes, rate)
    for row in _next_jobs(work, command.node_no, count):
        if not _is_wanted(work, row, where):
            job_table.delete(work, row)
            obsolete += 1
            continue
        filled_ms += effort_ms(1, row.cost, rate)
        if load.leased + len(leased) >= LEASED_ALWAYS and filled_ms > min(LEASE_WORK_MS, command.lease_ms // 4):
            break
        if row.kind == "drop":
            _grant(work, row)
        job_table.save(work, row, replace(row, state=LEASED, term=work.entry_term, attempt=row.attempt + 1,
                                          lease_until_ms=until_ms, not_before_ms=0))
        leased.append(row.no)
    if leased:
        work.db.execute("UPDATE job_queues SET turn = turn + ? WHERE node_no = ?", (len(leased), command.node_no))
    if leased or obsolete or ended:
        work.seq += 1
    return Accepted(work.seq, {"leased": leased, "obsolete": obsolete, "until_ms": until_ms})


def _next_jobs(work: Working, node_no: NodeNo, count: int) -> list[Job]:
    if count <= 0:
        return []
    found: dict[int, Job] = {}
    classes = []
    for rank in range(len(JOB_KINDS)):
        low = rank * CLASS_WIDTH
        rows = job_table.due(work, node_no, priority_min=low, priority_max=low + CLASS_WIDTH - 1, limit=count)
        found |= {row.no: row for row in rows}
        classes.append([row.no for row in rows])
    (turn,) = work.db.execute("SELECT turn FROM job_queues WHERE node_no = ?", (node_no,)).fetchone() or (0,)
    return [found[no] for no in turns(classes, turn, count)]


def _is_wanted(work: Working, row: Job, where: Places) -> bool:
    """Whether the state of this moment still needs the job."""
    if row.kind == "scrub":
        return True
    chunk = chunk_table.load(work, [row.chunk_id]).get(row.chunk_id)
    if row.kind == "drop":
        if drop_table.is_granted(work, row.chunk_id, row.node_no):
            return True
        if chunk is None or row.node_no not in chunk.nodes:
            return False
        others = tuple(node for node in chunk.nodes if node != row.node_no)
        # Nothing refers to it: the plan has waited for the grace, and an unfinished upload's parts are references.
        return chunk.refs == 0 or where.certain(others) >= max(chunk.wanted, 1)
    if chunk is None or chunk.refs == 0 or row.node_no in chunk.nodes:
        return False
    if drop_table.is_granted(work, row.chunk_id, row.node_no):
        return False
    return row.kind == "rebalance" or where.live(chunk.nodes) < chunk.wanted


def _grant(work: Working, row: Job) -> None:
    """From here on the copy on that node does not count, whatever becomes of its file."""
    if drop_table.is_granted(work, row.chunk_id, row.node_no):
        return
    chunk = chunk_table.load(work, [row.chunk_id])[row.chunk_id]
    chunk_table.save(work, chunk, refs=chunk.refs, nodes=tuple(no for no in chunk.nodes if no != row.node_no))
    drop_table.grant(work, row.chunk_id, row.node_no)


def steal(work: Working, command: StealJobs) -> Outcome:
    """Move half of the tail of the longest queue to an idle node. facts: moved, victim, again_ms."""
    refusal = _refuse_node(work, command)
    if refusal is not None:
        return refusal
    ended = job_table.end_leases(work, LEASES_ENDED_MAX)
    thief = command.node_no
    where = places(work)
    job_table.open_queue(work, thief)
    wait_ms = _search_wait_ms(work, thief, where)
    if wait_ms:
        work.seq += bool(ended)
        return Accepted(work.seq, {"moved": 0, "victim": 0, "again_ms": work.clock_ms + wait_ms})
    loads = job_table.loads(work)
    for victim in victims(thief, loads)[:STEAL_VICTIMS_MAX]:
        moved = _move_tail(work, victim, thief, loads, where)
        if moved:
            work.db.execute("UPDATE job_queues SET searches = 0, search_after_ms = 0, stolen_in = stolen_in + ?"
                            " WHERE node_no = ?", (moved, thief))
            work.db.execute("UPDATE job_queues SET stolen_out = stolen_out + ? WHERE node_no = ?", (moved, victim))
            work.seq += 1
            return Accepted(work.seq, {"moved": moved, "victim": victim, "again_ms": work.clock_ms})
    return _searched_in_vain(work, thief)


def _search_wait_ms(work: Working, thief: NodeNo, where: Places) -> int:
    """0: the node may look now. Else it has looked in vain just before, as many others do, or is not up."""
    if where.states.get(thief) != CERTAIN_STATE:
        return search_pause_ms(1)
    resting = {NodeNo(no): (searches, after_ms) for no, searches, after_ms in work.db.execute(
        "SELECT node_no, searches, search_after_ms FROM job_queues WHERE search_after_ms > ?", (work.clock_ms,))}
    if thief in resting:
        return int(resting[thief][1]) - work.clock_ms
    # One that rests for long because nothing suits it is in nobody's way: something may suit others.
    searching = sum(after_ms - search_pause_ms(searches) + SEARCH_FIRST_MS > work.clock_ms
                    for searches, after_ms in resting.values())
    up = sum(state == CERTAIN_STATE for state in where.states.values())
    return search_pause_ms(1) if searching >= searchers_max(up) else 0


def _searched_in_vain(work: Working, thief: NodeNo) -> Accepted:
    (searches,) = work.db.execute("SELECT searches FROM job_queues WHERE node_no = ?", (thief,)).fetchone()
    again_ms = work.clock_ms + search_pause_ms(searches + 1)
    work.db.execute("UPDATE job_queues SET searches = ?, search_after_ms = ? WHERE node_no = ?",
                    (searches + 1, again_ms, thief))
    work.seq += 1
    return Accepted(work.seq, {"moved": 0, "victim": 0, "again_ms": again_ms})


def _move_tail(work: Working, victim: NodeNo, thief: NodeNo, loads: dict[NodeNo, QueueLoad], where: Places) -> int:
    loot = Loot(loads[victim], loads.get(thief, QueueLoad(0, 0, 0, 0, 0)))
    for row in job_table.tail(work, victim, STEAL_LOOKED_MAX):
        if row.kind not in STEALABLE_KINDS or not _suits(work, row, thief, where):
            continue
        if not loot.takes(row.cost):
            break
        job_table.save(work, row, replace(row, node_no=thief, stolen_from=victim))
    return loot.jobs


def _suits(work: Working, row: Job, thief: NodeNo, where: Places) -> bool:
    """Whether the thief can make this copy in the place of the victim, without joining two copies in one zone."""
    chunk = chunk_table.load(work, [row.chunk_id]).get(row.chunk_id)
    if chunk is None or thief in chunk.nodes or drop_table.is_granted(work, row.chunk_id, thief):
        return False
    others = [job for job in job_table.jobs_of_chunk(work, row.chunk_id) if job.no != row.no]
    if any(job.node_no == thief for job in others):
        return False
    held = [no for no in chunk.nodes if where.states.get(no) in LIVE_STATES]
    held += [job.node_no for job in others if job.kind in COPYING_KINDS]
    taken = {where.zones.get(no, "") for no in held}
    zone = where.zones.get(thief, "")
    return not zone or zone not in taken or where.zones.get(row.node_no, "") in taken
