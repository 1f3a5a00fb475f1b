"""Progress bars: rate and time left, for transfers over a second, on a terminal."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text

from fluffy.base.units import format_size
from fluffy.client.shell.output import Output, safe

# Shorter ones are over before somebody has read the bar.
SHOW_AFTER_S = 1.0
LABEL_CHARS_MAX = 40


class TransferBar:
    """A context that is also the transfer's `progress` callback, which comes from the client's thread."""

    def __init__(self, output: Output, label: str) -> None:
        self._output = output
        self._label = _shortened(safe(label))
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._ended = False

    def __enter__(self) -> TransferBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, done: int, total: int | None) -> None:
        with self._lock:
            if self._ended or time.monotonic() - self._began_s < SHOW_AFTER_S or not self._output.can_animate:
                return
            if self._bar is None:
                self._bar = _bar_on(Console(file=self._output.err))
                self._task = self._bar.add_task(escape(self._label), total=total)
                self._bar.start()
            if self._task is not None:
                self._bar.update(self._task, completed=done, total=total)

    def summary(self, size: int) -> str:
        """`1.2 MiB`, and for a transfer that took a while also how long and how fast."""
        seconds = time.monotonic() - self._began_s
        if seconds < SHOW_AFTER_S:
            return format_size(size)
        return f"{format_size(size)} in {seconds:.1f} s, {format_size(size / seconds)}/s"


class TreeCount:
    """For whole folders: how many files are done, on one line that stays where it is. Its context is also `on_file`."""

    def __init__(self, output: Output, doing: str) -> None:
        self._output = output
        self._doing = doing
        self._lock = threading.Lock()
        self._files = 0
        self._bytes = 0
        self._status: Status | None = None
        self._ended = False

    def __enter__(self) -> TreeCount:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._lock:
            self._ended = True
            if self._status is not None:
                self._status.stop()

    def __call__(self, path: str, size: int) -> None:
        with self._lock:
            self._files += 1
            self._bytes += size
            if self._ended or not self._output.can_animate:
                return
            told = f"{self._doing} {self._files} files, {format_size(self._bytes)}: {_shortened(safe(path))}"
            if self._status is None:
                self._status = Console(file=self._output.err).status(Text(told))
                self._status.start()
            self._status.update(Text(told))


class _RateColumn(ProgressColumn):
    """In the same units as everything else here."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{format_size(speed)}/s", style="progress.data.speed")


def _bar_on(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), _RateColumn(),
        TimeRemainingColumn(compact=True), console=console, transient=True, refresh_per_second=5)


def _shortened(text: str) -> str:
    return text if len(text) <= LABEL_CHARS_MAX else "…" + text[-(LABEL_CHARS_MAX - 1):]
