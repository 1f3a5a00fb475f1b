"""Is a node alive? The leader's keeper pings every member's data port each second and judges by silence.

Three verdicts: *up*; *suspect* after a short silence (readers and writers avoid it, nothing is moved); *down* after
a long one. A node that answers again is *up* only after several answers in a row, so one that flaps stays suspect
instead of pulling traffic back and forth. All times are milliseconds of one process's monotonic clock: a jump of the
wall clock kills nobody.

Silence counts only while we listened: after a pause of our own (a stopped process, a suspended machine) the caller
passes the gap to `forgive`, else the first lost ping after the pause would condemn the whole cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fluffy.base.checks import invariant

PING_EVERY_MS = 1_000
Verdict = Literal["up", "suspect", "down"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silence means what. `up_after_pings`: answers in a row that make a silent node *up* again."""

    # Two lost pings happen on a busy machine; three in a row mean something.
    suspect_after_ms: int = 3 * PING_EVERY_MS
    down_after_ms: int = 10_000
    up_after_pings: int = 2

    def __post_init__(self) -> None:
        invariant(self.suspect_after_ms >= 2 * PING_EVERY_MS, "one lost ping makes nobody suspect")
        invariant(self.down_after_ms > self.suspect_after_ms, "a node is suspect before it is down")


def patience_for(down_after_ms: int) -> Patience:
    """The patience of an operator's `repair.down_after`; a short one (tests) shortens the suspicion with it."""
    suspect_after_ms = min(3 * PING_EVERY_MS, max(2 * PING_EVERY_MS, down_after_ms // 2))
    return Patience(suspect_after_ms, max(down_after_ms, suspect_after_ms + PING_EVERY_MS))


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of one node. `heard_ms`: its last answer, or when watching began."""

    verdict: Verdict
    heard_ms: int
    answers_in_row: int


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


def after_answer(watch: Watch, now_ms: int, patience: Patience) -> Watch:
    """The node answered a ping."""
    answers = watch.answers_in_row + 1
    verdict = "up" if answers >= patience.up_after_pings else watch.verdict
    return Watch(verdict, now_ms, answers)


def after_silence(watch: Watch, now_ms: int, patience: Patience) -> Watch:
    """A ping was lost, refused or late."""
    silent_ms = now_ms - watch.heard_ms
    verdict = watch.verdict
    if silent_ms >= patience.down_after_ms:
        verdict = "down"
    elif silent_ms >= patience.suspect_after_ms and verdict == "up":
        verdict = "suspect"
    return Watch(verdict, watch.heard_ms, 0)


def forgive(watch: Watch, gap_ms: int) -> Watch:
    """Do not count `gap_ms` in which we ourselves did not listen."""
    invariant(gap_ms >= 0, "a gap has a length")
    return replace(watch, heard_ms=watch.heard_ms + gap_ms)
