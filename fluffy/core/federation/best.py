"""Which clusters get a new file: those with the most free space for what they have to do.

A cluster's score is its free space, halved for a machine that is fully loaded, and so on; clusters that cannot be
written to now, or have less room than the file needs with some to spare, are no candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Room that must be left after the upload, in copies of the file: it is stored several times.
COPIES_TO_FIT = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    name: str
    free_bytes: int
    load: float
    writable: bool


def best_clusters(candidates: Iterable[Candidate], size: int | None, count: int) -> list[str]:
    """The `count` best ones, best first; fewer when there are no more. `size` None: nobody knows."""
    needed = COPIES_TO_FIT * (size or 0)
    fit = [one for one in candidates if one.writable and one.free_bytes > needed]
    return [one.name for one in sorted(fit, key=lambda one: (-one.free_bytes / (1.0 + max(one.load, 0.0)), one.name))
            ][:count]
