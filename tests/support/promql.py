"""Which metrics and labels an expression of Prometheus names: enough of its grammar to look for mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fluffy.wire.metric_families import FAMILIES, Family

# What Prometheus itself adds to every sample.
GIVEN_LABELS = {"job", "instance"}
_SELECTOR = re.compile(r"\b(up|fluffy_[a-zA-Z0-9_]+)\b(?:\s*\{(?P<matchers>(?:[^\"}]|\"[^\"]*\")*)\})?")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*\"[^\"]*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    name: str
    labels: frozenset[str]


def selectors(expr: str) -> list[Selector]:
    return [Selector(match[1], frozenset(_MATCHER.findall(match["matchers"] or "")))
            for match in _SELECTOR.finditer(expr)]


def grouping_labels(expr: str) -> set[str]:
    return {label.strip() for labels in _GROUPING.findall(expr) for label in labels.split(",") if label.strip()}


def labels_of(name: str) -> set[str] | None:
    """The labels of a series; None: nobody tells it."""
    if name == "up":
        return set(GIVEN_LABELS)
    family = FAMILIES.get(name)
    if family is not None and family.kind != "histogram":
        return {*family.all_labels} | GIVEN_LABELS
    base, _, suffix = name.rpartition("_")
    family = FAMILIES.get(base)
    if family is None or family.kind != "histogram" or suffix not in ("bucket", "sum", "count"):
        return None
    return {*family.all_labels, *(("le",) if suffix == "bucket" else ())} | GIVEN_LABELS


def mistakes(expr: str) -> Iterator[str]:
    """A sentence for every metric and label that is not told."""
    everything: set[str] = set()
    for selector in selectors(expr):
        labels = labels_of(selector.name)
        if labels is None:
            yield f"nobody tells {selector.name}"
            continue
        everything |= labels
        for label in sorted(selector.labels - labels):
            yield f"{selector.name} has no label {label}"
    for label in sorted(grouping_labels(expr) - everything):
        yield f"nothing in the expression has the label {label}"


def families_in(exprs: Iterator[str]) -> set[Family]:
    """The families that some expression looks at."""
    found = set()
    for expr in exprs:
        for selector in selectors(expr):
            family = FAMILIES.get(selector.name) or FAMILIES.get(selector.name.rpartition("_")[0])
            if family is not None:
                found.add(family)
    return found
