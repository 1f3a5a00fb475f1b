"""What is wrong with a cluster, in words: facts in, findings out, each with a severity and what to do about it.

The facts are gathered by one node (services/doctor.py): what it reads in the catalog, what its log process says, and
what each node told of itself a moment ago. A finding's sentence names what was seen; its advice is one act.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.model import ClusterSettings
from fluffy.core.metadata.queries_redundancy import AffectedFiles
from fluffy.core.repair.redundancy import Coverage

# critical: a promise is broken or the next failure breaks one. warning: somebody should act. note: good to know.
Severity = Literal["critical", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, for programs; `nodes`: whom it is about."""

    code: str
    severity: Severity
    message: str
    advice: str
    nodes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What a node told of itself. `skew_ms`: its wall clock minus the asker's, certain to within `skew_error_ms`.

    `flaps`: of the leader, which nodes (by number) came and went lately, and how often. `load_permille`: of its cores,
    -1: unknown. `users_…`: what its doors have answered since they opened.
    """

    version: str
    level: int
    free_bytes: int
    total_bytes: int
    fsync: bool
    seq: int
    leader: str
    quarantined: int
    search_state: str
    search_behind: int
    search_lag_ms: int
    skew_ms: int
    skew_error_ms: int
    keeper_works: bool = True
    flaps: tuple[tuple[int, int], ...] = ()
    load_permille: int = -1
    users_requests: int = 0
    users_sent_bytes: int = 0
    users_received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One member. `about` is None: it did not answer the asker."""

    no: NodeNo
    name: str
    zone: str
    state: str
    votes: bool
    about: About | None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The queues of repair. `stuck`: codes of errors with how many jobs each holds up."""

    waiting: int = 0
    running: int = 0
    stuck: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """`majority` is None when the asker's own log process is silent. `coverage` None: it could not be counted in time.

    `unreadable`: files with a chunk of which no copy is living.
    """

    asked: str
    leader: str | None
    majority: bool | None
    voters_alive: int
    settings: ClusterSettings
    feature_level: int
    known_level: int
    seq: int
    nodes: tuple[NodeFacts, ...]
    coverage: Coverage | None
    unreadable: AffectedFiles
    jobs: JobFacts

    @property
    def voters(self) -> int:
        return sum(node.votes for node in self.nodes)

    @property
    def told(self) -> Iterator[tuple[NodeFacts, About]]:
        """The nodes that answered, with what they said."""
        return ((node, node.about) for node in self.nodes if node.about is not None)


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """By severity; within one as they were found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nobody needs to act."""
    return all(finding.severity == "note" for finding in findings)


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def named(names: Sequence[str], total: int | None = None) -> str:
    """`a, b and 3 more`."""
    more = (len(names) if total is None else total) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
