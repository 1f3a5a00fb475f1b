"""What `apply` answers: values, never exceptions.

`facts` are msgpack-able (str keys; int, str, bytes, bool, None, lists, maps of them), because outcomes are kept in
the request-id window and travel back to the proposer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fluffy.base.frozen import quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class Accepted:
    """The command changed the state (or found it already changed). `seq` is the state's sequence after it."""

    seq: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The command changed nothing. `code` is the class name of an error in `fluffy.base.errors`."""

    code: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


Outcome = Accepted | Rejected
