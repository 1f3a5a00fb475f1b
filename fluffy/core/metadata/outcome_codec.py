"""Outcomes as bytes: for the request-id window inside the state, and for the way back to the proposer.

    Accepted: [0, seq, facts]      Rejected: [1, code, message, facts]       msgpack
"""

from __future__ import annotations

from typing import Any

import msgpack

from fluffy.base.checks import invariant
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected

_ACCEPTED = 0
_REJECTED = 1
# Facts name at most a hundred chunks or so; a proposer's read buffer relies on it.
OUTCOME_BYTES_MAX = 16 * 1024
# One packer for all: to make one takes as long as to pack an outcome. After an exception it begins anew by itself.
_pack = msgpack.Packer().pack


def encode_outcome(outcome: Outcome) -> bytes:
    packed: bytes
    if isinstance(outcome, Accepted):  # not by `match`, which asks for every field by its name
        packed = _pack((_ACCEPTED, outcome.seq, outcome.facts))
    else:
        packed = _pack((_REJECTED, outcome.code, outcome.message, outcome.facts))
    invariant(len(packed) <= OUTCOME_BYTES_MAX, "outcomes are small: every fact is bounded")
    return packed


def decode_outcome(data: bytes) -> Outcome:
    """The outcome of bytes that this program encoded, or ValueError. Bytes from a socket: `wire.log_entries`."""
    values: Any = msgpack.unpackb(data, strict_map_key=True, max_ext_len=0)
    match values:
        # `type() is`: True and False would pass for 1 and 0.
        case [tag, seq, dict(facts)] if type(tag) is type(seq) is int and tag == _ACCEPTED:
            return Accepted(seq, facts)
        case [tag, str(code), str(message), dict(facts)] if type(tag) is int and tag == _REJECTED:
            return Rejected(code, message, facts)
    raise ValueError("not an outcome")
