"""What the journal keeps in memory: where each entry is, and the bodies of the newest ones.

A log of a million entries costs 20 bytes each here, not the entries themselves: memory must not grow with the number
of files (promise P9). A follower that lags far behind is served from the disk.
"""

from __future__ import annotations

from array import array

from fluffy.drivers.raft.journal_format import RECORD

# A dict slot, the key's and the body's object headers.
BODY_OVERHEAD_BYTES = 200


class EntryIndex:
    """Where entries `first .. first + len - 1` are on disk, and their terms. `first` means nothing while empty."""

    def __init__(self) -> None:
        self.first = 0
        self.record_bytes = 0
        self._terms = array("Q")
        self._segments = array("I")
        self._offsets = array("I")
        self._lengths = array("I")

    def __len__(self) -> int:
        return len(self._terms)

    @property
    def last(self) -> int:
        """Index of the last entry; 0 while empty."""
        return self.first + len(self._terms) - 1 if self._terms else 0

    def holds(self, index: int) -> bool:
        return 0 <= index - self.first < len(self._terms)

    def term(self, index: int) -> int:
        return self._terms[index - self.first]

    def length(self, index: int) -> int:
        """Bytes of the entry's body."""
        return self._lengths[index - self.first]

    def place(self, index: int) -> tuple[int, int, int]:
        """(segment number, offset of the record in it, bytes of the body)."""
        position = index - self.first
        return self._segments[position], self._offsets[position], self._lengths[position]

    def append(self, index: int, term: int, segment: int, offset: int, length: int) -> None:
        if not self._terms:
            self.first = index
        self._terms.append(term)
        self._segments.append(segment)
        self._offsets.append(offset)
        self._lengths.append(length)
        self.record_bytes += RECORD.size + length

    def cut_from(self, index: int) -> None:
        """Forget `index` and all after it."""
        keep = max(0, index - self.first)
        self.record_bytes -= self._bytes_of(self._lengths[keep:])
        for column in (self._terms, self._segments, self._offsets, self._lengths):
            del column[keep:]

    def cut_before(self, index: int) -> None:
        """Forget all before `index`."""
        gone = min(max(0, index - self.first), len(self._terms))
        self.record_bytes -= self._bytes_of(self._lengths[:gone])
        for column in (self._terms, self._segments, self._offsets, self._lengths):
            del column[:gone]
        self.first += gone

    @staticmethod
    def _bytes_of(lengths: array[int]) -> int:
        return RECORD.size * len(lengths) + sum(lengths)


class BodyWindow:
    """Bodies of the newest entries, a run without gaps that ends at the newest, at most `bytes_max` of them."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bodies: dict[int, bytes] = {}
        self._oldest = 0
        self.bytes = 0

    def get(self, index: int) -> bytes | None:
        return self._bodies.get(index)

    def append(self, index: int, body: bytes) -> None:
        if not self._bodies:
            self._oldest = index
        self._bodies[index] = body
        self.bytes += len(body) + BODY_OVERHEAD_BYTES

    def cut_from(self, index: int) -> None:
        newest = self._oldest + len(self._bodies) - 1
        for gone in range(newest, max(index, self._oldest) - 1, -1):
            self._drop(gone)

    def cut_before(self, index: int) -> None:
        while self._bodies and self._oldest < index:
            self._drop_oldest()

    def shrink(self, written_index: int) -> None:
        """Come back under the bound; bodies after `written_index` are not on disk yet and stay."""
        while self.bytes > self._bytes_max and self._bodies and self._oldest <= written_index:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._drop(self._oldest)
        self._oldest += 1

    def _drop(self, index: int) -> None:
        self.bytes -= len(self._bodies.pop(index)) + BODY_OVERHEAD_BYTES
