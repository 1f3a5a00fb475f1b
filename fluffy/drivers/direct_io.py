"""Files past the page cache: O_DIRECT where the file system and the memory allow it, plain calls elsewhere.

Writing a new chunk through the page cache costs five to ten times the CPU of O_DIRECT (every page is touched, copied
and walked again by writeback), and pushes out what readers use. O_DIRECT wants memory, offset and length in whole
pages; what is not so goes through a small aligned bounce buffer of the thread.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from pathlib import Path

from fluffy.base.units import KIB, MIB

PAGE_BYTES = 4 * KIB
# Below this, O_DIRECT's fixed cost (a synchronous disk write) is more than the page cache's copy.
DIRECT_BYTES_MIN = 1 * MIB
# Fewer calls than with less, and still in the core's second cache when it is looked at.
BOUNCE_BYTES = 1 * MIB
_local = threading.local()


def bounce_buffer() -> memoryview:
    """This thread's own 1 MiB of aligned scratch memory; its content ends with the next call that uses it."""
    view: memoryview | None = getattr(_local, "bounce", None)
    if view is None:
        view = _local.bounce = memoryview(mmap.mmap(-1, BOUNCE_BYTES))
    return view


def is_aligned(view: memoryview) -> bool:
    """Whether O_DIRECT may use this memory. Read-only memory (`bytes`) is never asked: it is never page-aligned."""
    if view.readonly or len(view) == 0:
        return False
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) % PAGE_BYTES == 0


def direct_allowed(folder: Path) -> bool:
    """Try it: some file systems refuse O_DIRECT when opening, some when writing."""
    probe = folder / f".direct-probe-{os.getpid()}-{threading.get_ident()}"
    try:
        fd = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    try:
        os.pwrite(fd, bounce_buffer()[:PAGE_BYTES], 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    finally:
        os.close(fd)
        os.unlink(probe)
    return True


def write_direct(fd: int, data: memoryview, tail: bytes) -> None:
    """Write `data`, zeros and `tail` so that `tail` ends the file on a page boundary; `fd` is open with O_DIRECT."""
    body = len(data) & ~(PAGE_BYTES - 1) if is_aligned(data) else 0
    total = padded(len(data) + len(tail))
    position = body
    bounce = bounce_buffer()
    parts = [data[:body]] if body else []
    written = 0
    while position < total:
        size = min(BOUNCE_BYTES, total - position)
        _fill(bounce[:size], position, data, tail, total)
        _write_all(fd, [*parts, bounce[:size]], written)
        position += size
        written = position
        parts = []


def write_buffered(fd: int, data: memoryview, tail: bytes) -> None:
    """Write `data` and `tail` without padding."""
    _write_all(fd, [data, memoryview(tail)], 0)


def padded(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _fill(out: memoryview, position: int, data: memoryview, tail: bytes, total: int) -> None:
    """Bytes `position …` of the file `data | zeros | tail` of `total` bytes."""
    size = len(out)
    from_data = data[position:position + size]
    out[:len(from_data)] = from_data
    out[len(from_data):] = bytes(size - len(from_data))
    tail_at = total - len(tail)
    start = max(position, tail_at)
    if start < position + size:
        out[start - position:] = tail[start - tail_at:position + size - tail_at]


def _write_all(fd: int, parts: list[memoryview], offset: int) -> None:
    while parts:
        written = os.pwritev(fd, parts, offset)
        offset += written
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts and written:
            parts[0] = parts[0][written:]
