"""Remote files as objects, for programs without an event loop: what `Fluffy.open` gives, in Python's own file types.

Reading: an `io.BufferedReader` (over a raw file that asks the cluster), for text an `io.TextIOWrapper` around it.
Writing: an `io.BufferedIOBase` whose file appears when it is closed. A `with` block that raises, and a file that is
forgotten without being closed, leave everything as it was.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from fluffy.client.download import RemoteHead
from fluffy.client.opened import AsyncReader, AsyncWriter
from fluffy.client.results import Stored

T = TypeVar("T")

# One hop to the loop's thread and back costs 0.1 ms; a row of small reads or writes pays it once in so many bytes.
READ_BUFFER_BYTES = 256 * 1024
WRITE_BUFFER_BYTES = 1024 * 1024


class Caller(Protocol):
    """The way from any thread to the event loop that the client lives on."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let `work` run, and wait for what comes of it."""
    def leave(self, work: Coroutine[Any, Any, object]) -> None:
        """Let `work` run without waiting for it, also from the loop's own thread."""


class RawReader(io.RawIOBase):
    """The raw file under a `FluffyReader`: each read asks the cluster, or takes what was read ahead."""

    def __init__(self, file: AsyncReader, thread: Caller) -> None:
        self.file = file
        self._thread = thread

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]  # what io hands in
        data = self._thread.run(self.file.read(len(buffer)))
        buffer[:len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._thread.run(self.file.read())

    def close(self) -> None:
        # Not waited for: the garbage collector closes files too, in whatever thread it happens to run.
        if not self.closed:
            self._thread.leave(self.file.close())
        super().close()


class FluffyReader(io.BufferedReader):
    """A remote file open for reading: one generation of it, seekable, with read-ahead."""

    def __init__(self, file: AsyncReader, thread: Caller) -> None:
        super().__init__(RawReader(file, thread), READ_BUFFER_BYTES)
        self._file = file

    @property
    def name(self) -> str:
        return self._file.path

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def head(self) -> RemoteHead:
        """Which generation is read: etag, size, hash, time."""
        return self._file.head

    @property
    def size(self) -> int:
        return self._file.size


class FluffyWriter(io.BufferedIOBase):
    """A remote file open for writing, from its beginning on. It appears when it is closed."""

    def __init__(self, file: AsyncWriter, thread: Caller) -> None:
        self._file = file
        self._thread = thread
        self._pending = bytearray()
        self._closed = False

    @property
    def name(self) -> str:
        return self._file.path

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def stored(self) -> Stored | None:
        """What the cluster said of the file; None until it was closed."""
        return self._file.stored

    @property
    def closed(self) -> bool:
        return self._closed

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() + len(self._pending)

    def write(self, data: object) -> int:  # any buffer
        if self._closed:
            raise ValueError("write to closed file")
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._pending += view
        if len(self._pending) >= WRITE_BUFFER_BYTES:
            self._hand_over()
        return len(view)

    def flush(self) -> None:
        """Hand on what was written. Nobody sees it before the file is closed."""
        if self._closed:
            raise ValueError("flush of closed file")

    def close(self) -> None:
        """Make what was written the file. Raises what the cluster refuses; then nothing has changed."""
        if self._closed:
            return
        self._closed = True
        try:
            self._hand_over()
        except BaseException:
            self._thread.leave(self._file.abort())
            raise
        self._thread.run(self._file.close())

    def commit(self) -> None:
        """Of a file that was opened without autocommit and is closed: make what was written the file."""
        self._thread.run(self._file.commit())

    def abort(self) -> None:
        """Forget what was written, unless it is the file already; the file stays as it was."""
        self._closed = True
        self._thread.run(self._file.abort())

    discard = abort

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._closed = True
            warnings.warn(f"{self.name} was opened for writing and never closed; nothing was stored", ResourceWarning,
                          stacklevel=2, source=self)
            self._thread.leave(self._file.abort())

    def _hand_over(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        if data:
            self._thread.run(self._file.write(data))


class Packer(Protocol):
    """A file that packs what is written into another one, which it does not close."""

    def write(self, data: Any, /) -> int: ...
    def close(self) -> None: ...


class PackedWriter(io.BufferedIOBase):
    """A remote file open for writing what `packer` packs into it. It appears when it is closed."""

    def __init__(self, file: FluffyWriter, packer: Packer) -> None:
        self._file = file
        self._packer = packer

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def stored(self) -> Stored | None:
        """What the cluster said of the file; None until it was closed."""
        return self._file.stored

    @property
    def closed(self) -> bool:
        return self._file.closed

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:  # any buffer
        return self._packer.write(data)

    def close(self) -> None:
        """Make what was written the file. Raises what the cluster refuses; then nothing has changed."""
        if not self._file.closed:
            self._packer.close()
            self._file.close()

    def abort(self) -> None:
        """Forget what was written; the file stays as it was."""
        self._file.abort()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        """Forgotten without being closed: the file below says so, and aborts."""


class FluffyTextWriter(io.TextIOWrapper):
    """A remote file open for writing text. It appears when it is closed."""

    def __init__(self, file: FluffyWriter | PackedWriter, encoding: str, errors: str | None,
                 newline: str | None) -> None:
        # Lines end in \n on every machine, unless said otherwise: the file is everybody's.
        super().__init__(cast(Any, file), encoding, errors, "\n" if newline is None else newline)
        self._file = file

    @property
    def stored(self) -> Stored | None:
        """What the cluster said of the file; None until it was closed."""
        return self._file.stored

    def abort(self) -> None:
        """Forget what was written; the file stays as it was."""
        self._file.abort()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        """Forgotten without being closed: the writer below says so, and aborts."""
