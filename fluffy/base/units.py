"""Sizes and times as people write them (`8MiB`, `10m`) and as code wants them (bytes, milliseconds)."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_SIZE_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
               "KIB": KIB, "MIB": MIB, "GIB": GIB, "TIB": TIB, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_TIME_UNITS = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_NUMBER_UNIT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*\Z", re.ASCII)


def parse_size(text: str | int) -> int:
    """`"8MiB"` -> 8388608 bytes. Raises ValueError with a sentence that names the units."""
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("a size cannot be negative")
        return text
    match = _NUMBER_UNIT.match(str(text))
    if match is None or match[2].upper() not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size: write a number with B, KiB, MiB, GiB or TiB, like 8MiB")
    return round(float(match[1]) * _SIZE_UNITS[match[2].upper()])


def parse_duration_ms(text: str | int | float) -> int:
    """`"10s"` -> 10000 ms. A bare number is refused: its unit would be a guess."""
    match = _NUMBER_UNIT.match(str(text))
    if match is None or match[2] not in _TIME_UNITS:
        raise ValueError(f"{text!r} is not a time: write a number with ms, s, m, h or d, like 10s")
    return round(float(match[1]) * _TIME_UNITS[match[2]])


def format_size(size_bytes: float) -> str:
    """1536 -> `1.5 KiB`; whole bytes without a fraction."""
    if size_bytes < KIB:
        return f"{int(size_bytes)} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"
