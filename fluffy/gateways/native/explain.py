"""Where each copy of a file is, why there, what is missing and who will make it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from fluffy.base.errors import FileNotFound, IsFolder, RangeIllegal
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.paths import RemotePath, parse_file_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.queries_redundancy import PlacedChunks, placed_chunks
from fluffy.core.placement import place
from fluffy.core.repair.explain import Group, group_alike, how_covered, what_blocks_group, why_here
from fluffy.core.repair.redundancy import LIVING_STATES
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.job_view import JobView

# Ranking all nodes for a chunk takes 20 to 500 µs: a page is a second of a thread at most.
PAGE_CHUNKS = 10_000
GROUPS_DEFAULT = 20
GROUPS_MAX = 200
# Of one group: a file whose chunks alternate between two groups would have thousands.
SPANS_MAX = 50
IDS_MAX = 3


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The nodes as the map and the members' table have them. A copy on a node that is in neither counts for nothing."""

    names: dict[NodeNo, str]
    states: dict[NodeNo, NodeState]

    @property
    def living(self) -> frozenset[NodeNo]:
        return frozenset(no for no, node in self.states.items() if node.state in LIVING_STATES)

    def name(self, no: NodeNo) -> str:
        return self.names.get(no, f"node {no}")

    def state(self, no: NodeNo) -> str:
        node = self.states.get(no)
        return "gone" if node is None else node.state

    def json(self, no: NodeNo) -> dict[str, Any]:
        node = self.states.get(no)
        return {"node": self.name(no), "state": self.state(no),
                "zone": None if node is None else node.zone, "weight": None if node is None else node.weight}


@dataclass(frozen=True, slots=True)
class _Explained:
    found: PlacedChunks
    nodes: _Nodes
    groups: list[Group]
    pending: list[list[dict[str, Any]]]
    after: int | None


async def explain(desk: Desk, call: Call) -> Answer:
    """GET /v1/explain/{path}: the copies of its chunks, alike ones together; ?chunk=N of one, with all candidates."""
    path = parse_file_path(call.tail)
    desk.allow(call, Act.READ, path)
    generation = call.number("generation", 0, 2**62) or None
    start = call.number("chunk" if "chunk" in call.query else "after", 0, 2**40)
    count = 1 if "chunk" in call.query else PAGE_CHUNKS
    limit = call.number("limit", GROUPS_DEFAULT, GROUPS_MAX, least=1)
    explained = await desk.reader.read_in_thread(
        lambda db: _look(db, path, generation, start, count, limit, desk.clock.now_ms()), call.deadline)
    if explained is None:
        if desk.reader.read(lambda db: queries.kind_at(db, path)) == "folder":
            raise IsFolder(f"{path} is a folder; only files have copies", path=str(path))
        raise FileNotFound(f"there is no file at {path}", path=str(path))
    if "chunk" in call.query and not explained.groups:
        raise RangeIllegal(f"{path} has {explained.found.total} chunks, counted from 0", chunks=explained.found.total)
    return json_answer(_explained_json(path, explained))


def _look(db: sqlite3.Connection, path: RemotePath, generation: int | None, start: int, count: int, limit: int,
          wall_ms: int) -> _Explained | None:
    found = placed_chunks(db, path, generation, start, count)
    if found is None:
        return None
    placement = queries.placement_map(db)
    nodes = _Nodes({record.node_no: record.name for record in queries.node_records(db)},
                   {node.node_no: node for node in placement.nodes})
    groups, after = group_alike(found.chunks, lambda chunk_id: _order(chunk_id, placement), limit)
    if after is None and count == PAGE_CHUNKS and start + len(found.chunks) < found.total:
        after = start + len(found.chunks)
    view = JobView(db, wall_ms)
    jobs = queries.jobs_of_chunks(db, [chunk.chunk_id for chunk in found.chunks])
    pending = [_pending(view, [job for chunk_id in dict.fromkeys(group.ids) for job in jobs.get(chunk_id, ())])
               for group in groups]
    return _Explained(found, nodes, groups, pending, after)


def _pending(view: JobView, jobs: list[Job]) -> list[dict[str, Any]]:
    """Jobs that are alike as one line: what, where, how many, and when the last of them is done."""
    lines: dict[tuple[str, NodeNo, str], dict[str, Any]] = {}
    for job in jobs:
        wait_ms = view.done_in_ms(job)
        line = lines.setdefault((job.kind, job.node_no, job.state), {
            "kind": job.kind, "node": view.name(job.node_no), "state": job.state, "jobs": 0,
            "done_in_s": None if wait_ms is None else 0, "error": None})
        line["jobs"] += 1
        line["error"] = job.error or line["error"]
        if wait_ms is not None:
            line["done_in_s"] = max(line["done_in_s"], wait_ms // 1000)
    return list(lines.values())


def _order(chunk_id: ChunkId, placement: PlacementMap) -> list[NodeNo]:
    return place(chunk_id, placement, 1, None)


def _explained_json(path: RemotePath, explained: _Explained) -> dict[str, Any]:
    found, living = explained.found, explained.nodes.living
    worst_first = sorted(zip(explained.groups, explained.pending, strict=True),
                         key=lambda pair: (pair[0].living(living) - pair[0].wanted, pair[0].spans[0]))
    covered: dict[str, int] = {}
    for group in explained.groups:
        how = how_covered(group, living)
        covered[how] = covered.get(how, 0) + group.chunks
    return {
        "path": str(path), "kind": "file", "owner": found.owner, "size": found.size, "generation": found.generation,
        "inline": found.inline, "chunks": found.total, "explained": sum(group.chunks for group in explained.groups),
        "covered": covered, "groups": [_group_json(group, pending, explained.nodes) for group, pending in worst_first],
        "after": explained.after}


def _group_json(group: Group, pending: list[dict[str, Any]], nodes: _Nodes) -> dict[str, Any]:
    living = nodes.living
    ends = [line["done_in_s"] for line in pending]
    return {
        "chunks": group.chunks, "bytes": group.bytes, "spans": group.spans[:SPANS_MAX],
        "spans_more": max(0, len(group.spans) - SPANS_MAX), "ids": [each.hex() for each in group.ids[:IDS_MAX]],
        "wanted": group.wanted, "living": group.living(living), "covered": how_covered(group, living),
        "copies": [{**nodes.json(no), "why": why_here(group, no, nodes.state(no)),
                    "ranks": group.ranks.get(no)} for no in group.nodes],
        "lacking": [{**nodes.json(no), "ranks": group.ranks.get(no)} for no in group.lacking]
        if group.living(living) < group.wanted else [],
        "pending": pending, "done_in_s": max(ends) if ends and None not in ends else None,
        "blocked": what_blocks_group(group, nodes.living, nodes.name, [line["error"] for line in pending]) or None}
