"""The values of metrics at one moment, and how the processes of one node hand them to the one that is asked for them.

What can be told at all is written in `metric_families.py`; a value under any other name, or with other labels, is a bug
of whoever tells it. Between processes a sample is msgpack: `{name: [[labels, value], …]}`, where the value of a
histogram is `[counts, sum]`.
"""

from __future__ import annotations

from typing import Any

import msgpack

from fluffy.base.checks import invariant
from fluffy.base.errors import FrameCorrupt
from fluffy.base.histogram import Histogram
from fluffy.base.units import MIB
from fluffy.wire.metric_families import FAMILIES, Family

# 2,000 routes with their statuses, each a histogram, are 250 KiB.
SAMPLES_BYTES_MAX = 4 * MIB

Value = float | Histogram


class Samples:
    """Values by family and labels. Not for several threads at once."""

    __slots__ = ("by_family",)

    def __init__(self) -> None:
        self.by_family: dict[str, dict[tuple[str, ...], Value]] = {}

    def add(self, name: str, value: Value, *labels: str) -> None:
        """`labels` in the order of the family's; later values replace earlier ones."""
        family = FAMILIES[name]
        invariant(len(labels) == len(family.labels), f"{name} has the labels {family.labels}")
        invariant((family.kind == "histogram") is isinstance(value, Histogram), f"{name} is a {family.kind}")
        self.by_family.setdefault(name, {})[labels] = value

    def pack(self) -> bytes:
        rows = {name: [(labels, _plain(value)) for labels, value in samples.items()]
                for name, samples in self.by_family.items()}
        packed: bytes = msgpack.packb(rows)
        return packed


def unpack_samples(data: bytes) -> Samples:
    """What `pack` made. Raises FrameCorrupt. Families that this program does not know are left out."""
    if not 0 < len(data) <= SAMPLES_BYTES_MAX:
        raise FrameCorrupt("metrics of an impossible length")
    try:
        rows = msgpack.unpackb(data, use_list=False, strict_map_key=True)
        samples = Samples()
        for name, values in rows.items():
            family = FAMILIES.get(name)
            if family is not None:
                samples.by_family[name] = {_labels(family, labels): _value(family, value) for labels, value in values}
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException, RecursionError) as error:
        raise FrameCorrupt("metrics are damaged") from error
    return samples


def _plain(value: Value) -> Any:
    return (value.counts, value.total) if isinstance(value, Histogram) else value


def _labels(family: Family, values: Any) -> tuple[str, ...]:
    labels = tuple(map(str, values))
    if len(labels) != len(family.labels):
        raise ValueError("other labels")
    return labels


def _value(family: Family, value: Any) -> Value:
    if family.kind != "histogram":
        return float(value)
    counts, total = value
    histogram = Histogram(family.buckets)
    if len(counts) != len(histogram.counts):
        raise ValueError("a histogram of other bounds")
    histogram.counts, histogram.total = [int(count) for count in counts], float(total)
    return histogram
