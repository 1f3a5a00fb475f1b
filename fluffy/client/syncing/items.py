"""What the comparison of two trees speaks about: files here and there, steps, and what became of them.

Paths are relative to the two roots, with `/`; "" is the root itself, when the root is a file. *Here* is this machine,
*there* the cluster. Times and modes of a file are kept in its metadata, as `mtime` (seconds since 1970, a decimal
fraction for nanoseconds) and `mode` (octal digits of the permissions).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluffy.base.errors import FluffyError

MTIME_KEY = "mtime"
MODE_KEY = "mode"
# Set-user-id and the like are a machine's own affair: they neither travel nor come back.
MODE_BITS = 0o777
_MTIME = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?\Z", re.ASCII)
_MODE = re.compile(r"[0-7]{1,6}\Z", re.ASCII)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine as it was when looked at; two equal ones have the same bytes (but see `memory`).

    `is_link`: a symbolic link to a file, whose bytes stand for it.
    """

    size: int
    mtime_ns: int
    mode: int
    ctime_ns: int
    inode: int
    device: int
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the cluster. `blake3` is empty when the cluster does not know the whole file's hash."""

    size: int
    etag: str
    blake3: str
    generation: int
    meta: Mapping[str, str]
    tags: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def mtime_ns(self) -> int | None:
        return mtime_of(self.meta)

    @property
    def mode(self) -> int | None:
        return mode_of(self.meta)


@dataclass(slots=True)
class LocalTree:
    """`skipped`: what is no file or folder, with the reason; `failed`: what could not be looked at.

    Nothing is known about what lies at or below those two, so nothing there is replaced or deleted on either side.
    """

    files: dict[str, LocalFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, FluffyError] = field(default_factory=dict)
    is_there: bool = True


@dataclass(slots=True)
class RemoteTree:
    """`skipped`: names that no file here may have."""

    files: dict[str, RemoteFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class Base:
    """What a file was here (`blake3`) and there (`etag`) when both were last known to be the same."""

    blake3: str
    etag: str


class Act(enum.Enum):
    """What a step does. The values are the words of `--json`."""

    SEND = "send"
    FETCH = "fetch"
    MARK_THERE = "mark-there"
    MARK_HERE = "mark-here"
    DELETE_THERE = "delete-there"
    DELETE_HERE = "delete-here"
    MAKE_THERE = "make-folder-there"
    MAKE_HERE = "make-folder-here"
    REMOVE_THERE = "remove-folder-there"
    REMOVE_HERE = "remove-folder-here"


class Phase(enum.IntEnum):
    """Steps of one phase may run at once, but for the removal of folders, which goes from below upwards."""

    CLEAR = 0           # files of one side where the other has a folder, and the other way round
    CLEAR_FOLDERS = 1
    MAKE = 2
    MOVE = 3
    DELETE = 4
    REMOVE_FOLDERS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """`here`, `there`: what stands in its place and is to be replaced or deleted; the step refuses anything else.

    `keep`: the bytes here may exist nowhere else, so they are set aside, not lost.
    """

    act: Act
    path: str
    phase: Phase
    here: LocalFile | None = None
    there: RemoteFile | None = None
    keep: bool = False

    @property
    def size(self) -> int:
        """Bytes that move."""
        if self.act is Act.SEND and self.here is not None:
            return self.here.size
        return self.there.size if self.act is Act.FETCH and self.there is not None else 0


@dataclass(slots=True)
class Plan:
    """`settled`: paths that are the same on both sides, with what they are. `conflicts`: what the plan leaves alone."""

    steps: list[Step] = field(default_factory=list)
    settled: dict[str, Base] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)

    def count(self, *acts: Act) -> int:
        return sum(step.act in acts for step in self.steps)


@dataclass(slots=True)
class Report:
    """What was done.

    `hashed`: files that had to be read to compare them; `kept_in`: the local folder with what was replaced or deleted
    here and existed nowhere else.
    """

    sent: int = 0
    fetched: int = 0
    marked: int = 0
    same: int = 0
    hashed: int = 0
    deleted: int = 0
    folders: int = 0
    kept: int = 0
    kept_in: str | None = None
    bytes: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[tuple[str, FluffyError]] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """Files whose bytes went one way or the other."""
        return self.sent + self.fetched

    def document(self) -> dict[str, Any]:
        """For programs; failures are told by whoever knows the words for errors."""
        return {"sent": self.sent, "fetched": self.fetched, "marked": self.marked, "same": self.same,
                "hashed": self.hashed, "deleted": self.deleted, "folders": self.folders, "kept": self.kept,
                "kept_in": self.kept_in, "bytes": self.bytes, "seconds": round(self.seconds, 3),
                "skipped": dict(sorted(self.skipped.items()))}


def marks_of(file: LocalFile) -> dict[str, str]:
    """Time and mode as metadata."""
    seconds, nanos = divmod(abs(file.mtime_ns), _NS)
    sign = "-" if file.mtime_ns < 0 else ""
    return {MTIME_KEY: f"{sign}{seconds}.{nanos:09d}", MODE_KEY: f"{file.mode & MODE_BITS:04o}"}


def mtime_of(meta: Mapping[str, str]) -> int | None:
    """Nanoseconds since 1970; None for what is no time, which others may have written there."""
    match = _MTIME.match(meta.get(MTIME_KEY, ""))
    if match is None:
        return None
    value = int(match[2]) * _NS + int((match[3] or "0").ljust(9, "0"))
    return -value if match[1] else value


def mode_of(meta: Mapping[str, str]) -> int | None:
    """The permission bits; None for what is no mode."""
    text = meta.get(MODE_KEY, "")
    return int(text, 8) & MODE_BITS if _MODE.match(text) else None


def same_time(here_ns: int, there_ns: int) -> bool:
    """Whether both are one time, as exactly as the file system here tells it (some know whole seconds only)."""
    return here_ns == there_ns or (here_ns % _NS == 0 and here_ns // _NS == there_ns // _NS)


def ancestors(path: str) -> list[str]:
    """The folders that a path lies in, nearest first, without the root."""
    found = []
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        found.append(path)
    return found
