"""Making one page of a search out of candidate rows, whichever catalog they come from.

A driver hands over candidates in the order of a step, by the batch: `missing` says which folders it must look up first,
`take` decides what is shown. A page ends when it is full, or when so many candidates were looked at that the next page
had better begin there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.core.federation.ranking import Cursor, Step, cluster_no_of, plain_word, step_of
from fluffy.core.federation.tree import CatalogHit, FolderId, Folders, Placed, Scope, hit_of
from fluffy.core.search.query import SearchQuery, fold

# Looked at for one page; then the page is short and its cursor goes on. A tenth of a second or two.
CANDIDATES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """`after`: the cursor of the next page; None: this was the last."""

    hits: tuple[CatalogHit, ...]
    after: str | None


class PageMaker:
    """One page of at most `limit` hits."""

    def __init__(self, query: SearchQuery, scope: Scope, limit: int) -> None:
        self.folders = Folders()
        self._query = query
        self._scope = scope
        self._limit = limit
        self._word = plain_word(query)
        self._hits: list[CatalogHit] = []
        self._looked = 0
        self._last: Cursor | None = None

    @property
    def is_full(self) -> bool:
        return len(self._hits) >= self._limit or self._looked >= CANDIDATES_MAX

    @property
    def wanted(self) -> int:
        """Hits for which there is still room."""
        return max(0, self._limit - len(self._hits))

    def missing(self, step: Step, batch: Sequence[Placed]) -> list[FolderId]:
        """Folders to be looked up (`folders.learn`) before this batch is taken; ask again until there are none."""
        return self.folders.missing((cluster_no_of(one.row_no), one.row.parent)
                                    for one in batch if self._may_show(step, one))

    def take(self, step: Step, batch: Sequence[Placed]) -> None:
        """Show what is to be shown of the batch, up to the end of the page."""
        for one in batch:
            if self.is_full:
                return
            self._looked += 1
            self._last = Cursor(step, one.row_no, fold(one.row.name) if step is Step.BEGINS else "")
            if self._may_show(step, one):
                cluster_no = cluster_no_of(one.row_no)
                prefix = self.folders.prefix((cluster_no, one.row.parent))
                hit = hit_of(cluster_no, one, prefix, self._scope)
                if hit is not None and self._query.fits(hit.found):
                    self._hits.append(hit)

    def reached(self, end: Cursor) -> None:
        """There is nothing to show up to here: the next page may begin behind it."""
        self._last = end

    def page(self, *, is_over: bool) -> CatalogPage:
        """`is_over`: there are no more candidates."""
        after = None if is_over or self._last is None else self._last.text()
        return CatalogPage(tuple(self._hits), after)

    def _may_show(self, step: Step, one: Placed) -> bool:
        return (cluster_no_of(one.row_no) in self._scope and step_of(self._word, one.row.name) is step
                and self._query.fits_name(one.row.name))
