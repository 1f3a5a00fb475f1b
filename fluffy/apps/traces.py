"""Whether a process makes spans, as OpenTelemetry's own variables of the environment ask.

`OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318` sends to a collector, `OTEL_TRACES_EXPORTER=console` writes spans
as JSON to the process's output, `OTEL_TRACES_SAMPLER` and its argument choose how many, `OTEL_SERVICE_NAME` names them
(default `fluffy`). Without one of the first two nothing is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fluffy.base.errors import StartRefused
from fluffy.drivers.tracing import exporting, install_tracer


def setup_tracing(node: str, process: str) -> Callable[[], None]:
    """Install the tracer that is asked for; call what this returns before the process ends. Raises StartRefused."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    kind = os.environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(os.environ.get, endpoints)) else "none")
    service = os.environ.get("OTEL_SERVICE_NAME") or "fluffy"
    match kind:
        case "none":
            return lambda: None
        case "otlp" | "console":
            return install_tracer(exporting(kind), service, node, process)
    raise StartRefused(f"OTEL_TRACES_EXPORTER is otlp, console or none, not {kind[:40]!r}")
