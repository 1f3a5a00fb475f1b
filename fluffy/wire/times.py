"""Times as people write them: `2026-07-01`, `2026-07-01T12:30`, with or without seconds and zone (UTC); `-2h`."""

from __future__ import annotations

from datetime import UTC, datetime

from fluffy.base.errors import QuerySyntax
from fluffy.base.units import DAY_MS, parse_duration_ms

TIME_CHARS_MAX = 40
_DATE_CHARS = 10


def parse_time_ms(text: str, *, is_end: bool = False) -> int:
    """Milliseconds since 1970. A day alone means its first millisecond, with `is_end` its last. Raises QuerySyntax."""
    try:
        if len(text) > TIME_CHARS_MAX:
            raise ValueError("too long")
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # In whole milliseconds, so that a time that was printed finds what it was printed for.
        at_ms = int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
    except (ValueError, OverflowError) as error:
        raise QuerySyntax(f"{text[:TIME_CHARS_MAX]!r} is not a time: write 2026-07-01 or 2026-07-01T12:30:00Z"
                          ) from error
    return at_ms + DAY_MS - 1 if is_end and len(text) == _DATE_CHARS else at_ms


def parse_moment_ms(text: str, now_ms: int, *, is_end: bool = False) -> int:
    """A moment of the past: a time as above, or so long ago, like `-2h`, `-30m`, `-7d`. Raises QuerySyntax."""
    if not text.startswith("-"):
        return parse_time_ms(text, is_end=is_end)
    try:
        return max(0, now_ms - parse_duration_ms(text[1:TIME_CHARS_MAX]))
    except ValueError as error:
        raise QuerySyntax(f"{text[:TIME_CHARS_MAX]!r} is not a time: write 2026-07-01, 2026-07-01T12:30:00Z, or -2h for"
                          " two hours ago") from error
