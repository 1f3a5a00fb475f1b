"""Counting and noting requests: cheap, bounded, and nothing disappears silently."""

from __future__ import annotations

import logging

import pytest

from fluffy.base.errors import Overloaded
from fluffy.gateways.native import access_log, metrics
from fluffy.gateways.native.access_log import AccessLog, Visit
from fluffy.gateways.native.limits import Slots
from fluffy.gateways.native.metrics import Metrics


def visit(status: int = 200, duration_ms: float = 1.0, path: str = "/v1/files/admin/f") -> Visit:
    return Visit("GET", path, status, duration_ms, 10, "alice", "127.0.0.1", "id")


def test_ordinary_visits_are_sampled_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fluffy.access")
    notes = AccessLog()
    for _ in range(access_log.LINES_PER_FLUSH_MAX + 7):
        if notes.wants_visit:
            notes.note(visit())
        else:
            notes.leave_out()
    notes.note(visit(status=503))
    notes.note(visit(duration_ms=5000))
    notes.flush()
    lines = [record for record in caplog.records if record.message == "request"]
    assert len(lines) == access_log.LINES_PER_FLUSH_MAX + 2
    assert [record.requests for record in caplog.records if record.message == "requests.not_written"] == [7]
    assert {record.status for record in lines} == {200, 503}
    notes.flush()
    assert len(caplog.records) == access_log.LINES_PER_FLUSH_MAX + 3, "what is written is forgotten"


def test_a_storm_of_failures_does_not_fill_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fluffy.access")
    notes = AccessLog()
    for _ in range(10_000):
        notes.note(visit(status=500))
    notes.flush()
    assert len(caplog.records) == access_log.FAILURES_PER_FLUSH_MAX + 1


def test_metrics_tell_counts_times_and_bytes() -> None:
    counters = Metrics("one", 3, lambda: {"log_seq": ("Where we are.", 42)})
    for seconds in (0.0001, 0.003, 100.0):
        counters.count("GET", "/v1/files/{path}", 200, seconds=seconds, sent_bytes=10, received_bytes=1)
    text = counters.text().decode()
    labels = 'method="GET",node="one",route="/v1/files/{path}",status="200",worker="3"'
    assert f"fluffy_http_request_seconds_count{{{labels}}} 3.0" in text
    assert f'fluffy_http_request_seconds_bucket{{le="0.001",{labels}}} 1.0' in text
    assert f'fluffy_http_request_seconds_bucket{{le="+Inf",{labels}}} 3.0' in text
    assert f"fluffy_http_sent_bytes_total{{{labels}}} 30.0" in text
    assert 'fluffy_log_seq{node="one",worker="3"} 42.0' in text


def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "TALLIES_MAX", 5)
    counters = Metrics("one", 0, dict)
    for number in range(50):
        counters.count("GET", f"/{number}", 200, seconds=0, sent_bytes=0, received_bytes=0)
    assert counters.text().decode().count("fluffy_http_request_seconds_count{") == 5


def test_slots_are_given_back_whatever_happens() -> None:
    slots = Slots(1, "requests at once")
    with pytest.raises(ValueError, match="x"), slots:
        raise ValueError("x")
    with slots, pytest.raises(Overloaded, match="1 requests at once"), slots:
        raise AssertionError("unreachable")
    assert (slots.taken, slots.refused) == (0, 1)
