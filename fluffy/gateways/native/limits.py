"""How much the native API takes on at once (promise P9). Beyond it: 503 with `Retry-After`, without waiting.

The bounds of connections, heads, bodies and waits are the HTTP machine's (fluffy/gateways/http/limits.py).
"""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.errors import Overloaded
from fluffy.gateways.http.limits import CONNECTIONS_MAX

# Being answered at once. Half of the connections, so that a full house can still say so.
REQUESTS_MAX = 512
# Of these, the ones that need chunk buffers: more would only queue up for memory until they time out.
UPLOADS_MAX = 64
# A download holds up to three chunks, most of them in the page cache; its place is kept until its last byte is sent.
DOWNLOADS_MAX = 128
# Strangers may ask for these, so they must not take the places of those who have a token. More than fit into the queue
# for the threads that check passwords (services/passwords.py).
LOGINS_MAX = 32
# Requests that wait for a lock, up to half a minute each.
WAITERS_MAX = 128
# Each takes as much room on the disk as the metadata, and a core while it is made.
BACKUPS_MAX = 1
# Streams of changes that are followed, for as long as their clients like.
STREAMS_MAX = 64
# Dashboards that are looked at. Each asks for the state of everything once a second: a few milliseconds.
WATCHERS_MAX = 16
invariant(REQUESTS_MAX < CONNECTIONS_MAX, "a connection can always be told that the house is full")
invariant(REQUESTS_MAX + LOGINS_MAX + STREAMS_MAX < CONNECTIONS_MAX, "strangers and followers shut out nobody")
invariant(UPLOADS_MAX + DOWNLOADS_MAX + WAITERS_MAX < REQUESTS_MAX, "transfers and waiting leave room for the rest")


class Slots:
    """A bounded number of places; use as `with slots:`. Raises Overloaded when all are taken, and never waits."""

    def __init__(self, places: int, what: str) -> None:
        self._places = places
        self._what = what
        self.taken = 0
        self.refused = 0

    def __enter__(self) -> None:
        if self.taken >= self._places:
            self.refused += 1
            raise Overloaded(f"this node already has {self._places} {self._what}; try again or ask another peer")
        self.taken += 1

    def __exit__(self, *exc_info: object) -> None:
        self.taken -= 1
