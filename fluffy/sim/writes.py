"""One change that a simulated client wants, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.core.metadata.outcomes import Outcome


@dataclass(slots=True)
class Write:
    """Repeated under one request id until it is answered. `src`: of a move or copy, `path` is where it goes.

    `kind`: put, put-new, delete, mkdir, or one of `places.KINDS`. `lock`: the write that took the lock whose token this
    one brings.
    """

    number: int
    kind: str
    path: str
    began_s: float
    outcome: Outcome | None = None
    tries: int = 0
    src: str = ""
    lock: int | None = None
