"""Logs for people and programs: one event, one line of JSON on stderr.

    {"ts": "2025-01-31T12:00:00.123Z", "level": "warning", "process": "gateway", "node": "one", "event": "replica.lost",
     "fields": {"node_id": 3, "replicas_left": 2}}

A line that is written for a request has its `request_id` by itself, in whatever process it is worked on.

The event is a constant text; facts are fields (`log.warning("replica.lost", extra={"node_id": 3})`). Values that are
credentials by their name are never written, bytes only as the first few in hex, and a line has a bound.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from datetime import UTC, datetime

from fluffy.base.tracing import current_trace

# Long enough for a traceback; a line beyond it would be somebody's body.
LINE_CHARS_MAX = 16_384
_BYTES_SHOWN = 8
_NESTING_MAX = 4
_SECRET_WORDS = ("secret", "token", "password", "authorization", "cookie", "credential")
# JSON leaves these as they are, but many programs take them for the end of a line.
_LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
# What every LogRecord has; everything else came by `extra=`.
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line. `process` is the kind of process (`log`, `gateway-0`), `node` the node's name."""

    def __init__(self, process: str, node: str) -> None:
        super().__init__()
        self._process = process
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: _safe(key, value) for key, value in vars(record).items() if key not in _RECORD_ATTRIBUTES}
        trace = current_trace()
        if trace.request_id:
            fields.setdefault("request_id", trace.request_id)
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-LINE_CHARS_MAX // 2:]
        if not record.name.startswith("fluffy"):
            fields["logger"] = record.name
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "node": self._node,
            "event": record.getMessage()[:LINE_CHARS_MAX // 4],
        }
        text = _dumps(line | {"fields": fields})
        if len(text) <= LINE_CHARS_MAX:
            return text
        # Too long: keep what the line is about, and the beginnings of its facts.
        return _dumps(line | {"fields": {key: _dumps(value)[:200] for key, value in list(fields.items())[:20]},
                              "cut": True})


def setup_logging(process: str, node: str, level: int = logging.INFO) -> None:
    """Make all logging of this process JSON lines on stderr. Call once, first thing in `main`.

    Ours are written from `level` up, other libraries' from warning up. A broken stderr never stops the process.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process, node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fluffy").setLevel(level)
    logging.captureWarnings(True)
    # A full disk under the log file must not end a process that stores other people's files.
    logging.raiseExceptions = False


def _safe(name: str, value: object, depth: int = 0) -> object:
    """A JSON value that shows no credential, whatever was passed."""
    if any(word in name.lower() for word in _SECRET_WORDS) and not isinstance(value, bool | int | None):
        return "(hidden)"
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value[:_BYTES_SHOWN]).hex() + ("…" if len(value) > _BYTES_SHOWN else "")
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case dict() if depth < _NESTING_MAX:
            return {str(key): _safe(str(key), item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _NESTING_MAX:
            return [_safe(name, item, depth + 1) for item in value]
        case _:
            return str(value)


def _dumps(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_LINE_BREAKS)
    # A lone surrogate (a file name that is not UTF-8) becomes \udcXX, which is JSON too.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
