from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.checks import InvariantBroken
from fluffy.core.health.failure_detector import (
    PING_EVERY_MS,
    Patience,
    Watch,
    after_answer,
    after_silence,
    begin,
    forgive,
    patience_for,
)

PATIENCE = Patience()


def run(watch: Watch, answers: str, start_ms: int = 0) -> list[str]:
    """One ping a second: '.' answered, 'x' lost. The verdict after each."""
    verdicts = []
    for count, answer in enumerate(answers, start=1):
        now_ms = start_ms + count * PING_EVERY_MS
        watch = (after_answer if answer == "." else after_silence)(watch, now_ms, PATIENCE)
        verdicts.append(watch.verdict)
    return verdicts


def test_a_lost_ping_or_two_change_nothing() -> None:
    assert set(run(begin("up", 0), "..x..xx..")) == {"up"}


def test_three_seconds_of_silence_make_suspect_and_ten_make_down() -> None:
    assert run(begin("up", 0), "x" * 11) == ["up"] * 2 + ["suspect"] * 7 + ["down"] * 2


def test_a_node_comes_back_after_two_answers_in_a_row() -> None:
    assert run(begin("down", 0), ".") == ["down"]
    assert run(begin("down", 0), "..") == ["down", "up"]
    assert run(begin("suspect", 0), ".x..") == ["suspect", "suspect", "suspect", "up"]


def test_a_flapping_node_stays_suspect_and_is_neither_up_nor_down() -> None:
    verdicts = run(begin("suspect", 0), ".x" * 20)
    assert set(verdicts) == {"suspect"}


def test_our_own_pause_condemns_nobody() -> None:
    watch = begin("up", 0)
    paused = forgive(watch, 60_000)
    assert after_silence(paused, 61_000, PATIENCE).verdict == "up"
    assert after_silence(watch, 61_000, PATIENCE).verdict == "down"


def test_a_new_leader_keeps_the_published_verdict_and_gives_a_full_patience() -> None:
    assert [begin(state, 5).verdict for state in ("up", "suspect", "down", "draining", "joining")] == [
        "up", "suspect", "down", "up", "up"]
    assert after_silence(begin("up", 1_000_000), 1_001_000, PATIENCE).verdict == "up"


@pytest.mark.parametrize("down_after_ms", [1_000, 2_000, 3_000, 10_000, 3_600_000])
def test_every_allowed_down_after_gives_a_sound_patience(down_after_ms: int) -> None:
    patience = patience_for(down_after_ms)
    assert 2 * PING_EVERY_MS <= patience.suspect_after_ms < patience.down_after_ms
    assert patience.down_after_ms >= down_after_ms


def test_an_impatient_detector_is_refused() -> None:
    with pytest.raises(InvariantBroken):
        Patience(suspect_after_ms=3_000, down_after_ms=3_000)


@given(st.text(alphabet=".x", max_size=60), st.sampled_from(["up", "suspect", "down"]))
def test_verdicts_follow_from_the_last_answers_alone(answers: str, published: str) -> None:
    """Whatever came before: two answers in a row mean up, ten silent seconds down; up never lasts three silent ones."""
    verdicts = run(begin(published, 0), answers)
    for end in range(1, len(answers) + 1):
        seen, verdict = answers[:end], verdicts[end - 1]
        if seen.endswith(".."):
            assert verdict == "up"
        if seen.endswith("x" * 10):
            assert verdict == "down"
        if seen.endswith("xxx"):
            assert verdict != "up"
