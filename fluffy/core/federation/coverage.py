"""What an answer speaks for: each cluster's state, how fresh what is known of it is, and how far it is behind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Contact once a second is usual; three missed and the cluster is not what it was.
FRESH_S = 3.0


class ClusterState(Enum):
    """`value`: as users read it."""

    FRESH = "fresh"  # followed to its newest position a moment ago
    BEHIND = "behind"  # in contact, but there is more to follow
    STALE = "stale"  # not in contact: as of `fresh_as_of`
    REBUILDING = "rebuilding"  # what is known is not all
    UNKNOWN = "unknown"  # nothing is known yet
    CLOSED = "closed"  # the asker is nobody there


@dataclass(frozen=True, slots=True)
class Contact:
    """What a follower knows of its cluster.

    `seq`: followed to; `head`: the newest position heard of; `level_ms`: wall time when what is known was all there was
    (0: never), and `heard_s` the monotonic time of the last good answer (None: none in this process's life). `built`:
    whether the rows are complete.
    """

    seq: int
    head: int
    level_ms: int
    heard_s: float | None
    built: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """`fresh_as_of_ms`: the answer shows the cluster not older than it was then; None: nobody knows.

    `lag`: positions of the feed that are known and not yet followed.
    """

    cluster: str
    state: ClusterState
    fresh_as_of_ms: int | None
    lag: int
    reason: str = ""


def coverage_of(cluster: str, contact: Contact, now_s: float) -> Coverage:
    lag = max(0, contact.head - contact.seq)
    as_of = contact.level_ms or None
    is_heard = contact.heard_s is not None and now_s - contact.heard_s <= FRESH_S
    if not contact.built:
        state = ClusterState.REBUILDING if contact.heard_s is not None or contact.seq else ClusterState.UNKNOWN
        return Coverage(cluster, state, None, lag, contact.reason)
    if not is_heard:
        return Coverage(cluster, ClusterState.STALE, as_of, lag, contact.reason)
    return Coverage(cluster, ClusterState.BEHIND if lag else ClusterState.FRESH, as_of, lag)
