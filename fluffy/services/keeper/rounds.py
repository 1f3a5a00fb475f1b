"""The shape of every loop of the keeper: a round, a rest, one log line when the world blocks it or lets it go on."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable

from fluffy.base.errors import FluffyError
from fluffy.services.condition import Condition
from fluffy.services.keeper.tallies import KeeperTallies

# After a failed round a loop rests at least this long, so that a fast loop does not hammer a sick world.
FAILED_REST_S = 1.0


async def run_rounds(name: str, every_s: float, one_round: Callable[[], Awaitable[bool | None]],
                     tallies: KeeperTallies) -> None:
    """Call `one_round` every `every_s` seconds (start to start), for ever.

    A round that returns True has more to do at once and is called again after one turn of the event loop. Failures of
    the world end the round, not the loop; bugs (`InvariantBroken`, anything else) end the process.
    """
    condition = Condition(name)
    while True:
        started_s = time.monotonic()
        rest_s = every_s
        failed = True
        try:
            if await one_round():
                rest_s = 0.0
        except (FluffyError, OSError, sqlite3.OperationalError) as error:
            condition.blocked(error)
            rest_s = max(every_s, FAILED_REST_S)
        else:
            condition.fine()
            failed = False
        tallies.round_ended(name, time.monotonic() - started_s, failed=failed)
        await asyncio.sleep(max(0.0, started_s + rest_s - time.monotonic()))
