"""Versions of small files that were asked for a moment ago, ready to be sent.

An entry counts only for readers whose point (reads.py) is not newer than the one it was made at: as long as nothing
changes anywhere, hot files cost no lookup, and the first change anywhere makes all entries void. So there is nothing to
keep coherent. Bounded by bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache

from fluffy.base.paths import RemotePath
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.model import FileVersion

CACHE_BYTES_MAX = 16 * MIB
# What an entry weighs beside its bytes: path, hashes, header lines, the entry itself.
ENTRY_BYTES = 2 * KIB
CHUNK_REF_BYTES = 200
# Long manifests are rarely asked for again and again.
CHUNKS_MAX = 64


@dataclass(frozen=True, slots=True)
class CachedVersion:
    """`lines`: what every answer about this version has in its head; `whole_lines`: that of the whole body."""

    seq: int
    path: RemotePath
    version: FileVersion
    lines: bytes
    whole_lines: bytes


class VersionCache:
    """By the decoded path as it stands in the address."""

    def __init__(self) -> None:
        self._entries: LRUCache[str, CachedVersion] = LRUCache(CACHE_BYTES_MAX, getsizeof=_size_of)

    def get(self, text: str, seq: int) -> CachedVersion | None:
        """The entry, if it is good for a reader at `seq`."""
        try:
            entry = self._entries[text]
        except KeyError:
            return None
        return entry if entry.seq >= seq else None

    def put(self, text: str, entry: CachedVersion) -> None:
        if len(entry.version.chunks) <= CHUNKS_MAX:
            self._entries[text] = entry


def _size_of(entry: CachedVersion) -> int:
    version = entry.version
    return (ENTRY_BYTES + len(entry.lines) + len(entry.whole_lines) + len(version.inline or b"")
            + CHUNK_REF_BYTES * len(version.chunks))
