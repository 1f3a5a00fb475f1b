"""How long a client may keep us waiting, for each thing it can owe.

Looked at once a second for each connection. A dribble does not help: a head has a time as a whole, and a body or an
answer must move by a least amount in each span (slow-loris connections end here).
"""

from __future__ import annotations

from enum import Enum

from fluffy.gateways.http.limits import (
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    LINGER_IDLE_S,
    STALL_BYTES_MIN,
    STALL_TIMEOUT_S,
)


class Owed(Enum):
    """What the client should be doing."""

    NOTHING = "nothing: it is our turn"
    HEAD = "the rest of a head"
    BODY = "bytes of a body that somebody waits for"
    TAKING = "taking what was sent"
    NEXT = "nothing yet: the connection is idle between two requests"
    LEAVING = "reading the last answer and going"


# How long, and how many bytes in that time are as good as an end; None: only the end counts.
_SPANS: dict[Owed, tuple[float, int | None]] = {
    Owed.HEAD: (HEAD_TIMEOUT_S, None),
    Owed.BODY: (STALL_TIMEOUT_S, STALL_BYTES_MIN),
    Owed.TAKING: (STALL_TIMEOUT_S, STALL_BYTES_MIN),
    Owed.NEXT: (IDLE_TIMEOUT_S, None),
    Owed.LEAVING: (LINGER_IDLE_S, 1),
}


class Patience:
    """One connection's present wait."""

    __slots__ = ("_mark", "_owed", "_request", "_since_s")

    def __init__(self) -> None:
        self._owed = Owed.NOTHING
        self._request = 0
        self._mark = 0
        self._since_s = 0.0

    def is_over(self, owed: Owed, request: int, amount: int, now_s: float) -> bool:
        """Whether the client has failed to do its part. `amount`: bytes moved so far, never falling within one wait.

        `request` counts the connection's requests, so that two waits of one kind are not taken for one.
        """
        span = _SPANS.get(owed)
        if owed is not self._owed or request != self._request or span is None:
            self._owed, self._request, self._mark, self._since_s = owed, request, amount, now_s
            return False
        timeout_s, bytes_min = span
        if now_s - self._since_s < timeout_s:
            return False
        if bytes_min is None or amount - self._mark < bytes_min:
            return True
        self._mark, self._since_s = amount, now_s
        return False
