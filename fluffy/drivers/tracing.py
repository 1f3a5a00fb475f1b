"""Spans by OpenTelemetry, an optional package (`pip install 'fluffy[otel]'`), imported when somebody wants spans."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from fluffy.base import tracing
from fluffy.base.errors import StartRefused
from fluffy.base.tracing import NO_FACTS, Side, Span, Trace


def exporting(kind: Literal["otlp", "console"]) -> Any:
    """What sends spans, for `install_tracer`. Raises StartRefused when the package is not installed."""
    try:
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        if kind == "console":
            exporter = export.ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\n")
        else:
            exporter = importlib.import_module(
                "opentelemetry.exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter()
    except ModuleNotFoundError as error:
        raise StartRefused("the environment asks for traces, and that takes OpenTelemetry; install it with: "
                           "pip install 'fluffy[otel]' (or unset OTEL_TRACES_EXPORTER and "
                           "OTEL_EXPORTER_OTLP_ENDPOINT)") from error
    return export.BatchSpanProcessor(exporter)


def install_tracer(processor: Any, service: str, node: str, process: str) -> Callable[[], None]:
    """Make all spans of this process go to `processor`, one of OpenTelemetry's; returns what ends it."""
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    names = {"service.name": service, "service.instance.id": f"{node}/{process}"}
    provider = sdk.TracerProvider(resource=resources.Resource.create(names), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("fluffy")
    api = importlib.import_module("opentelemetry.trace")

    def start(name: str, trace: Trace, side: Side) -> Span:
        return _OtelSpan(api, tracer, name, trace, side)

    tracing.install(start)

    def end() -> None:
        tracing.install(None)
        provider.shutdown()

    return end


class _OtelSpan:
    def __init__(self, api: Any, tracer: Any, name: str, trace: Trace, side: Side) -> None:
        self._api = api
        parent = _context_of(api, trace.traceparent) if trace.traceparent else None
        kind = api.SpanKind.SERVER if side == "server" else api.SpanKind.CLIENT
        facts = {"fluffy.request_id": trace.request_id} if trace.request_id else {}
        # An empty context, so that a span without a parent never finds one in the surroundings.
        self._span = tracer.start_span(name, context=parent or _empty(), kind=kind, attributes=facts)
        self.trace = Trace(trace.request_id, _traceparent_of(self._span.get_span_context()))

    def end(self, error: str = "", *, name: str = "", facts: Mapping[str, str | int] = NO_FACTS) -> None:
        if name:
            self._span.update_name(name)
        self._span.set_attributes(dict(facts))
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(self._api.StatusCode.ERROR)
        self._span.end()


def _context_of(api: Any, traceparent: str) -> Any:
    _, trace_id, span_id, flags = traceparent.split("-")
    return api.set_span_in_context(api.NonRecordingSpan(api.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=api.TraceFlags(int(flags, 16)))), _empty())


def _empty() -> Any:
    return importlib.import_module("opentelemetry.context").Context()


def _traceparent_of(context: Any) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
