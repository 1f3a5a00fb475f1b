"""Refusing a body before it has come, so that nobody sends gigabytes for what the log would refuse at the end.

What this node knows may be old, and the refusal of a body that is not read stands in no log. So it is made of the
newest state only (promise P3), and a request that the log has answered already is never refused here: repeated, it gets
that answer (promise P4), whatever has become of the quota or the path since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from fluffy.base.errors import FluffyError, QuotaExceeded
from fluffy.base.ids import RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call


class Early(NamedTuple):
    """What speaks against a body. `room`: how many bytes it may have; None: any number."""

    refusal: FluffyError | None
    room: int | None


async def room_for(desk: Desk, call: Call, request_id: RequestId,
                   look: Callable[[sqlite3.Connection], Early]) -> int | None:
    """How many bytes the body may have, None: any number. Raises the refusal of `look`, and Unavailable."""
    if desk.reader.read(look) == (None, None):
        return None
    await desk.gate.newest()
    refusal, room = desk.reader.read(look)
    length = call.body.length
    if refusal is None and (room is None or (length is not None and length <= room)):
        return room
    if await desk.reader.read_in_thread(lambda db: queries.is_answered(db, request_id), call.deadline):
        return None
    if refusal is not None:
        raise refusal
    return room


def with_use(desk: Desk, bucket: str, user_no: UserNo, refusal: QuotaExceeded) -> QuotaExceeded:
    """A refusal that says how much is used of what, as the log's own do. `user_no`: as in `queries.bytes_left`."""
    tight = None if "used" in refusal.facts else desk.reader.read(
        lambda db: queries.tightest_quota(db, bucket, user_no))
    if tight is None:
        return refusal
    return QuotaExceeded(
        f"{tight.subject} {tight.name} uses {tight.used:,} of the {tight.limit:,} bytes that its quota allows; the file"
        " does not fit, and nothing of it was stored",
        subject=tight.subject, name=tight.name, unit="bytes", used=tight.used, limit=tight.limit,
        bytes_left=refusal.facts.get("bytes_left", tight.bytes_left))
