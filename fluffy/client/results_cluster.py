"""What the SDK hands back about the cluster: findings, what stopping a node costs, where copies are. See `results`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluffy.base.errors import Unavailable
from fluffy.client.results import Document, number_in, number_or_none, rooted, text_in, texts_in


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong (`critical`, `warning`) or good to know (`note`), and what to do about it."""

    code: str
    severity: str
    message: str
    advice: str
    nodes: tuple[str, ...]
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class StopCost:
    """What stopping a node now would cost. `lines` says it in words; `names` are some of the files without a copy."""

    node: str
    safe: bool
    lines: tuple[str, ...]
    writes_go_on: bool
    files_without_copy: int
    names: tuple[str, ...]
    chunks_with_one_copy: int
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """`healthy`: nothing is worse than a note. `stop` is None when no node was named. `node` is who was asked."""

    node: str
    healthy: bool
    findings: tuple[Finding, ...]
    stop: StopCost | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Copy:
    """A node with a copy, or one that lacks it. `why` is empty for those that lack it."""

    node: str
    state: str
    zone: str
    why: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Jobs for a group of chunks that are alike: so many of a kind on a node."""

    kind: str
    node: str
    state: str
    jobs: int
    done_in_s: int | None


@dataclass(frozen=True, slots=True)
class ChunkGroup:
    """Chunks of a file that are alike: held by the same nodes, and wanted on the same. `spans`: (first, last) indexes.

    `covered`: whole, short, endangered, away or lost. `lacking`: nodes that should have a copy and have none.
    `blocked`: why nothing happens; empty: it is whole, or jobs are on their way. `done_in_s`: their end, by estimate.
    """

    chunks: int
    bytes: int
    spans: tuple[tuple[int, int], ...]
    wanted: int
    living: int
    covered: str
    copies: tuple[Copy, ...]
    lacking: tuple[Copy, ...]
    pending: tuple[Pending, ...]
    blocked: str
    done_in_s: int | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the copies of a file are. `after`: the chunk to go on from; None when all were explained."""

    path: str
    size: int
    generation: int
    inline: bool
    chunks: int
    groups: tuple[ChunkGroup, ...]
    after: int | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Queue:
    """A node's queue of background work. `rate`: bytes a second, None while it is not known."""

    node: str
    state: str
    queued: int
    leased: int
    stuck: int
    rate: int | None
    wait_s: int
    done: int
    stolen_in: int
    stolen_out: int
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work. `chunk` is None for a scrub; `done_in_s` None when it is stuck."""

    job: int
    kind: str
    node: str
    state: str
    chunk: str | None
    bytes: int
    reason: str
    why: str
    done_in_s: int | None
    blocked: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """A job with what it does and whom it serves: `files` of which `names` are those that the asker may see."""

    job: Job
    does: str
    files: int
    names: tuple[str, ...]
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobsPage:
    """The queues of all nodes and a page of jobs. `missing_copies`: None when they could not be counted.

    `left_s`: until repair is done, by estimate; None: nothing is missing, or nobody works on it yet.
    """

    queues: tuple[Queue, ...]
    jobs: tuple[Job, ...]
    after: int | None
    missing_copies: int | None
    missing_bytes: int | None
    rate: int | None
    left_s: int | None
    document: Document = field(repr=False)


def jobs_page_of(document: Document) -> JobsPage:
    repair = object_in(document, "repair")
    copies = repair.get("copies")
    counted: Document = copies if isinstance(copies, dict) else {}
    return JobsPage(
        queues=tuple(_queue_of(line) for line in objects_in(document, "queues")),
        jobs=tuple(job_of(line) for line in objects_in(document, "jobs")), after=number_or_none(document, "after"),
        missing_copies=number_or_none(counted, "missing_copies"),
        missing_bytes=number_or_none(counted, "missing_bytes"),
        rate=number_or_none(repair, "rate"), left_s=number_or_none(repair, "left_s"), document=document)


def _queue_of(document: Document) -> Queue:
    return Queue(
        node=text_in(document, "node"), state=text_in(document, "state"), queued=number_in(document, "queued"),
        leased=number_in(document, "leased"), stuck=number_in(document, "stuck"), rate=number_or_none(document, "rate"),
        wait_s=number_in(document, "wait_s"), done=number_in(document, "done"),
        stolen_in=number_in(document, "stolen_in"), stolen_out=number_in(document, "stolen_out"), document=document)


def job_of(document: Document) -> Job:
    chunk = document.get("chunk")
    return Job(
        job=number_in(document, "job"), kind=text_in(document, "kind"), node=text_in(document, "node"),
        state=text_in(document, "state"), chunk=chunk if isinstance(chunk, str) else None,
        bytes=number_in(document, "bytes"), reason=text_in(document, "reason", ""),
        why=text_in(document, "why", ""),
        done_in_s=number_or_none(document, "done_in_s"), blocked=text_in(document, "blocked", ""), document=document)


def job_explanation_of(document: Document) -> JobExplanation:
    files = object_in(document, "files")
    return JobExplanation(job=job_of(document), does=text_in(document, "does"), files=number_in(files, "files"),
                          names=texts_in(files, "names"), document=document)


def doctor_report_of(document: Document) -> DoctorReport:
    stop = document.get("stop")
    return DoctorReport(
        node=text_in(document, "node"), healthy=document.get("healthy") is True,
        findings=tuple(_finding_of(line) for line in objects_in(document, "findings")),
        stop=_stop_cost_of(stop) if isinstance(stop, dict) else None, document=document)


def _finding_of(document: Document) -> Finding:
    return Finding(code=text_in(document, "code"), severity=text_in(document, "severity"),
                   message=text_in(document, "message"), advice=text_in(document, "advice", ""),
                   nodes=texts_in(document, "nodes"), document=document)


def _stop_cost_of(document: Document) -> StopCost:
    without = document.get("without_copy")
    files: Mapping[str, Any] = without if isinstance(without, dict) else {}
    return StopCost(
        node=text_in(document, "node"), safe=document.get("safe") is True, lines=texts_in(document, "lines"),
        writes_go_on=document.get("writes_go_on") is True, files_without_copy=number_in(files, "files"),
        names=texts_in(files, "names"), chunks_with_one_copy=number_in(document, "chunks_with_one_copy"),
        document=document)


def explanation_of(document: Document) -> Explanation:
    return Explanation(
        path=rooted(text_in(document, "path")), size=number_in(document, "size"),
        generation=number_in(document, "generation"), inline=document.get("inline") is True,
        chunks=number_in(document, "chunks"), groups=tuple(_group_of(line) for line in objects_in(document, "groups")),
        after=number_or_none(document, "after"), document=document)


def _group_of(document: Document) -> ChunkGroup:
    spans = document.get("spans")
    pairs = [span for span in spans if isinstance(span, list) and len(span) == 2] if isinstance(spans, list) else []
    return ChunkGroup(
        chunks=number_in(document, "chunks"), bytes=number_in(document, "bytes"),
        spans=tuple((int(first), int(last)) for first, last in pairs), wanted=number_in(document, "wanted"),
        living=number_in(document, "living"), covered=text_in(document, "covered"),
        copies=tuple(_copy_of(line) for line in objects_in(document, "copies")),
        lacking=tuple(_copy_of(line) for line in objects_in(document, "lacking")),
        pending=tuple(Pending(text_in(line, "kind"), text_in(line, "node"), text_in(line, "state"),
                              number_in(line, "jobs"), number_or_none(line, "done_in_s"))
                      for line in objects_in(document, "pending")),
        blocked=text_in(document, "blocked", ""), done_in_s=number_or_none(document, "done_in_s"), document=document)


def _copy_of(document: Document) -> Copy:
    return Copy(node=text_in(document, "node"), state=text_in(document, "state"), zone=text_in(document, "zone", ""),
                why=text_in(document, "why", ""))


def object_in(document: Document, key: str) -> Document:
    """The object under `key`."""
    found = document.get(key)
    if not isinstance(found, dict):
        raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")
    return found


def objects_in(document: Document, key: str) -> list[Document]:
    """The list of objects under `key`."""
    lines = document.get(key)
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Unavailable(f"a peer's answer has no list {key!r}; is it another version of Fluffy?")
    return lines
