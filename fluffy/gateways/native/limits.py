"""How much this door takes on at once (promise P9). Beyond it: 503 with `Retry-After`, or a closed connection.

Every number has its reason; together they bound the memory of a gateway whatever strangers do, because all of them
count before a credential is looked at.
"""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.errors import Overloaded
from fluffy.base.units import KIB

# 64 busy clients on each of a dozen applications. An idle connection costs about 10 KiB.
CONNECTIONS_MAX = 1024
# Being answered at once, bodies included. Half of the connections, so that a full house can still say so.
REQUESTS_MAX = 512
# Of these, the ones that hold chunk buffers: beyond that they would only queue up for memory until they time out.
UPLOADS_MAX = 64
DOWNLOADS_MAX = 128
# A path of 1,024 bytes, every one percent-encoded, is 3,072; search text and an absolute target need room too.
TARGET_BYTES_MAX = 8 * KIB
HEADER_BYTES_MAX = 8 * KIB
HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 * KIB
# A JSON body of a command.
JSON_BODY_BYTES_MAX = 64 * KIB
# A client that has not sent its whole head by then is not a client.
HEAD_TIMEOUT_S = 10.0
# Not a single byte of the body for this long: the client is gone, or means harm.
STALL_TIMEOUT_S = 20.0
# Not a single byte of the answer taken for this long.
SEND_STALL_TIMEOUT_S = 30.0
# Longer than a pooling client keeps a connection, so that it is the client who closes.
IDLE_TIMEOUT_S = 75.0
# What is left of a refused body is read and thrown away up to here, so that the client sees the answer and not a reset.
DISCARD_BYTES_MAX = 1024 * KIB
DISCARD_TIMEOUT_S = 2.0
invariant(REQUESTS_MAX < CONNECTIONS_MAX, "a connection can always be told that the house is full")
invariant(UPLOADS_MAX + DOWNLOADS_MAX < REQUESTS_MAX, "transfers leave room for small requests")


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
