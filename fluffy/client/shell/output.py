"""What the shell says, and how: for people in words and colours, for programs as one JSON document a command.

Names come from other people: control characters in them are shown escaped, so that a file's name cannot move the
cursor or colour the screen. Colours only on a terminal, and not when `NO_COLOR` is set. Results go to standard
output, everything about the way there (retries, warnings, errors) to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

import click

from fluffy.base.errors import DiskFull, FluffyError

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_OUT_OF_REACH = 3
EXIT_INTERRUPTED = 130



def safe(text: str) -> str:
    """`text` with everything that is no printable character or plain space written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def to_json(value: Any) -> str:
    """One line, ASCII only: safe on every terminal and pipe."""
    return json.dumps(value, default=_jsonable)


def _jsonable(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def exit_code_of(error: FluffyError) -> int:
    """3 when asking again later can help and a person or script should; 1 when the answer was no."""
    final = error.facts.get("retry", error.retry) == "never" or isinstance(error, DiskFull)
    return EXIT_REFUSED if final else EXIT_OUT_OF_REACH


def error_document(error: FluffyError) -> dict[str, Any]:
    """The same shape as the servers' errors."""
    facts = {key: value for key, value in error.facts.items() if key not in ("code", "message")}
    return {"error": {"code": error.code(), "message": error.message, "retry": error.retry, **facts}}


class Output:
    """Where one session writes. `json` is set while a command runs that was given `--json`.

    `paths_wanted`: the output goes through a pipe to a command that eats paths: one absolute path a line, nothing else.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, *, paths_wanted: bool = False) -> None:
        self._out = out
        self._err = err
        self.json = False
        self.paths_wanted = paths_wanted
        self._open_line = False

    # The streams are looked up at each use: tests and pagers change sys.stdout.
    @property
    def out(self) -> TextIO:
        return self._out or sys.stdout

    @property
    def err(self) -> TextIO:
        return self._err or sys.stderr

    @property
    def is_terminal(self) -> bool:
        return self.out.isatty()

    @property
    def can_animate(self) -> bool:
        """Whether progress bars make sense: somebody looks at standard error."""
        return self.err.isatty() and not self.json and os.environ.get("TERM") != "dumb"

    def style(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        if not self.is_terminal or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return text
        return click.style(text, fg=colour, bold=bold or None)

    def line(self, text: str = "") -> None:
        """A line of result for people. Text must be `safe` already."""
        self.out.write(text + "\n")
        self._open_line = False

    def write_bytes(self, block: bytes) -> None:
        """Bytes of result as they are."""
        self.out.flush()
        self.out.buffer.write(block)
        self.out.buffer.flush()
        if block:
            self._open_line = not block.endswith(b"\n")

    def end_line(self) -> None:
        """Bytes may have left the cursor in the middle of a line: on a terminal, go to the next one."""
        if self._open_line and self.is_terminal:
            self.line()

    def document(self, value: Mapping[str, Any]) -> None:
        """The result for programs."""
        self.out.write(to_json(value) + "\n")

    def stream(self, key: str, values: Iterable[Mapping[str, Any]]) -> None:
        """One document `{key: [...]}` for programs, written as its elements come.

        What fails before the first element is raised. What fails later ends the document with an `error` of its own,
        and the command.
        """
        waiting = iter(values)
        value = next(waiting, None)
        self.out.write("{" + to_json(key) + ": [")
        try:
            number = 0
            while value is not None:
                self.out.write((",\n " if number else "\n ") + to_json(value))
                number += 1
                value = next(waiting, None)
        except FluffyError as error:
            self.out.write("],\n " + to_json(error_document(error))[1:] + "\n")
            raise click.exceptions.Exit(exit_code_of(error)) from error
        self.out.write("]}\n")

    def note(self, text: str) -> None:
        """Something on the way, for people."""
        self.err.write(self._on_err(safe(text), "yellow") + "\n")
        self.err.flush()

    def error(self, error: FluffyError) -> None:
        """The end of a command that failed."""
        if self.json:
            self.document(error_document(error))
        else:
            self.err.write(self._on_err("error: ", "red") + safe(error.message) + "\n")
            self.err.flush()

    def wrong_usage(self, message: str, hint: str) -> None:
        """A command line that cannot be understood. One line, whatever the message's own breaks are."""
        message = " ".join(message.split())
        if self.json:
            self.document({"error": {"code": "UsageWrong", "message": message, "retry": "never"}})
            return
        self.err.write(self._on_err("error: ", "red") + safe(message) + "\n" + (safe(hint) + "\n" if hint else ""))
        self.err.flush()

    def _on_err(self, text: str, colour: str) -> str:
        plain = not self.err.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return text if plain else click.style(text, fg=colour)

    @contextmanager
    def as_json(self, wanted: bool) -> Iterator[None]:
        before, self.json = self.json, (self.json or wanted) and not self.paths_wanted
        try:
            yield
        finally:
            self.json = before
            self.out.flush()
