"""What readers of the state get about background work: frozen values, made by `queries_jobs.py` from rows."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.job_rules import QueueLoad


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are log time; 0 stands for never, node 0 for none. `schema_jobs` has the meaning of each field."""

    no: int
    kind: str
    chunk_id: ChunkId
    node_no: NodeNo
    priority: int
    cost: int
    reason: str
    state: str
    created_ms: int
    term: int
    attempt: int
    failures: int
    lease_until_ms: int
    not_before_ms: int
    error: str
    stolen_from: NodeNo
    seen: bytes
    stuck_ms: int
    position: bytes


@dataclass(frozen=True, slots=True)
class Queue:
    """A node's queue and how the node works. `load.wait_ms`: estimated time until all of it is done."""

    node_no: NodeNo
    load: QueueLoad
    stuck: int
    search_after_ms: int
    done: int
    done_bytes: int
    failed: int
    stolen_in: int
    stolen_out: int


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Since when, in log time, a node has its state in the map, and since when it is down (0: it is not)."""

    node_no: NodeNo
    since_ms: int
    down_since_ms: int


@dataclass(frozen=True, slots=True)
class ScrubWish:
    """Somebody asked that the node re-read all it holds. `done_ms`: 0: not done yet."""

    node_no: NodeNo
    asked_ms: int
    done_ms: int


@dataclass(frozen=True, slots=True)
class OpenDrop:
    """The node may delete its file of the chunk, or has, and has not told yet; the copy does not count."""

    chunk_id: ChunkId
    node_no: NodeNo
    granted_ms: int


@dataclass(frozen=True, slots=True)
class ChunkLine:
    """A chunk as the plan looks at it. `replicas`: nodes that hold it and count, ascending."""

    no: int
    chunk_id: ChunkId
    length: int
    refs: int
    wanted: int
    replicas: tuple[NodeNo, ...]
    free_since_ms: int | None


@dataclass(frozen=True, slots=True)
class ChunkPage:
    """A stretch of the catalog's chunks. `after`: where the next one begins; None: this was the last."""

    chunks: tuple[ChunkLine, ...]
    after: int | None
