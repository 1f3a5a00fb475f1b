"""What a gateway and the keeper of its node tell each other once a second (drivers/run_files.py)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fluffy.core.health.pacing import REQUESTS_MIN, UserTimes
from fluffy.drivers.run_files import KEEPER_FILE, Word, read_users, read_word, users_file
from fluffy.services.throttle import Throttle
from fluffy.services.user_times import UserTimesTally, worst_of

log = logging.getLogger("fluffy.gateway")

EVERY_S = 1.0


class GatewayWords:
    """The gateway's side. `last` is the keeper's newest word; None while it is silent."""

    def __init__(self, run_dir: Path, worker: int, tally: UserTimesTally) -> None:
        self._run_dir = run_dir
        self._word = Word(run_dir, users_file(worker))
        self._tally = tally
        self.last: dict[str, Any] | None = None

    async def run(self, throttle: Throttle) -> None:
        """Tell what users feel and what was given to repair; let the source's gate follow the keeper's pace."""
        while True:
            times = self._tally.turn()
            self._word.say({
                "requests": times.requests, "p99_ms": times.p99_ms, "background_bytes": throttle.moved_bytes,
                "traffic": asdict(self._tally.traffic)})
            self.last = read_word(self._run_dir, KEEPER_FILE)
            if self.last is not None and type(self.last.get("bytes_per_s")) is int and self.last["bytes_per_s"] > 0:
                throttle.set_rate(self.last["bytes_per_s"])
            await asyncio.sleep(EVERY_S)


def users_of(run_dir: Path) -> tuple[UserTimes | None, int]:
    """The keeper's side: what this node's users feel, and the background bytes that its gateways gave so far."""
    words = [word for word in read_users(run_dir) if type(word.get("requests")) is int]
    times = [UserTimes(word["requests"], float(word["p99_ms"])) for word in words]
    return worst_of(times, REQUESTS_MIN), sum(int(word["background_bytes"]) for word in words)


def traffic_of(run_dir: Path) -> dict[str, int]:
    """What all gateways of the node have answered since each one's start, together."""
    sums = {"requests": 0, "sent_bytes": 0, "received_bytes": 0}
    for word in read_users(run_dir):
        told = word.get("traffic")
        if isinstance(told, dict):
            sums = {name: number + int(told.get(name, 0)) for name, number in sums.items()}
    return sums


def teller(run_dir: Path) -> Callable[[dict[str, Any]], None]:
    """How the keeper says its word."""
    return Word(run_dir, KEEPER_FILE).say
