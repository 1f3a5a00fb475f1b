"""The commands that fill an empty cluster from a backup. Part of `commands`; its docstring holds for these too.

    BeginRebuild -> RebuildRows * n -> EndRebuild

Rows are those of the tables, as they were: so everything comes back as it was, numbers included, and what later
formats add to the tables comes back too. While it lasts, every change but these and the leader's own is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class BeginRebuild:
    """Empty the tables of a cluster that holds nothing yet, and keep everybody else out.

    The same `source` again goes on with the rebuild that has begun: facts tell its id and next step.
    """

    KIND: ClassVar[int] = 95
    header: Header
    rebuild_id: bytes
    source: str


@dataclass(frozen=True, slots=True)
class RebuildRows:
    """Step `step` of a rebuild: add rows to a table. `rows`: msgpack array of arrays, the table's columns in order."""

    KIND: ClassVar[int] = 96
    header: Header
    rebuild_id: bytes
    step: int
    table: str
    rows: bytes


@dataclass(frozen=True, slots=True)
class EndRebuild:
    """All rows are there: `step` is the number of steps. The counters are those of the backup's `state`."""

    KIND: ClassVar[int] = 97
    header: Header
    rebuild_id: bytes
    step: int
    seq: int
    last_no: int
    clock_ms: int
    files: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class AbandonRebuild:
    """Give a rebuild up: the cluster is empty again."""

    KIND: ClassVar[int] = 98
    header: Header
    rebuild_id: bytes


RebuildCommand = BeginRebuild | RebuildRows | EndRebuild | AbandonRebuild
REBUILD_COMMANDS = (BeginRebuild, RebuildRows, EndRebuild, AbandonRebuild)
