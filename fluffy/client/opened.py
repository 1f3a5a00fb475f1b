"""Remote files as objects, for programs with an event loop: `async with fluffy.open(path, mode) as file`.

Modes as of Python's `open`: `r`, `w`, `a`, `x`, each with `b` for bytes or as text (UTF-8 unless said otherwise). What
is written appears when the file is closed; a block that raises leaves everything as it was.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar

from fluffy.client.download import RemoteHead
from fluffy.client.reading import RemoteReader
from fluffy.client.results import Stored
from fluffy.client.writing import Writer

ReadBytes = Literal["rb", "br"]
WriteBytes = Literal["wb", "bw", "ab", "ba", "xb", "bx"]
ReadText = Literal["r", "rt", "tr"]
WriteText = Literal["w", "wt", "tw", "a", "at", "ta", "x", "xt", "tx"]
Mode = ReadBytes | WriteBytes | ReadText | WriteText

# A line is looked for in blocks of this size; the reader asks for larger ones ahead.
LINE_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Opened:
    """A mode, taken apart. `act`: r, w, a or x."""

    act: str
    is_text: bool

    @classmethod
    def of(cls, mode: str) -> Opened:
        """Raises ValueError, as Python's `open` does."""
        acts = [letter for letter in mode if letter in "rwax"]
        rest = [letter for letter in mode if letter not in "rwax"]
        if len(acts) != 1 or rest not in ([], ["b"], ["t"]):
            raise ValueError(f"mode {mode!r}: one of r, w, a, x, and b for bytes (t for text); a remote file is not "
                             "changed in place, use patch()")
        return cls(acts[0], rest != ["b"])


class Closable(Protocol):
    """A file object that can be left in two ways."""

    async def close(self) -> None: ...
    async def abort(self) -> None: ...


F = TypeVar("F", bound=Closable)


class Opening(Generic[F]):
    """What `open` gives: `await` it for the file, or use it as the context in which the file is open."""

    def __init__(self, opener: Callable[[], Awaitable[F]]) -> None:
        self._opener = opener
        self._file: F | None = None

    def __await__(self) -> Generator[object, None, F]:
        return self._opener().__await__()

    async def __aenter__(self) -> F:
        self._file = await self._opener()
        return self._file

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        assert self._file is not None
        await (self._file.close() if kind is None else self._file.abort())


class _Context:
    """A file that was awaited is a context, too."""

    async def close(self) -> None:
        raise NotImplementedError

    async def abort(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await (self.close() if kind is None else self.abort())


class AsyncReader(_Context):
    """A remote file open for reading bytes: one generation of it, from any place, with read-ahead."""

    def __init__(self, reader: RemoteReader) -> None:
        self._reader = reader
        self._position = 0
        self.closed = False

    @property
    def path(self) -> str:
        return self._reader.path

    @property
    def head(self) -> RemoteHead:
        """Which generation is read: etag, size, hash, time."""
        return self._reader.head

    @property
    def size(self) -> int:
        return self._reader.size

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as in a local file; costs nothing by itself."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"seek to {start + offset}: before the beginning")
        self._position = start + offset
        return self._position

    async def read(self, length: int = -1) -> bytes:
        """The next `length` bytes (-1: all), fewer only at the end."""
        _refuse_closed(self.closed)
        left = max(0, self.size - self._position)
        data = await self._reader.read_at(self._position, left if length < 0 else length)
        self._position += len(data)
        return data

    async def readline(self) -> bytes:
        """Up to and with the next newline; what is left when there is none; empty at the end."""
        _refuse_closed(self.closed)
        found = bytearray()
        while True:
            block = await self._reader.read_at(self._position, LINE_BLOCK_BYTES)
            cut = block.find(b"\n") + 1 or len(block)
            found += block[:cut]
            self._position += cut
            if not block or block[cut - 1:cut] == b"\n":
                return bytes(found)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    async def close(self) -> None:
        self.closed = True
        await self._reader.close()

    abort = close


class AsyncWriter(_Context):
    """A remote file open for writing bytes. It appears when it is closed; `abort` forgets what was written.

    `autocommit` False: closing only sends what is left, and the file appears by `commit`.
    """

    def __init__(self, path: str, writer: Writer, *, autocommit: bool = True) -> None:
        self.path = path
        self.autocommit = autocommit
        self.closed = False
        self.stored: Stored | None = None
        """What the cluster said of the file; None until it was closed."""
        self._writer = writer
        self._position = 0
        self._is_over = False

    def tell(self) -> int:
        """How many bytes were written."""
        return self._position

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes; waits while too many are on their way."""
        _refuse_closed(self.closed)
        taken = bytes(data)
        await self._writer.write(taken)
        self._position += len(taken)
        return len(taken)

    async def close(self) -> None:
        """Make what was written the file. Raises what the cluster refuses; then nothing has changed."""
        if self.closed:
            return
        self.closed = True
        try:
            await self._writer.finish()
        except BaseException:
            await self.abort()
            raise
        if self.autocommit:
            await self.commit()

    async def commit(self) -> None:
        """Make what was written the file; nothing happens a second time, or after `abort`."""
        if self._is_over:
            return
        try:
            self.stored = await self._writer.commit()
        except BaseException:
            await self.abort()
            raise
        self._is_over = True

    async def abort(self) -> None:
        """Forget what was written; the file stays as it was."""
        self.closed = True
        if not self._is_over:
            self._is_over = True
            await self._writer.abort()


class AsyncTextReader(_Context):
    """A remote file open for reading text, from its beginning to its end."""

    def __init__(self, file: AsyncReader, encoding: str, errors: str, newline: str | None) -> None:
        self._file = file
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True) if newline is None else decoder
        self._text = ""
        self._is_end = False

    async def read(self, length: int = -1) -> str:
        """The next `length` characters (-1: all), fewer only at the end."""
        while not self._is_end and (length < 0 or len(self._text) < length):
            await self._more()
        end = len(self._text) if length < 0 else length
        found, self._text = self._text[:end], self._text[end:]
        return found

    async def readline(self) -> str:
        """Up to and with the next newline; what is left when there is none; empty at the end."""
        looked = 0
        while True:
            cut = self._text.find("\n", looked) + 1
            if cut or self._is_end:
                cut = cut or len(self._text)
                found, self._text = self._text[:cut], self._text[cut:]
                return found
            looked = len(self._text)
            await self._more()

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self.readline():
            yield line

    async def _more(self) -> None:
        block = await self._file.read(LINE_BLOCK_BYTES)
        self._is_end = not block
        self._text += self._decoder.decode(block, final=self._is_end)

    async def close(self) -> None:
        await self._file.close()

    abort = close


class AsyncTextWriter(_Context):
    """A remote file open for writing text. It appears when it is closed; `abort` forgets what was written."""

    def __init__(self, file: AsyncWriter, encoding: str, errors: str, newline: str | None) -> None:
        self._file = file
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        self._newline = "\n" if newline in (None, "") else newline

    @property
    def stored(self) -> Stored | None:
        """What the cluster said of the file; None until it was closed."""
        return self._file.stored

    async def write(self, text: str) -> int:
        """Take text; waits while too much is on its way. Lines end as `newline` says, `\\n` by default."""
        await self._file.write(self._encoder.encode(text.replace("\n", self._newline)))
        return len(text)

    async def close(self) -> None:
        """Make what was written the file."""
        if not self._file.closed:
            await self._file.write(self._encoder.encode("", final=True))
        await self._file.close()

    async def abort(self) -> None:
        """Forget what was written; the file stays as it was."""
        await self._file.abort()


def _refuse_closed(closed: bool) -> None:
    if closed:
        raise ValueError("the file is closed")
