"""Pipes between commands: `find . -name '*.tmp' | rm`, `cat log | head`, `search report | download`.

What runs through a pipe is typed: *paths*, one absolute remote path a line (no name has a line break in it), or
*text*, bytes as they would stand on the screen. A command says in the table what it gives and what it eats; a line
whose ends do not fit is refused before anything runs. The commands of a line run at once, each in a thread but the
last; a full pipe makes the writer wait, a reader that has enough ends the writer, and a writer that failed makes the
reader fail too, so that nobody acts on half a list.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from fluffy.base.errors import LocalFileFailed, QuerySyntax

Gives = Literal["text", "paths", "same"]
"""`same`: what comes in goes out, like `head`."""
Eats = Literal["nothing", "paths", "text"]

# Two blocks of a download: the reader works on one while the other comes.
PIPE_BYTES_MAX = 2 * 1024 * 1024
# A path has at most 1 KiB; more of them than this is no command but a job for `find … --json` and a program.
PIPE_PATHS_MAX = 1_000_000


class PipeClosed(Exception):
    """Nobody reads any more; the writer's command ends. No OSError: a transfer must not take it for a full disk."""


class Pipe:
    """One writer's thread, one reader's. `paths_wanted`: the reader eats paths."""

    def __init__(self, *, paths_wanted: bool, writer: str) -> None:
        self.paths_wanted = paths_wanted
        self._writer = writer
        self._blocks: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self._failed = False
        self._closed = False
        self.reader: io.BufferedReader = io.BufferedReader(_Reading(self))

    def put(self, block: bytes) -> None:
        """Waits while the pipe is full. Raises PipeClosed when nobody reads."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < PIPE_BYTES_MAX)
            if self._closed:
                raise PipeClosed
            self._blocks.append(bytes(block))
            self._bytes += len(block)
            self._changed.notify_all()

    def end(self, *, failed: bool) -> None:
        """The writer's command is over."""
        with self._changed:
            self._ended, self._failed = True, failed
            self._changed.notify_all()

    def close(self) -> bool:
        """The reader's command is over. Whether the writer is still at work."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return not self._ended

    def take(self, wanted: int) -> bytes:
        """Some bytes, at most `wanted`; b"" at the end. Raises LocalFileFailed when the writer failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended or self._closed)
            if not self._blocks:
                if self._failed:
                    raise LocalFileFailed(f"'{self._writer}' before the pipe failed, so nothing was done with the rest")
                return b""
            block = self._blocks.popleft()
            if len(block) > wanted:
                self._blocks.appendleft(block[wanted:])
                block = block[:wanted]
            self._bytes -= len(block)
            self._changed.notify_all()
            return block

    def paths(self) -> list[str]:
        """All paths that come. Raises QuerySyntax for too many, LocalFileFailed when the writer failed."""
        return paths_of(self.reader)


def paths_of(lines: Iterable[bytes]) -> list[str]:
    """One path a line; empty lines mean nothing."""
    found: list[str] = []
    for line in lines:
        path = line.decode("utf-8", errors="replace").rstrip("\r\n")
        if path:
            found.append(path)
        if len(found) > PIPE_PATHS_MAX:
            raise QuerySyntax(f"more than {PIPE_PATHS_MAX} paths came through the pipe; narrow the search down")
    return list(dict.fromkeys(found))


class _Reading(io.RawIOBase):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        block = self._pipe.take(len(buffer))
        buffer[:len(block)] = block
        return len(block)


class Drain(io.TextIOBase):
    """A pipe as the standard output of a command; `buffer` takes bytes, as sys.stdout's does."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self.pipe = pipe
        self.buffer = _Bytes(pipe)

    def write(self, text: str, /) -> int:
        if text:
            self.pipe.put(text.encode("utf-8", errors="surrogateescape"))
        return len(text)


class _Bytes(io.RawIOBase):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def write(self, block: bytes) -> int:  # type: ignore[override]
        if block:
            self._pipe.put(block)
        return len(block)


def plan(stages: Sequence[tuple[str, Gives, Eats]]) -> list[bool]:
    """For each pipe of the line, whether paths run through it. Raises QuerySyntax for ends that do not fit."""
    wanted: list[bool] = []
    paths = False
    for number in range(len(stages) - 1, 0, -1):
        name, gives, eats = stages[number]
        if eats == "nothing":
            raise QuerySyntax(f"'{name}' takes nothing from a pipe")
        paths = eats == "paths" or (gives == "same" and paths)
        before, before_gives, _ = stages[number - 1]
        if paths and before_gives == "text":
            raise QuerySyntax(f"'{before}' gives text, and '{name}' wants paths: ls, find, list and search give paths")
        if paths and before_gives == "same" and number == 1:
            raise QuerySyntax(f"'{before}' has no paths to hand on: begin with ls, find, list or search")
        wanted.append(paths)
    return wanted[::-1]


Stage = Callable[[Pipe | None, Pipe | None], int]
"""Runs one command with (what it eats, where its output goes; None: the screen) and returns its exit code."""


def run_stages(stages: Sequence[tuple[str, Stage]], wanted: Sequence[bool], interrupt: Callable[[], None]) -> int:
    """Run all at once, the last one in this thread. The exit code of the first that failed.

    `interrupt` ends the calls that writers wait for when the last command is over and they are not.
    """
    pipes = [Pipe(paths_wanted=paths, writer=name) for paths, (name, _) in zip(wanted, stages, strict=False)]
    codes = [0] * len(stages)

    def writer(number: int) -> None:
        code = 1
        try:
            code = stages[number][1](pipes[number - 1] if number else None, pipes[number])
        finally:
            codes[number] = code
            pipes[number].end(failed=code != 0)
            if number:
                pipes[number - 1].close()
    threads = [threading.Thread(target=writer, args=(number,), name=f"fluffy-{stages[number][0]}", daemon=True)
               for number in range(len(pipes))]
    for thread in threads:
        thread.start()
    try:
        codes[-1] = stages[-1][1](pipes[-1], None)
    finally:
        writers_left = [pipe.close() for pipe in pipes]
        if any(writers_left):
            interrupt()
        for thread in threads:
            thread.join()
    return next((code for code in codes if code), 0)
