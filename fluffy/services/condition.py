"""Saying once that something is wrong, and once that it is well again.

A loop that meets the same unreachable neighbour every second must not write a line every second. A `Condition`
remembers the last state of one named thing and logs only when it changes.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("fluffy.condition")


class Condition:
    """`blocked(error)` and `fine()` may be called at any rate; a line is written per change of state."""

    def __init__(self, name: str, **facts: Any) -> None:
        self._name = name
        self._facts = facts
        self._code: str | None = None

    def blocked(self, error: BaseException) -> None:
        code = type(error).__name__
        if code != self._code:
            log.info("condition.blocked", extra={
                "what": self._name, "error": code, "reason": str(error), **self._facts})
        self._code = code

    def fine(self) -> None:
        if self._code is not None:
            log.info("condition.cleared", extra={"what": self._name, "was": self._code, **self._facts})
        self._code = None
