"""What readers of chunks hold: verified bytes in memory, or a verified file, until they let go."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType

from fluffy.base.errors import ChunkCorrupt
from fluffy.ports import VerifiedFile


class MemoryLease:
    """Bytes in memory; implements `ports.ChunkLease` and is its own context manager."""

    file: tuple[int, int] | None = None

    def __init__(self, data: memoryview, release: Callable[[], None]) -> None:
        self.data = data
        self._release: Callable[[], None] | None = release

    def __enter__(self) -> MemoryLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


class FileLease:
    """A part of an own chunk file, checked a moment ago and still in the page cache, ready for sendfile.

    `data` reads it into memory (blocking; checked length only): for the odd caller who cannot send files.
    """

    def __init__(self, file: VerifiedFile) -> None:
        self._file = file

    @property
    def file(self) -> tuple[int, int] | None:
        return self._file.fd, self._file.offset

    @property
    def data(self) -> memoryview:
        data = os.pread(self._file.fd, self._file.length, self._file.offset)
        if len(data) != self._file.length:
            raise ChunkCorrupt("a chunk file became shorter while it was read")
        return memoryview(data)

    def __enter__(self) -> FileLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()
