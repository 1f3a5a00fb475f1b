"""The words of the terminal scripts: what is typed, what is answered, and what no two runs share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Prepare = Callable[[Path], None]
"""Something done on this machine, in the folder where the session was started."""


@dataclass(frozen=True, slots=True)
class Step:
    """A typed line. `before` it, and `during` it, something is done or waited for on this machine.

    `answers`: (text to wait for, what is typed then); a key by its name (`Tab`, `C-c`) is pressed. A line whose answers
    begin with a key is not ended by Enter before them. `columns`: the terminal is so wide from now on.
    """

    line: str
    answers: tuple[tuple[str, str], ...] = ()
    before: Prepare | None = None
    during: Prepare | None = None
    columns: int | None = None


def steps(*lines: str | Step) -> tuple[Step, ...]:
    return tuple(Step(line) if isinstance(line, str) else line for line in lines)


def local(files: Mapping[str, bytes]) -> Prepare:
    """Local files."""
    def write(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return write


SAME_IN_ALL_RUNS: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "0000-00-00T00:00:00Z"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?\b"), "0000-00-00 00:00"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b127\.\d+\.\d+\.\d+:\d+"), "HOST:PORT"),
    (re.compile(r"/\S*/home/\.local/state/"), "~/.local/state/"),
    (re.compile(r"/edits/\w+/"), "/edits/TMP/"),
    (re.compile(r" in \d+\.\d s, [\d.]+ [KMGT]?i?B/s"), " in N s, N MiB/s"),
    (re.compile(r"\bversion \d[\w.+-]*"), "version N"),
]


def normalised(line: str, more: Sequence[tuple[re.Pattern[str], str]] = ()) -> str:
    """The line without what differs from run to run."""
    for pattern, instead in (*more, *SAME_IN_ALL_RUNS):
        line = pattern.sub(instead, line)
    return line.rstrip()
