from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.checks import InvariantBroken
from fluffy.core.health.failure_detector import (
    CALM_MS,
    PING_EVERY_MS,
    UP_AFTER_PINGS_MAX,
    Patience,
    Watch,
    after_answer,
    after_silence,
    answers_owed,
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


def test_single_lost_pings_change_nothing() -> None:
    assert set(run(begin("up", 0), "..x..x.x..")) == {"up"}


def test_two_seconds_of_silence_make_suspect_and_ten_make_down() -> None:
    assert run(begin("up", 0), "x" * 11) == ["up"] + ["suspect"] * 8 + ["down"] * 2


def test_a_node_comes_back_after_two_answers_in_a_row() -> None:
    assert run(begin("down", 0), ".") == ["down"]
    assert run(begin("down", 0), "..") == ["down", "up"]
    assert run(begin("suspect", 0), ".x..") == ["suspect", "suspect", "suspect", "up"]


def test_a_flapping_node_stays_suspect_and_is_neither_up_nor_down() -> None:
    verdicts = run(begin("suspect", 0), ".x" * 20)
    assert set(verdicts) == {"suspect"}


def test_a_node_that_flaps_stays_out_longer_each_time_but_not_for_ever() -> None:
    watch, out_s, now_ms = begin("up", 0), [], 0
    for _ in range(9):
        seconds = 0
        for _ in range(2):
            now_ms += PING_EVERY_MS
            watch = after_silence(watch, now_ms, PATIENCE)
        while watch.verdict != "up":
            now_ms, seconds = now_ms + PING_EVERY_MS, seconds + 1
            watch = after_answer(watch, now_ms, PATIENCE)
        out_s.append(seconds)
    assert out_s == [2, 4, 8, 16, 20, 20, 20, 20, 20]


def test_a_node_that_was_calm_for_long_has_no_past() -> None:
    watch = Watch("up", 0, 9, flaps=5, up_ms=0)
    calm = after_answer(watch, CALM_MS, PATIENCE)
    silent = after_silence(calm, CALM_MS + 5_000, PATIENCE)
    assert (silent.verdict, answers_owed(silent, PATIENCE)) == ("suspect", PATIENCE.up_after_pings)


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
def test_verdicts_follow_from_the_last_answers(answers: str, published: str) -> None:
    """Whatever came before: enough answers mean up, ten silent seconds down; up never lasts two silent ones."""
    verdicts = run(begin(published, 0), answers + "." * UP_AFTER_PINGS_MAX)
    assert verdicts[-1] == "up"
    for end in range(1, len(answers) + 1):
        seen, verdict = answers[:end], verdicts[end - 1]
        if seen.endswith("x" * 10):
            assert verdict == "down"
        if seen.endswith("xx"):
            assert verdict != "up"
