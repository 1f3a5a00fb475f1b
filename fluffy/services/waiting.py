"""Waiting for the log without asking it in a circle."""

from __future__ import annotations

import asyncio

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NotReady
from fluffy.ports import MetadataLog


async def wait_for_seq(log: MetadataLog, seq: int, deadline: Deadline) -> int:
    """Like `MetadataLog.wait_seq`, but a failure comes no sooner than the deadline: the log process may be away."""
    try:
        return await log.wait_seq(seq, deadline)
    except (NotReady, DeadlineExceeded):
        await asyncio.sleep(max(0.0, deadline.left_s))
        raise
