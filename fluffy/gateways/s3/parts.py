"""The parts that an object was put together of, as its metadata keeps them: `640x8388608,1x12`."""

from __future__ import annotations

import re

from fluffy.base.units import KIB
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.own_meta import PART_SUMS, PARTS, checksum
from fluffy.wire.ranges import Span
from fluffy.wire.s3_errors import S3Error

PARTS_MAX = 10_000
# Of all that is said of an object; the log takes 8 KiB.
META_TEXT_MAX = 7 * KIB
_RUN = re.compile(r"([0-9]{1,5})x([0-9]{1,15})\Z", re.ASCII)


def packed_parts(sizes: list[int]) -> str:
    """Runs of equal sizes."""
    runs: list[list[int]] = []
    for size in sizes:
        if runs and runs[-1][1] == size:
            runs[-1][0] += 1
        else:
            runs.append([1, size])
    return ",".join(f"{count}x{size}" for count, size in runs)


def part_sizes(version: FileVersion) -> list[int]:
    """Of an object that was put in parts; empty: it was not, or there were too many different ones to keep."""
    sizes: list[int] = []
    for run in version.meta.get(PARTS, "").split(","):
        match = _RUN.match(run)
        if match is not None:
            sizes += [int(match[2])] * min(int(match[1]), PARTS_MAX)
    return sizes


def part_sums(version: FileVersion) -> list[tuple[str, str]]:
    """(algorithm, checksum in base64) of each part; empty: they are not kept."""
    found, packed = checksum(version.meta), version.meta.get(PART_SUMS, "")
    return [(found[0], text) for text in packed.split(",")] if found is not None and packed else []


def fitting(meta: dict[str, str]) -> dict[str, str]:
    """Metadata without the checksums of single parts where all of it would not fit."""
    size = sum(len(name) + len(text.encode()) for name, text in meta.items())
    return meta if size <= META_TEXT_MAX else {name: text for name, text in meta.items() if name != PART_SUMS}


def part_span(version: FileVersion, text: str) -> tuple[Span | None, int]:
    """The bytes of part number `text` (None: it has none), and how many parts there are (0: it is no such object).

    Raises S3Error.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= PARTS_MAX):
        raise S3Error("InvalidArgument", 400, f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
                      ArgumentName="partNumber", ArgumentValue=text[:100])
    number, sizes = int(text), part_sizes(version)
    if number > max(1, len(sizes)):
        raise S3Error("InvalidPartNumber", 416, "The requested partnumber is not satisfiable",
                      ActualPartCount=max(1, len(sizes)), PartNumberRequested=number)
    if not sizes:
        return (Span(0, version.size) if version.size else None), 0
    start = sum(sizes[:number - 1])
    return (Span(start, sizes[number - 1]) if sizes[number - 1] else None), len(sizes)
