"""Figures, their table, their JSON, and the comparison with a baseline.

Absolute numbers belong to a machine; ratios to a reference measured in the same minutes travel better. So a regression
is judged by the ratio where there is one.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Figure:
    """`ours` and `bare` are the rounds' values in `unit`. `goal` bounds the ratio, or `ours` where there is none."""

    name: str
    unit: str
    more_is_better: bool
    goal: float | None = None
    reference: str = ""
    note: str = ""
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    # Goals of a figure with a reference may still be absolute (commit rate, latency).
    goal_is_absolute: bool = False

    @property
    def our_median(self) -> float:
        return statistics.median(self.ours)

    @property
    def bare_median(self) -> float | None:
        return statistics.median(self.bare) if self.bare else None

    @property
    def ratio(self) -> float | None:
        """Ours to the reference's; the median of the rounds' own ratios, because each round ran both in turn."""
        if not self.bare:
            return None
        return statistics.median(ours / bare for ours, bare in zip(self.ours, self.bare, strict=True))

    @property
    def judged(self) -> float:
        ratio = self.ratio
        return self.our_median if self.goal_is_absolute or ratio is None else ratio

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        met = self.judged >= self.goal if self.more_is_better else self.judged <= self.goal
        return "met" if met else "MISSED"

    def as_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "ours": [round(value, 6) for value in self.ours],
                "bare": [round(value, 6) for value in self.bare], "median": round(self.our_median, 6),
                "bare_median": None if self.bare_median is None else round(self.bare_median, 6),
                "ratio": None if self.ratio is None else round(self.ratio, 4), "goal": self.goal,
                "verdict": self.verdict, "reference": self.reference, "note": self.note}


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def table(figures: Sequence[Figure]) -> str:
    """A plain text table; goals are ratios unless marked with the unit."""
    head = ("figure", "ours", "reference", "unit", "ratio", "goal", "")
    rows = [head]
    for figure in figures:
        sign = ">=" if figure.more_is_better else "<="
        unit = f" {figure.unit}" if figure.goal_is_absolute or not figure.bare else ""
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g}{unit}"
        rows.append((figure.name, _number(figure.our_median), _number(figure.bare_median), figure.unit,
                     _number(figure.ratio), goal, figure.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"  {figure.name}: {text}" for figure in figures
             if (text := "; ".join(filter(None, (figure.reference and f"reference: {figure.reference}", figure.note))))]
    return "\n".join([*lines, "", *notes])


def compare(figures: Sequence[Figure], baseline: Path, tolerance: float, say: Callable[[str], None]) -> bool:
    """True when no figure with a ratio became worse than the baseline by more than `tolerance`."""
    wanted: dict[str, float] = json.loads(baseline.read_text())["ratios"]
    fine = True
    for figure in figures:
        if figure.ratio is None or figure.name not in wanted:
            continue
        before = wanted[figure.name]
        change = figure.ratio / before - 1 if figure.more_is_better else before / figure.ratio - 1
        if change < -tolerance:
            fine = False
            say(f"REGRESSION {figure.name}: ratio {figure.ratio:.3f}, baseline {before:.3f} ({change:+.0%})")
        else:
            say(f"fine       {figure.name}: ratio {figure.ratio:.3f}, baseline {before:.3f} ({change:+.0%})")
    return fine


def write_baseline(figures: Sequence[Figure], baseline: Path) -> None:
    """Take over the ratios of these figures; those of others stay."""
    ratios: dict[str, float] = json.loads(baseline.read_text())["ratios"] if baseline.exists() else {}
    ratios.update({figure.name: round(figure.ratio, 4) for figure in figures if figure.ratio is not None})
    baseline.write_text(json.dumps({"ratios": ratios}, indent=2) + "\n")
