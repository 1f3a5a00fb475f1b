"""Counting and noting requests: cheap, bounded, and nothing disappears silently."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fluffy.base.errors import Overloaded
from fluffy.gateways.native import access_log, metrics
from fluffy.gateways.native.access_log import AccessLog, Visit
from fluffy.gateways.native.limits import Slots
from fluffy.gateways.native.metrics import Metrics
from fluffy.wire.metric_samples import Samples


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


def lines_of(text: bytes) -> list[str]:
    return text.decode().splitlines()


async def test_metrics_tell_counts_times_and_bytes() -> None:
    counters = Metrics("one", "gateway-3", [lambda samples: samples.add("fluffy_barriers_total", 42)])
    for seconds in (0.0001, 0.003, 100.0):
        counters.count("GET", "/v1/files/{path}", 200, seconds=seconds, sent_bytes=10, received_bytes=1)
    lines = lines_of(await counters.text())
    labels = 'method="GET",node="one",process="gateway-3",route="/v1/files/{path}",status="200"'
    assert f"fluffy_http_request_duration_seconds_count{{{labels}}} 3.0" in lines
    assert f'fluffy_http_request_duration_seconds_bucket{{le="0.001",{labels}}} 1.0' in lines
    assert f'fluffy_http_request_duration_seconds_bucket{{le="+Inf",{labels}}} 3.0' in lines
    assert f"fluffy_http_sent_bytes_total{{{labels}}} 30.0" in lines
    assert 'fluffy_barriers_total{node="one",process="gateway-3"} 42.0' in lines


async def test_a_page_has_what_all_processes_of_the_node_count() -> None:
    keeper, node = Samples(), Samples()
    keeper.add("fluffy_jobs_held", 7)
    keeper.add("fluffy_process_up", 1)
    node.add("fluffy_disk_free_bytes", 5)

    async def gather() -> list[tuple[str, Samples]]:
        return [("keeper", keeper), ("", node)]

    lines = lines_of(await Metrics("one", "gateway-0", gather=gather).text())
    assert 'fluffy_process_up{node="one",process="gateway-0"} 1.0' in lines
    assert 'fluffy_process_up{node="one",process="keeper"} 1.0' in lines
    assert 'fluffy_jobs_held{node="one",process="keeper"} 7.0' in lines
    assert 'fluffy_disk_free_bytes{node="one"} 5.0' in lines, "what the node tells once names no process"
    assert sum(line.startswith("# HELP fluffy_process_up ") for line in lines) == 1, "one family, however many tell it"


async def test_who_asks_at_any_rate_gets_the_same_page() -> None:
    gathered = 0

    async def gather() -> list[tuple[str, Samples]]:
        nonlocal gathered
        gathered += 1
        return []

    metrics = Metrics("one", "gateway-0", gather=gather)
    pages = await asyncio.gather(*(metrics.text() for _ in range(50)))
    assert len(set(pages)) == 1 and gathered == 1


async def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "TALLIES_MAX", 5)
    counters = Metrics("one", "gateway-0")
    for number in range(50):
        counters.count("GET", f"/{number}", 200, seconds=0, sent_bytes=0, received_bytes=0)
    assert (await counters.text()).count(b"fluffy_http_request_duration_seconds_count{") == 5


def test_slots_are_given_back_whatever_happens() -> None:
    slots = Slots(1, "requests at once")
    with pytest.raises(ValueError, match="x"), slots:
        raise ValueError("x")
    with slots, pytest.raises(Overloaded, match="1 requests at once"), slots:
        raise AssertionError("unreachable")
    assert (slots.taken, slots.refused) == (0, 1)
