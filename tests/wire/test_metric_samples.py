"""The names of metrics, and their values on the way between the processes of a node."""

from __future__ import annotations

import contextlib
import re

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import FrameCorrupt
from fluffy.base.histogram import NUMBERS, Histogram
from fluffy.wire.metric_families import FAMILIES
from fluffy.wire.metric_samples import Samples, unpack_samples


def test_values_come_through_as_they_were() -> None:
    samples = Samples()
    samples.add("fluffy_peer_errors_total", 3, "two", "PeerUnreachable")
    sizes = Histogram(NUMBERS)
    for value in (1, 2, 3, 1000):
        sizes.observe(value)
    samples.add("fluffy_log_group_commands", sizes)
    again = unpack_samples(samples.pack()).by_family
    assert again["fluffy_peer_errors_total"] == {("two", "PeerUnreachable"): 3.0}
    (histogram,) = again["fluffy_log_group_commands"].values()
    assert isinstance(histogram, Histogram)
    assert (histogram.counts, histogram.total) == ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1], 1006.0)


def test_what_is_in_no_table_cannot_be_told() -> None:
    samples = Samples()
    with pytest.raises(KeyError):
        samples.add("fluffy_surprise", 1)
    with pytest.raises(InvariantBroken, match="labels"):
        samples.add("fluffy_peer_errors_total", 1, "two")
    with pytest.raises(InvariantBroken, match="histogram"):
        samples.add("fluffy_log_group_commands", 1)


def test_a_newer_program_s_metrics_are_left_out() -> None:
    data = msgpack.packb({"fluffy_of_next_year": [((), 1)], "fluffy_jobs_held": [((), 2)]})
    assert unpack_samples(data).by_family == {"fluffy_jobs_held": {(): 2.0}}


# Pieces, put together by a few numbers: what Hypothesis has to draw is small, so a busy machine is no failure.
PLAIN: tuple[object, ...] = (0, -9, 2**63, 0.5, "", "two", None, True, b"two", [], [1], ["two", "x"], {})
NAMES = ("fluffy_jobs_held", "fluffy_log_group_commands", "fluffy_peer_errors_total", "fluffy_of_next_year", 3)


def damaged(picks: bytes) -> bytes:
    """A document of the right shape, or nearly, with wrong things in it."""
    name, rows, labels, *values = (picks + bytes(6))[:7]
    pieces = [PLAIN[pick % len(PLAIN)] for pick in values]
    row = (pieces[:labels % 3], pieces[labels % 4])
    document = {NAMES[name % len(NAMES)]: [row] * (rows % 3) if rows % 4 else pieces[0]}
    packed: bytes = msgpack.packb(document if rows % 16 else pieces)
    return packed[:len(packed) - rows % 32 // 31]


@settings(max_examples=100)
@given(st.binary(max_size=40) | st.binary(min_size=1, max_size=7).map(damaged))
def test_garbage_is_refused(data: bytes) -> None:
    with contextlib.suppress(FrameCorrupt):
        unpack_samples(data)


def test_the_names_are_as_prometheus_wants_them() -> None:
    """What `promtool check metrics` looks at, so far as a pattern can; the real one: tests/deploy."""
    for family in FAMILIES.values():
        assert re.fullmatch(r"fluffy(_[a-z0-9]+)+", family.name)
        assert family.name.endswith("_total") is (family.kind == "counter"), family.name
        assert not re.search(r"_(ms|s|milliseconds|kib|mb|kb|count|sum|bucket|gauge|counter|histogram)(_|$)",
                             family.name), family.name
        assert (family.help.endswith(".") and family.help[0].isupper()) or family.help[0].isdigit(), family.help
        assert family.kind != "histogram" or list(family.buckets) == sorted(family.buckets)
        assert not {"le", "quantile", "job", "instance"} & set(family.all_labels)
