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
class ChunkGroup:
    """Chunks of a file that are alike: held by the same nodes, and wanted on the same. `spans`: (first, last) indexes.

    `covered`: whole, short, endangered, away or lost. `lacking`: nodes that should have a copy and have none.
    """

    chunks: int
    bytes: int
    spans: tuple[tuple[int, int], ...]
    wanted: int
    living: int
    covered: str
    copies: tuple[Copy, ...]
    lacking: tuple[Copy, ...]
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
        lacking=tuple(_copy_of(line) for line in objects_in(document, "lacking")), document=document)


def _copy_of(document: Document) -> Copy:
    return Copy(node=text_in(document, "node"), state=text_in(document, "state"), zone=text_in(document, "zone", ""),
                why=text_in(document, "why", ""))


def objects_in(document: Document, key: str) -> list[Document]:
    """The list of objects under `key`."""
    lines = document.get(key)
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Unavailable(f"a peer's answer has no list {key!r}; is it another version of Fluffy?")
    return lines
