"""Times and sizes as people write them after an option: `-2h`, `2026-07-01`, `2026-07-01T12:30`, `10MiB`.

A time may be relative to now (`-30m`, `-7d`, `now`), a day, or a moment; without a zone it is this machine's own. The
cluster gets moments in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from fluffy.base.units import SECOND_MS, parse_duration_ms, parse_size

_RELATIVE = re.compile(r"-\s*(\d+(?:\.\d+)?\s*[a-z]+)\Z")
_WEEKS = re.compile(r"(\d+(?:\.\d+)?)\s*w\Z")


def parse_when(text: str, now: datetime) -> datetime:
    """The moment in UTC. Raises ValueError with a sentence that says how times are written."""
    text = text.strip()
    if text == "now":
        return now.astimezone(UTC)
    try:
        if relative := _RELATIVE.match(text):
            weeks = _WEEKS.match(relative[1])
            duration_ms = parse_duration_ms(f"{float(weeks[1]) * 7}d" if weeks else relative[1])
            return (now - timedelta(milliseconds=duration_ms)).astimezone(UTC)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: write -2h, -30m, -7d, a day like 2026-07-01, or a moment like "
                         "2026-07-01T12:30") from error


def rfc3339(moment: datetime) -> str:
    """As the doors read it: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(text: str) -> str:
    """The type of an option: RFC 3339 text. Raises BadParameter."""
    try:
        return rfc3339(parse_when(text, datetime.now(UTC)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def until(text: str) -> str:
    """The same; a day alone means its last moment."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return when(text)
    return rfc3339(datetime.fromisoformat(when(text)) + timedelta(days=1, milliseconds=-1))


def size(text: str) -> int:
    """The type of an option: bytes. Raises BadParameter."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def duration_s(text: str) -> float:
    """The type of an option: seconds, of a duration with a unit (`30s`, `10m`, `7d`). Raises BadParameter."""
    try:
        return parse_duration_ms(text) / SECOND_MS
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
