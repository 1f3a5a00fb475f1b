"""Manifests on this node's disk: `manifests/CLUSTER-UUID/SERIES-NUMBER.seg`, only ever appended to.

A *series* begins with a walk over everything and goes on with what changes. When much of it is old, the next series is
begun, and the old one is removed when the new one is whole. What other clusters left in the folder is never touched: it
may be all that is left of them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.errors import DiskFailed, DiskFull, FileNotFound
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.manifest import HeadManifest, Manifest, MarkManifest
from fluffy.ports import ManifestState, ManifestStock
from fluffy.wire.manifest_records import MAGIC, Damage, encode_manifest, read_segment

FOLDER_NAME = "manifests"
# Read whole by who follows up after a restart, and by a restore.
SEGMENT_BYTES = 16 * MIB
# What was just made is still in the processor's cache.
WRITE_BYTES = 256 * KIB
# Linux takes 1,024 at a time.
PIECES_PER_WRITE = 512
# Of a head; its longest part is the key of a place.
HEAD_BYTES_MAX = 4 * KIB
_NAME = re.compile(r"(\d{8})-(\d{8})\.seg\Z")
_UUID = re.compile(r"[0-9a-f-]{36}\Z")


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    series: int
    number: int

    def __str__(self) -> str:
        return f"{self.series:08d}-{self.number:08d}.seg"


class ManifestFiles:
    """The writing side (`ports.ManifestLog`). One process, one call at a time, from any thread. Blocking."""

    def __init__(self, node_dir: Path, fsync: bool = True, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._root = node_dir / FOLDER_NAME
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._folder: Path | None = None
        self._uuid = ""
        self._segment: SegmentName | None = None
        self._fd = -1
        self._size = 0
        self._ended_bytes = 0  # of the series, before the present segment
        self._mark: MarkManifest | None = None
        self._built_of = (0, 0)  # a series, and how much of it the walk wrote

    def open(self, cluster_uuid: str) -> ManifestState:
        """What this cluster has here; cuts a torn end. Cheap when it is open already."""
        if cluster_uuid != self._uuid or self._folder is None:
            self.close()
            self._uuid, self._folder = cluster_uuid, self._root / cluster_uuid
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._find_end()
        series = 0 if self._segment is None else self._segment.series
        return ManifestState(series, self._mark, self._ended_bytes + self._size, self._built_bytes(series))

    def begin_series(self, mark: MarkManifest) -> None:
        """The next series, empty."""
        series = self._segment.series + 1 if self._segment is not None else 1
        self._mark = mark
        self._begin_segment(SegmentName(series, 1))
        self._ended_bytes = 0

    def append(self, records: Iterable[Manifest], mark: MarkManifest) -> None:
        """Add records, then the mark; all durable when it returns. Killed in between, the old mark holds."""
        if self._size >= self._segment_bytes and self._segment is not None:
            size = self._size
            self._begin_segment(SegmentName(self._segment.series, self._segment.number + 1))
            self._ended_bytes += size
        at = self._size
        pieces: list[bytes] = []
        size = 0
        try:
            for record in (*records, mark):
                pieces.append(encode_manifest(record))
                size += len(pieces[-1])
                if size >= WRITE_BYTES or record is mark or len(pieces) == PIECES_PER_WRITE:
                    at = _write(self._fd, pieces, at)
                    pieces, size = [], 0
            if self._fsync:
                os.fdatasync(self._fd)
        except OSError as error:
            raise _translated(error) from error
        self._size = at
        self._mark = mark

    def drop_older_series(self) -> None:
        """The present series is whole: what came before it is not needed any more."""
        if self._folder is None or self._segment is None:
            return
        for name in _segments(self._folder):
            if name.series < self._segment.series:
                (self._folder / str(name)).unlink(missing_ok=True)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._folder, self._segment, self._mark, self._size, self._ended_bytes = -1, None, None, None, 0, 0

    def _built_bytes(self, series: int) -> int:
        """The segments that were begun while the walk was under way."""
        assert self._folder is not None
        if self._mark is not None and self._mark.building is not None:
            return self._ended_bytes + self._size
        if series != self._built_of[0]:
            built = 0
            for name in _segments(self._folder):
                path = self._folder / str(name)
                if name.series == series and _was_building(path):
                    built += path.stat().st_size
            self._built_of = series, built
        return self._built_of[1]

    def _find_end(self) -> None:
        """Go on after the last mark of the newest segment that has one; without any, a new series is to be begun.

        A mark behind damage is none: a power failure may keep the end of a piece and lose its beginning. What is cut is
        written again.
        """
        assert self._folder is not None
        names = _segments(self._folder)
        if not names:
            return
        name = names[-1]
        fd = os.open(self._folder / str(name), os.O_RDWR | os.O_CLOEXEC)
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        damage, end, mark = Damage(), 0, None
        for at, record in read_segment(data, damage):
            if damage.places:
                break
            if isinstance(record, HeadManifest):
                end, mark = at, record.mark
            elif isinstance(record, MarkManifest):
                end, mark = at, record
        self._segment = name
        self._ended_bytes = sum((self._folder / str(other)).stat().st_size for other in names[:-1]
                                if other.series == name.series)
        if mark is None:  # not even its head is whole: the series cannot go on
            os.close(fd)
            return
        os.ftruncate(fd, end)
        self._fd, self._size, self._mark = fd, end, mark

    def _begin_segment(self, name: SegmentName) -> None:
        assert self._folder is not None and self._mark is not None
        head = MAGIC + encode_manifest(HeadManifest(self._uuid, name.series, name.number, self._mark))
        path = self._folder / str(name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            os.pwrite(fd, head, 0)
            if self._fsync:
                os.fsync(fd)
                folder = os.open(self._folder, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        except OSError as error:
            raise _translated(error) from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._segment, self._size = fd, name, len(head)


class ManifestShelf:
    """The reading side (`ports.Manifests`), for whoever restores. Blocking."""

    def __init__(self, node_dir: Path) -> None:
        self._root = node_dir / FOLDER_NAME

    def stocks(self) -> Sequence[ManifestStock]:
        """What lies here, of each cluster that ever wrote here."""
        found = []
        if not self._root.is_dir():
            return ()
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir() and _UUID.match(folder.name):
                names = _segments(folder)
                if names:
                    sizes = [(folder / str(name)).stat() for name in names]
                    found.append(ManifestStock(folder.name, tuple(str(name) for name in names),
                                               sum(size.st_size for size in sizes),
                                               max(int(size.st_mtime * 1000) for size in sizes)))
        return tuple(found)

    def segment(self, cluster_uuid: str, name: str) -> bytes:
        """A whole segment. Raises FileNotFound."""
        if not _UUID.match(cluster_uuid) or not _NAME.match(name):
            raise FileNotFound("there is no such segment of manifests")
        try:
            return (self._root / cluster_uuid / name).read_bytes()
        except FileNotFoundError as error:
            raise FileNotFound("there is no such segment of manifests") from error


def _write(fd: int, pieces: list[bytes], at: int) -> int:
    """Where the next byte goes."""
    end = at + sum(map(len, pieces))
    at += os.pwritev(fd, pieces, at)
    while at < end:  # the disk took a part
        at += os.pwrite(fd, b"".join(pieces)[at - end:], at)
    return end


def _segments(folder: Path) -> list[SegmentName]:
    matches = [_NAME.match(file.name) for file in folder.iterdir()]
    return sorted(SegmentName(int(match[1]), int(match[2])) for match in matches if match is not None)


def _was_building(path: Path) -> bool:
    """Whether the walk was under way when the segment was begun."""
    with path.open("rb") as file:
        beginning = file.read(HEAD_BYTES_MAX)
    head = next((record for _, record in read_segment(beginning, Damage())), None)
    return isinstance(head, HeadManifest) and head.mark.building is not None


def _translated(error: OSError) -> DiskFull | DiskFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("the disk of this node has no room for manifests")
    return DiskFailed(f"manifests cannot be written: {error.strerror}")
