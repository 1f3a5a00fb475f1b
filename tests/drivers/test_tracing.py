"""Requests keep their names through all processes; spans exist only where somebody asked for them."""

from __future__ import annotations

import importlib
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fluffy.apps.traces import setup_tracing
from fluffy.base import tracing
from fluffy.base.errors import NoLeader, StartRefused
from fluffy.base.ids import ChunkId
from fluffy.base.threads import in_thread
from fluffy.base.tracing import (
    NO_TRACE,
    Asking,
    Trace,
    current_trace,
    from_wire,
    new_request_text,
    request_text,
    set_trace,
    start_span,
    to_wire,
)
from fluffy.drivers.logs import JsonLines
from fluffy.drivers.raft import late_proposals
from fluffy.drivers.raft.late_proposals import LateProposals
from fluffy.drivers.tracing import install_tracer
from fluffy.wire.chunk_messages import GetChunk, decode_request, encode_request
from fluffy.wire.frames import FrameReader

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def no_trace_is_left() -> Iterator[None]:
    yield
    set_trace(NO_TRACE)
    tracing.install(None)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    install_tracer(SimpleSpanProcessor(exporter), "fluffy", "one", "gateway-0")
    return exporter


def test_spans_of_two_processes_are_one_trace(spans: InMemorySpanExporter) -> None:
    served = start_span("GET", Trace("id-1", PARENT), "server")
    set_trace(served.trace)
    with Asking("log propose") as asked:
        told = json.loads(json.dumps(to_wire(asked)))
    assert current_trace() == served.trace, "what was asked is over"
    there = start_span("propose", from_wire(told["q"], told["p"]), "server")
    there.end()
    served.end(name="GET /v1/files/{path}", facts={"http.response.status_code": 200})
    ask, propose, get = spans.get_finished_spans()
    assert [one.name for one in (ask, propose, get)] == ["log propose", "propose", "GET /v1/files/{path}"]
    assert {f"{one.context.trace_id:032x}" for one in (propose, ask, get)} == {PARENT[3:35]}
    assert f"{get.parent.span_id:016x}" == PARENT[36:52], "the client's span is above ours"
    assert (ask.parent.span_id, propose.parent.span_id) == (get.context.span_id, ask.context.span_id)
    assert {one.attributes["fluffy.request_id"] for one in (propose, ask, get)} == {"id-1"}
    assert get.resource.attributes["service.instance.id"] == "one/gateway-0"


def test_what_fails_says_so(spans: InMemorySpanExporter) -> None:
    with pytest.raises(NoLeader), Asking("log propose"):
        raise NoLeader()
    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "NoLeader" and not span.status.is_ok


def test_a_request_without_a_trace_begins_one_of_its_own(spans: InMemorySpanExporter) -> None:
    first, second = (start_span("GET", Trace("id"), "server") for _ in range(2))
    assert first.trace.trace_id != second.trace.trace_id


def test_without_a_tracer_the_names_are_passed_on_all_the_same() -> None:
    set_trace(Trace("id-1", PARENT))
    with Asking("log propose") as asked:
        assert from_wire(*map(to_wire(asked).get, "qp")) == Trace("id-1", PARENT)
    assert to_wire(NO_TRACE) == {}


@pytest.mark.parametrize("request_id, traceparent", [
    ("x" * 129, "00-" + "0" * 32 + "-b7ad6b7169203331-01"), ("a\nb", PARENT.upper()), (7, "01" + PARENT[2:]),
    (None, None), (b"x", PARENT + "\n")])
def test_nonsense_from_another_process_counts_as_absent(request_id: object, traceparent: object) -> None:
    assert from_wire(request_id, traceparent) == NO_TRACE


def test_the_frames_between_nodes_carry_it_and_older_programs_do_not_mind() -> None:
    request = GetChunk(7, ChunkId(b"c" * 32), 0, 10)
    (frame,) = FrameReader(1000).feed(encode_request(request, trace=Trace("id-1", PARENT)))
    assert (frame.header["q"], frame.header["p"]) == ("id-1", PARENT)
    assert decode_request(frame.header, 0) == request
    (plain,) = FrameReader(1000).feed(encode_request(request))
    assert "q" not in plain.header and "p" not in plain.header


def written() -> dict[str, object]:
    record = logging.getLogger("fluffy.x").makeRecord("fluffy.x", logging.INFO, "f", 1, "chunk.bad", (), None)
    fields: dict[str, object] = json.loads(JsonLines("gateway", "one").format(record))["fields"]
    return fields


async def test_a_line_that_is_written_for_a_request_names_it_in_threads_too() -> None:
    assert written() == {}
    set_trace(Trace("id-1"))
    with ThreadPoolExecutor(1) as threads:
        assert written() == await in_thread(threads, written) == {"request_id": "id-1"}


def test_late_and_failed_changes_are_told_with_their_request_but_not_thousands(
        caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fluffy.log")
    now_s = [0.0]
    late = LateProposals(lambda: now_s[0])
    late.note(Trace("quick"), None, 0.1)
    late.note(Trace("slow"), None, 2.0)
    for _ in range(1000):
        late.note(Trace("failed"), "NoLeader", 0.0)
    now_s[0] = 5.0
    late.note(Trace("again"), "NoLeader", 0.0)
    told = [record.request_id for record in caplog.records if record.message.startswith("proposal.")]
    assert told == ["slow", *["failed"] * (late_proposals.LINES_PER_SECOND_MAX - 1), "again"]
    assert [record.proposals for record in caplog.records if record.message == "proposals.not_written"] == [
        1001 - late_proposals.LINES_PER_SECOND_MAX]


def test_ids_of_ours_differ_and_the_client_s_own_stays_when_it_can_stand_in_a_header() -> None:
    made = {new_request_text() for _ in range(1_000)} | {request_text(None)}
    assert len(made) == 1_001 and all(re.fullmatch(r"[0-9a-f]{16}", text) for text in made)
    assert request_text("order-7") == "order-7" and request_text("x" * 128) == "x" * 128
    for bad in ("", "x" * 129, "a\r\nSet-Cookie: b", "ä", "a\x7fb"):
        assert request_text(bad) != bad and re.fullmatch(r"[0-9a-f]{16}", request_text(bad))


def test_nothing_is_imported_when_nobody_asks() -> None:
    program = ("import sys; from fluffy.apps.traces import setup_tracing; setup_tracing('one', 'log')();"
               "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))")
    env = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=env, check=False, timeout=60).returncode == 0


def test_traces_that_cannot_be_made_refuse_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(StartRefused, match="otlp, console or none"):
        setup_tracing("one", "log")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(StartRefused, match=r"pip install 'fluffy\[otel\]'"):
        setup_tracing("one", "log")
