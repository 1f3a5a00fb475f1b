"""Looking at the log itself: was any job done twice, or leased to two nodes at a time?

The log of a node that has ended is read and applied anew from its beginning; each lease that was granted and each end
that was accepted is held against a plain ledger, which knows nothing of the state machine's tables.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.commands_jobs import AssignJobs, FinishJobs, LeaseJobs, StealJobs
from fluffy.core.metadata.machine import open_state
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.core.metadata.queries_cluster import cluster_state
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.library import NO_OP
from fluffy.wire.log_entries import decode_command, decode_group

ENTRIES_AT_ONCE = 2_000


@dataclass(slots=True)
class Lease:
    node_no: int
    until_ms: int


@dataclass(slots=True)
class Audit:
    """What the log tells. `late`: ends that came after their lease, and were refused."""

    assigned: int = 0
    leased: int = 0
    stolen: int = 0
    done: int = 0
    failed: int = 0
    late: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list)
    _held: dict[int, Lease] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)

    def lines(self) -> list[str]:
        return [f"log: {self.entries} entries; jobs assigned {self.assigned}, leased {self.leased}, stolen "
                f"{self.stolen}, done {self.done}, failed {self.failed}, ends refused as late {self.late}; done twice "
                f"or leased to two at a time: {len(self.problems)}"]

    def note(self, command: Command, outcome: Outcome, clock_ms: int) -> None:
        """`clock_ms`: log time after the command."""
        if not isinstance(outcome, Accepted):
            return
        match command:
            case AssignJobs():
                self.assigned += int(outcome.facts["assigned"])
            case StealJobs():
                self.stolen += int(outcome.facts["moved"])
            case LeaseJobs():
                for job_no in outcome.facts["leased"]:
                    self._lease(int(job_no), int(command.node_no), int(outcome.facts["until_ms"]), clock_ms)
            case FinishJobs():
                late = set(outcome.facts["late"])
                self.late += len(late)
                for result in command.results:
                    if result.job_no not in late:
                        self._end(result.job_no, int(command.node_no), result.end, clock_ms)

    def _lease(self, job_no: int, node_no: int, until_ms: int, clock_ms: int) -> None:
        self.leased += 1
        held = self._held.get(job_no)
        if held is not None and held.until_ms > clock_ms:
            self.problems.append(f"job {job_no} leased to node {node_no} while node {held.node_no} has it")
        if job_no in self._done:
            self.problems.append(f"job {job_no} leased to node {node_no} after it was done")
        self._held[job_no] = Lease(node_no, until_ms)

    def _end(self, job_no: int, node_no: int, end: str, clock_ms: int) -> None:
        held = self._held.pop(job_no, None)
        if held is None or held.node_no != node_no or held.until_ms <= clock_ms:
            self.problems.append(f"job {job_no} ended ({end}) by node {node_no}, which did not have it")
        if end == "done":
            self.done += 1
            if job_no in self._done:
                self.problems.append(f"job {job_no} was done twice")
            self._done.add(job_no)
        elif end == "failed":
            self.failed += 1


def audit_log(node_dir: Path) -> Audit:
    """The audit of a node's whole log; the node must have ended, and its log never have been cut by a checkpoint."""
    audit = Audit()
    with tempfile.TemporaryDirectory(prefix="fluffy-audit-") as copy:
        shutil.copytree(node_dir / "log", Path(copy) / "log", ignore=shutil.ignore_patterns("*.lock"))
        disk = RealDisk(Path(copy) / "log", fsync=False)
        journal = SegmentedJournal(disk)
        if journal.first_index != 1:
            audit.problems.append(f"the log begins at entry {journal.first_index}: a checkpoint has cut it")
            return audit
        db = sqlite3.connect(":memory:", isolation_level=None)
        machine = open_state(db)
        at = 1
        while at <= journal.last_index:
            entries = journal.entries(at, at + ENTRIES_AT_ONCE)
            at += len(entries)
            for body, index, term in entries:
                group = b"" if body[0] == NO_OP else body[1:]
                commands = [decode_command(blob) for blob in decode_group(group)] if group else []
                machine.begin()
                outcomes = machine.apply(index, term, commands)
                machine.commit()
                state = cluster_state(db)
                audit.entries += 1
                for command, outcome in zip(commands, outcomes, strict=True):
                    audit.note(command, outcome, 0 if state is None else state.clock_ms)
        disk.close()
    return audit
