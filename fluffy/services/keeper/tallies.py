"""What a keeper counts beside its word: how long its rounds and jobs take, and which rounds the world cut short."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.histogram import SECONDS, Histogram
from fluffy.wire.metric_samples import Samples


class KeeperTallies:
    """`word`: the keeper's newest one, as its gateways hear it; empty before the first."""

    def __init__(self) -> None:
        self.word: Mapping[str, Any] = {}
        self._rounds: defaultdict[str, Histogram] = defaultdict(_histogram)
        self._jobs: defaultdict[str, Histogram] = defaultdict(_histogram)
        self._failed: Counter[str] = Counter()

    def hearing(self, tell: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """`tell`, but the word is kept here too."""
        def hear(word: dict[str, Any]) -> None:
            self.word = word
            tell(word)

        return hear

    def round_ended(self, loop: str, seconds: float, *, failed: bool) -> None:
        self._rounds[loop].observe(seconds)
        self._failed[loop] += failed

    def job_ended(self, kind: str, seconds: float) -> None:
        self._jobs[kind].observe(seconds)

    def tell(self, samples: Samples) -> None:
        for loop, times in self._rounds.items():
            samples.add("fluffy_keeper_round_duration_seconds", times, loop)
        for loop, count in self._failed.items():
            samples.add("fluffy_keeper_rounds_failed_total", count, loop)
        for kind, times in self._jobs.items():
            samples.add("fluffy_job_duration_seconds", times, kind)
        if self.word:
            _tell_word(self.word, samples)


def _histogram() -> Histogram:
    return Histogram(SECONDS)


def _tell_word(word: Mapping[str, Any], samples: Samples) -> None:
    scrub, jobs, inventory = word["scrub"], word["jobs"], word["inventory"]
    values = {
        "repair_allowed_bytes_per_second": word["bytes_per_s"],
        "repair_limit_bytes_per_second": word["bytes_per_s_max"], "repair_moved_bytes_total": word["moved_bytes"],
        "repair_slowdowns_total": word["halvings"], "scrub_chunks_total": scrub["chunks_since_start"],
        "scrub_bytes_total": scrub["bytes_since_start"], "scrub_bad_total": scrub["bad_since_start"],
        "scrub_pass_done_ratio": scrub["done"], "jobs_held": jobs["held"], "jobs_stolen_total": jobs["stolen"],
        "inventory_passes_total": inventory["passes"], "inventory_lost_total": inventory["lost"]}
    for name, value in values.items():
        samples.add(f"fluffy_{name}", value)
    for end in ("done", "failed", "late"):
        samples.add("fluffy_jobs_ended_total", jobs[end], end)
