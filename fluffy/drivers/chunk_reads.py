"""Reading a chunk file so that no byte leaves unchecked.

Each block (256 KiB) is checked against its hash in the file's record while it is still in the core's cache. What the
page cache has is taken from it; the first block that is not there switches the rest of a large read to O_DIRECT, so
that a copy to a peer or a scrub neither waits for nor pushes out what users read. Reads are calls, never memory maps:
a bad sector is then an error to handle and not a signal that kills the process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import xxhash

from fluffy.base.checks import invariant
from fluffy.base.errors import ChunkCorrupt, RangeIllegal
from fluffy.base.hashing import xxh3_of
from fluffy.base.ids import ChunkId
from fluffy.drivers.direct_io import BOUNCE_BYTES, DIRECT_BYTES_MIN, PAGE_BYTES, bounce_buffer, is_aligned
from fluffy.wire.chunk_record import (
    BLOCK_BYTES,
    TAIL_BYTES,
    ChunkRecord,
    blocks_of,
    decode_record,
    record_bytes,
)

_BLOCKS_AT_ONCE = BOUNCE_BYTES // BLOCK_BYTES
invariant(BOUNCE_BYTES % BLOCK_BYTES == 0, "the scratch memory holds whole blocks")


def read_record(fd: int, chunk_id: ChunkId) -> ChunkRecord:
    """The file's record, checked against itself and the file's size. Raises ChunkCorrupt."""
    file_bytes = os.fstat(fd).st_size
    end = os.pread(fd, PAGE_BYTES, max(0, file_bytes - PAGE_BYTES))
    size = record_bytes(end[-TAIL_BYTES:])
    if size > file_bytes:
        raise ChunkCorrupt("the chunk file is shorter than its record")
    encoded = end[-size:] if size <= len(end) else os.pread(fd, size, file_bytes - size)
    return decode_record(encoded, file_bytes, chunk_id)


def read_part(fd: int, chunk_id: ChunkId, offset: int, out: memoryview, direct: bool) -> bytes:
    """Fill `out` from `offset` with checked bytes; returns their xxh3."""
    record = read_record(fd, chunk_id)
    end = _checked_end(record, offset, len(out))
    _fill(fd, record, offset, end, out, direct)
    return record.xxh3 if len(out) == record.length else xxh3_of(out)


def _fill(fd: int, record: ChunkRecord, offset: int, end: int, out: memoryview, direct: bool) -> None:
    position = offset
    while position < end:
        number = position // BLOCK_BYTES
        start, stop = _bounds(record, range(number, number + 1))
        if position == start and stop <= end:
            view = out[start - offset:stop - offset]
            if direct and end - start >= DIRECT_BYTES_MIN and not _read_cached(fd, view, start):
                _read_cold(fd, record, offset, start, out)
                return
            _read_exactly(fd, view, start)
            _check(view, record, number)
        else:
            block = _read_blocks(fd, record, range(number, number + 1))
            upto = min(stop, end)
            out[position - offset:upto - offset] = block[position - start:upto - start]
        position = stop


def check_part(fd: int, chunk_id: ChunkId, offset: int, length: int, cached_only: bool) -> bytes | None:
    """Check the blocks around a part through the page cache, where they stay for the sendfile that follows.

    Returns the xxh3 of exactly the part; None when the disk had to be read and `cached_only` forbids it.
    """
    record = read_record(fd, chunk_id)
    end = _checked_end(record, offset, length)
    whole = length == record.length
    part_hash = xxhash.xxh3_128()
    cached = True
    for blocks in _spans(offset // BLOCK_BYTES, blocks_of(end)):
        start, stop = _bounds(record, blocks)
        cached = cached and _read_cached(fd, bounce_buffer()[:stop - start], start)
        if cached:
            data = _checked_scratch(record, blocks)
        elif cached_only:
            return None
        else:
            os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_WILLNEED)
            data = _read_blocks(fd, record, blocks)
        if not whole:
            part_hash.update(data[max(0, offset - start):end - start])
    return record.xxh3 if whole else part_hash.digest()


def check_all(fd: int, chunk_id: ChunkId, direct: bool) -> ChunkRecord:
    """Check the whole file without keeping its bytes; past the page cache where possible."""
    record = read_record(fd, chunk_id)
    source = _open_direct(fd) if direct and record.length >= DIRECT_BYTES_MIN else -1
    try:
        for blocks in _spans(0, blocks_of(record.length)):
            _read_blocks(source if source >= 0 else fd, record, blocks)
    finally:
        if source >= 0:
            os.close(source)
    return record


def _read_cold(fd: int, record: ChunkRecord, offset: int, start: int, out: memoryview) -> None:
    """The rest of a read, from block `start` on, with O_DIRECT when `out` is aligned there."""
    end = offset + len(out)
    rest = out[start - offset:]
    pages = len(rest) & ~(PAGE_BYTES - 1)
    source = _open_direct(fd) if is_aligned(rest) else -1
    if source >= 0:
        try:
            _read_exactly(source, rest[:pages], start)
        finally:
            os.close(source)
    else:
        pages = 0
    _read_exactly(fd, rest[pages:], start + pages)
    _check_whole_blocks(fd, record, offset, start, end, out)


def _check_whole_blocks(fd: int, record: ChunkRecord, offset: int, start: int, end: int,
                        out: memoryview) -> None:
    for number in range(start // BLOCK_BYTES, blocks_of(end)):
        begin, stop = _bounds(record, range(number, number + 1))
        if stop <= end:
            _check(out[begin - offset:stop - offset], record, number)
        else:
            out[begin - offset:] = _read_blocks(fd, record, range(number, number + 1))[:end - begin]


def _checked_end(record: ChunkRecord, offset: int, length: int) -> int:
    if offset < 0 or length <= 0 or offset + length > record.length:
        raise RangeIllegal("the range lies outside the chunk", offset=offset, length=length, chunk_length=record.length)
    return offset + length


def _spans(first: int, end: int) -> Iterator[range]:
    """Blocks `first` to `end` (not included), as many at once as the scratch memory holds."""
    for start in range(first, end, _BLOCKS_AT_ONCE):
        yield range(start, min(start + _BLOCKS_AT_ONCE, end))


def _bounds(record: ChunkRecord, blocks: range) -> tuple[int, int]:
    return blocks.start * BLOCK_BYTES, min(blocks.stop * BLOCK_BYTES, record.length)


def _read_blocks(fd: int, record: ChunkRecord, blocks: range) -> memoryview:
    """Checked blocks in the thread's scratch memory. `fd` may be O_DIRECT: then whole pages are read."""
    start, stop = _bounds(record, blocks)
    size = stop - start
    _read_exactly(fd, bounce_buffer()[:-(-size // PAGE_BYTES) * PAGE_BYTES], start, enough=size)
    return _checked_scratch(record, blocks)


def _checked_scratch(record: ChunkRecord, blocks: range) -> memoryview:
    start, stop = _bounds(record, blocks)
    data = bounce_buffer()[:stop - start]
    for number in blocks:
        at = (number - blocks.start) * BLOCK_BYTES
        _check(data[at:at + BLOCK_BYTES], record, number)
    return data


def _check(block: memoryview, record: ChunkRecord, number: int) -> None:
    if xxh3_of(block) != record.block_hash(number):
        raise ChunkCorrupt(f"block {number} of the chunk does not match its hash")


def _read_cached(fd: int, view: memoryview, offset: int) -> bool:
    """Whether the page cache had all of it; then `view` is filled."""
    try:
        return os.preadv(fd, [view], offset, os.RWF_NOWAIT) == len(view)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            return False
        raise


def _read_exactly(fd: int, view: memoryview, offset: int, enough: int | None = None) -> None:
    needed = len(view) if enough is None else enough
    got = 0
    while got < needed:
        count = os.preadv(fd, [view[got:]], offset + got)
        if count == 0:
            raise ChunkCorrupt("the chunk file is shorter than its record says")
        got += count


def _open_direct(fd: int) -> int:
    """A second descriptor of the same file, past the page cache; -1 when there is none: then the plain one will do.

    By way of /proc, because the name may be gone by now (a chunk is removed while it is read).
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return -1
        raise
