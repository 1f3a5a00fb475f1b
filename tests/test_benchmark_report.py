"""The benchmark's judgement: goals and regressions. The measuring itself is `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.report import Figure, compare, table, write_baseline


def speed(*pairs: tuple[float, float], goal: float | None = None) -> Figure:
    return Figure("speed", "/s", True, goal, ours=[ours for ours, _ in pairs], bare=[bare for _, bare in pairs])


def cost(*pairs: tuple[float, float]) -> Figure:
    return Figure("cost", "s", False, 2.0, ours=[ours for ours, _ in pairs], bare=[bare for _, bare in pairs])


def baseline(folder: Path, **ratios: float) -> Path:
    path = folder / "baseline.json"
    path.write_text(json.dumps({"ratios": ratios}))
    return path


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    assert speed((50, 100), (5, 20), (80, 100)).ratio == 0.5


def test_goals_are_judged_in_their_direction() -> None:
    assert speed((60, 100), goal=0.6).verdict == "met"
    assert speed((59, 100), goal=0.6).verdict == "MISSED"
    assert cost((19, 10)).verdict == "met"
    assert cost((21, 10)).verdict == "MISSED"
    assert Figure("rate", "/s", True, 4000, ours=[4001.0], bare=[1e6], goal_is_absolute=True).verdict == "met"


def test_a_regression_beyond_the_tolerance_fails_the_comparison(tmp_path: Path) -> None:
    said: list[str] = []
    path = baseline(tmp_path, speed=0.5, cost=2.0)
    assert compare([speed((40, 100)), cost((25, 10))], path, 0.3, said.append)
    assert not compare([speed((30, 100))], path, 0.3, said.append)
    assert not compare([cost((30, 10))], path, 0.3, said.append)
    assert sum(line.startswith("REGRESSION") for line in said) == 2


def test_what_became_better_and_what_is_new_never_fails(tmp_path: Path) -> None:
    path = baseline(tmp_path, speed=0.5)
    assert compare([speed((90, 100)), cost((90, 10))], path, 0.1, lambda _: None)


def test_a_new_baseline_keeps_the_figures_that_were_not_measured(tmp_path: Path) -> None:
    path = baseline(tmp_path, other=0.7, speed=0.1)
    write_baseline([speed((50, 100))], path)
    assert json.loads(path.read_text())["ratios"] == {"other": 0.7, "speed": 0.5}


def test_the_kept_baseline_is_readable() -> None:
    ratios = json.loads((Path(__file__).parents[1] / "benchmarks/baseline.json").read_text())["ratios"]
    assert {"commit x256", "PUT large", "GET large, warm"} <= set(ratios)


@pytest.mark.parametrize("figure", [speed((50, 100), goal=0.6), Figure("alone", "ms", False, 5.0, ours=[1.0])])
def test_the_table_shows_every_figure(figure: Figure) -> None:
    assert figure.name in table([figure])
