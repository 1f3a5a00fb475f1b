"""What the supernode's services may ask of the world: a catalog of names, and clusters. See `ports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fluffy.base.deadline import Deadline
from fluffy.core.federation.paging import CatalogPage
from fluffy.core.federation.tree import Scope
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece, Place
from fluffy.core.search.query import SearchQuery


@dataclass(frozen=True, slots=True)
class CatalogCluster:
    """How far a catalog has followed one cluster. `number` is of this building of it: a rebuilt one gets another.

    `seq` is a position of the history `epoch`. `building`: the tree was read to this place; None: all of it. `walk`: a
    folder to be listed anew and the last key seen in it. `level_ms`: wall time when this was all there was; 0: never.
    """

    number: int
    name: str
    epoch: str
    seq: int
    building: Place | None
    walk: tuple[int, str] | None
    rows: int
    level_ms: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that was none: set aside, so that the rest can go on."""

    cluster: str
    seq: int
    at_ms: int
    reason: str
    text: str


class Catalog(Protocol):
    """The names of many clusters. Rows are stored together with the cursor that they belong to, or not at all.

    Nothing in it is precious: what is lost or damaged is replaced by an empty one. Raises CatalogFailed when the
    database cannot be used now, and for the number of a cluster that was forgotten or begun anew meanwhile.
    """

    async def open(self) -> None:
        """Open what is there, or begin with nothing."""

    async def close(self) -> None: ...

    async def clusters(self) -> tuple[CatalogCluster, ...]: ...

    async def begin(self, name: str, epoch: str, seq: int) -> CatalogCluster:
        """Forget the cluster's rows and begin to read its tree; the feed is followed from `seq`."""

    async def apply(self, number: int, piece: FeedPiece, level_ms: int) -> None:
        """Take over a piece of the feed. `level_ms`: now, when nothing is behind it, else 0 (as before)."""

    async def load(self, number: int, rows: Sequence[CatalogRow], after: Place | None) -> None:
        """A piece of the tree; `after`: where the next one begins, None: that was all."""

    async def load_folder(self, number: int, folder_no: int, rows: Sequence[CatalogRow], after: str | None) -> None:
        """A piece of a folder that is listed anew; None: that was all. The folders in it are listed next."""

    async def rows(self, number: int, after: Place, limit: int) -> tuple[CatalogRow, ...]:
        """What is known, in the order of (folder number, key)."""

    async def replace(self, number: int, after: Place, through: Place | None, rows: Sequence[CatalogRow]) -> int:
        """Make these rows all there is behind `after` up to `through` (None: the end); how many were wrong."""

    async def forget(self, name: str) -> None:
        """The cluster is not joined any more."""

    async def sweep(self, limit: int) -> int:
        """Remove rows of forgotten buildings; how many."""

    async def set_aside(self, letters: Sequence[DeadLetter]) -> None: ...
    async def dead_letters(self, limit: int) -> tuple[DeadLetter, ...]: ...

    async def search(self, query: SearchQuery, scope: Scope, after: str | None, limit: int,
                     deadline: Deadline) -> CatalogPage:
        """A page of what fits and may be seen. Raises QuerySyntax, DeadlineExceeded."""

    async def list_folder(self, number: int, path: str, after: str, limit: int) -> tuple[CatalogRow, ...] | None:
        """The next children of a folder by key, after a key; None: there is no such folder."""

    async def find(self, number: int, path: str) -> CatalogRow | None:
        """The file at the path, or else the folder."""


@dataclass(frozen=True, slots=True)
class Seen:
    """From which state a cluster answered. `is_stale`: by a peer without a majority."""

    epoch: str
    seq: int
    is_stale: bool


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """`facts`: the cluster's state as it tells it (docs/FEDERATION.md): leader, load, room, peers."""

    seen: Seen
    piece: FeedPiece
    rejects: tuple[tuple[str, str], ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeedChange:
    """A line of the change feed (core/metadata/changes.py says what the kinds mean). `source` '': it was not moved."""

    kind: str
    path: str
    source: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class ChangesAnswer:
    """`next`: the position behind these changes; `more`: there are more at once."""

    seen: Seen
    changes: tuple[FeedChange, ...]
    next: int
    more: bool


@dataclass(frozen=True, slots=True)
class RowsAnswer:
    """`after`: the place where the next page begins; None: this was the last."""

    seen: Seen
    rows: tuple[CatalogRow, ...]
    rejects: tuple[tuple[str, str], ...]
    after: Place | None


@dataclass(frozen=True, slots=True)
class HashAnswer:
    seen: Seen
    rows: int
    digest: str
    after: Place | None


@dataclass(frozen=True, slots=True)
class SightAnswer:
    """Who a token belongs to. `buckets` None: that one reads everything."""

    user: str
    role: str
    buckets: frozenset[str] | None


class ClusterClient(Protocol):
    """One cluster, as a supernode asks it: with the supernode's own token, for itself or for an asker.

    `asker`: the hash of the token of whom it asks for, in hex. Tries the cluster's peers until the deadline. Raises the
    cluster's refusal as our error, and ClusterUnreachable when no peer gave an answer that makes sense.
    """

    async def feed(self, since: int, epoch: str, wait_s: int, deadline: Deadline) -> FeedAnswer: ...
    async def rows(self, after: Place, deadline: Deadline) -> RowsAnswer: ...
    async def folder(self, folder_no: int, after: str, deadline: Deadline) -> RowsAnswer: ...
    async def row_hash(self, after: Place, deadline: Deadline) -> HashAnswer: ...
    async def sight(self, asker: str, deadline: Deadline) -> SightAnswer: ...

    async def ask(self, method: str, target: str, deadline: Deadline, *, asker: str,
                  document: Mapping[str, Any] | None = None, request_id: str | None = None,
                  headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """A small request with a small answer. `target`: encoded, with its query."""
