"""Is a node alive? The leader's keeper pings every member's data port each second and judges by silence.

Three verdicts: *up*; *suspect* after a short silence (readers and writers avoid it, nothing is moved); *down* after
a long one. A node that answers again is *up* only after several answers in a row, and after more of them each time it
falls silent again soon: one that flaps stays suspect instead of pulling traffic back and forth. All times are
milliseconds of one process's monotonic clock: a jump of the wall clock kills nobody.

Silence counts only while we listened: after a pause of our own (a stopped process, a suspended machine) the caller
passes the gap to `forgive`, else the first lost ping after the pause would condemn the whole cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fluffy.base.checks import invariant
from fluffy.base.units import MINUTE_MS

PING_EVERY_MS = 1_000
# A node that stayed up for this long has no past.
CALM_MS = 2 * MINUTE_MS
# Answers in a row that the worst flapper owes: some 20 s, in which it is spared new work and first reads, not more.
UP_AFTER_PINGS_MAX = 20
Verdict = Literal["up", "suspect", "down"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silence means what. `up_after_pings`: answers in a row that make a silent node *up* again."""

    # One lost ping happens on a busy machine; two in a row mean something. With the ping's own time, a node that stops
    # is suspect within three seconds.
    suspect_after_ms: int = 2 * PING_EVERY_MS
    down_after_ms: int = 10_000
    up_after_pings: int = 2

    def __post_init__(self) -> None:
        invariant(self.suspect_after_ms >= 2 * PING_EVERY_MS, "one lost ping makes nobody suspect")
        invariant(self.down_after_ms > self.suspect_after_ms, "a node is suspect before it is down")


def patience_for(down_after_ms: int) -> Patience:
    """The patience of an operator's `repair.down_after`."""
    suspect_after_ms = 2 * PING_EVERY_MS
    return Patience(suspect_after_ms, max(down_after_ms, suspect_after_ms + PING_EVERY_MS))


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of one node. `heard_ms`: its last answer, or when watching began.

    `flaps`: how often it fell silent soon after it had become up, at `up_ms` (None: before we watched).
    """

    verdict: Verdict
    heard_ms: int
    answers_in_row: int
    flaps: int = 0
    up_ms: int | None = None


def begin(published_state: str, now_ms: int) -> Watch:
    """Start to watch a node as a new leader: keep the published verdict, count silence from now.

    A dead node that the old leader had not yet called so is therefore found one `down_after` later at the latest.
    """
    verdict: Verdict = "up"
    if published_state == "down":
        verdict = "down"
    elif published_state == "suspect":
        verdict = "suspect"
    return Watch(verdict, now_ms, 0)


def answers_owed(watch: Watch, patience: Patience) -> int:
    """Answers in a row that make the node up: twice as many for each flap."""
    return min(UP_AFTER_PINGS_MAX, patience.up_after_pings << min(watch.flaps, UP_AFTER_PINGS_MAX.bit_length()))


def after_answer(watch: Watch, now_ms: int, patience: Patience) -> Watch:
    """The node answered a ping."""
    answers = watch.answers_in_row + 1
    if watch.verdict == "up" or answers < answers_owed(watch, patience):
        return replace(watch, heard_ms=now_ms, answers_in_row=answers)
    return Watch("up", now_ms, answers, watch.flaps, now_ms)


def after_silence(watch: Watch, now_ms: int, patience: Patience) -> Watch:
    """A ping was lost, refused or late."""
    silent_ms = now_ms - watch.heard_ms
    verdict, flaps = watch.verdict, watch.flaps
    if silent_ms >= patience.down_after_ms:
        verdict = "down"
    elif silent_ms >= patience.suspect_after_ms and verdict == "up":
        verdict = "suspect"
    if watch.verdict == "up" and verdict != "up":
        soon = watch.up_ms is not None and watch.heard_ms - watch.up_ms < CALM_MS
        flaps = flaps + 1 if soon else 0
    return replace(watch, verdict=verdict, answers_in_row=0, flaps=flaps)


def forgive(watch: Watch, gap_ms: int) -> Watch:
    """Do not count `gap_ms` in which we ourselves did not listen."""
    invariant(gap_ms >= 0, "a gap has a length")
    return replace(watch, heard_ms=watch.heard_ms + gap_ms)
