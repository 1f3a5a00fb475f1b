"""Paths out of rows: a row knows the number of its folder, so its path is found by going up.

Rows whose way up is broken stand in a folder that is in the trash or gone; nobody sees them. The same code serves every
catalog: it says which folders it needs to know (`missing`), the driver looks them up by the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fluffy.core.metadata.model import Entry
from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.core.metadata.queries_search import DEPTH_MAX, Found
from fluffy.core.metadata.schema import ROOT_NO

# (cluster number, folder number)
FolderId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sight:
    """What an asker may read of one cluster. `buckets` None: everything."""

    buckets: frozenset[str] | None

    def sees(self, path: str) -> bool:
        return self.buckets is None or path.partition("/")[0] in self.buckets


Scope = Mapping[int, Sight]
"""The clusters that are asked, by number, and what may be seen of each."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A row of one cluster's catalog, and its number in the catalog."""

    row_no: int
    row: CatalogRow


@dataclass(frozen=True, slots=True)
class CatalogHit:
    """What an asker is shown: an entry of a cluster, with its tags."""

    cluster_no: int
    row_no: int
    found: Found


class Folders:
    """Folders on the way from rows to their roots, as far as they are known. For one question."""

    def __init__(self) -> None:
        self._known: dict[FolderId, tuple[int, str] | None] = {}
        self._prefixes: dict[FolderId, str | None] = {}

    def learn(self, asked: Iterable[FolderId], found: Mapping[FolderId, tuple[int, str]]) -> None:
        """What was found of what was asked for: the folder's own folder and its key. The rest is not there."""
        for folder in asked:
            self._known[folder] = found.get(folder)

    def missing(self, wanted: Iterable[FolderId]) -> list[FolderId]:
        """The folders to look up next, so that `prefix` can tell about all of `wanted`; empty: nothing is missing."""
        unknown: dict[FolderId, None] = {}
        for folder in wanted:
            for _ in range(DEPTH_MAX):
                if folder[1] == ROOT_NO or folder in self._prefixes:
                    break
                if folder not in self._known:
                    unknown[folder] = None
                    break
                above = self._known[folder]
                if above is None:
                    break
                folder = (folder[0], above[0])
        return list(unknown)

    def prefix(self, folder: FolderId) -> str | None:
        """The path of a folder, with a slash behind it unless it is the root; None: it is not in the tree."""
        chain: list[tuple[FolderId, str]] = []
        at: FolderId = folder
        prefix: str | None = None
        for _ in range(DEPTH_MAX):
            if at[1] == ROOT_NO:
                prefix = ""
                break
            if at in self._prefixes:
                prefix = self._prefixes[at]
                break
            above = self._known.get(at)
            if above is None:
                break
            chain.append((at, above[1]))
            at = (at[0], above[0])
        for one, key in reversed(chain):
            prefix = None if prefix is None else prefix + key
            self._prefixes[one] = prefix
        return prefix


def hit_of(cluster_no: int, placed: Placed, prefix: str | None, scope: Scope) -> CatalogHit | None:
    """What the asker sees of a row whose folder has that path; None: nothing."""
    sight = scope.get(cluster_no)
    if prefix is None or sight is None:
        return None
    row = placed.row
    path = prefix + row.name
    if not sight.sees(path):
        return None
    entry = Entry(row.name, path, "folder" if row.is_folder else "file", max(row.size, 0), row.generation, row.etag,
                  row.content_type, row.owner, row.modified_ms)
    return CatalogHit(cluster_no, placed.row_no, Found(entry, row.tags))
