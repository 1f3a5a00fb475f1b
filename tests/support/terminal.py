"""A real terminal for tests: tmux runs the program, we type keys and read the screen, as a person does.

The tmux server is one of our own (a socket in the test's folder), without anybody's configuration. What a person would
wait for is waited for: a text on the screen, or the prompt.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HAS_TMUX = shutil.which("tmux") is not None
SCREEN_TIMEOUT_S = 30.0
POLL_S = 0.03
COLUMNS, ROWS = 100, 40
PROMPT = re.compile(r"^[^\s@]+@[^\s:]+:/[^>]*>(?: |$)")


class ScreenFailed(AssertionError):
    """What was waited for did not appear; carries the screen."""


class Terminal:
    """A program in a terminal of its own. `close()` ends both."""

    def __init__(self, folder: Path, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._socket = folder / "tmux.sock"
        given = [part for key, value in env.items() for part in ("-e", f"{key}={value}")]
        # Lines that scroll away are kept: a listing may be longer than the screen.
        self._tmux("-f", "/dev/null", "set-option", "-g", "history-limit", "10000", ";", "set-option", "-g", "status",
                   "off", ";", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(cwd), *given,
                   shlex.join(command))
        self._prompts = 0

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", str(self._socket), *arguments], capture_output=True, text=True,
                              timeout=SCREEN_TIMEOUT_S, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=False)
        if done.returncode:
            raise ScreenFailed(f"tmux {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def close(self) -> None:
        self._tmux("kill-server")

    def type(self, text: str) -> None:
        """Characters, as they are."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: Enter, Tab, C-c."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int = ROWS) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))
        # tmux tells the program a while after its own grid has changed.
        tty = os.open(self._tmux("display-message", "-p", "#{pane_tty}").strip(), os.O_RDONLY | os.O_NOCTTY)
        try:
            self.wait(lambda _: os.get_terminal_size(tty).columns == columns, f"{columns} columns")
        finally:
            os.close(tty)

    def lines(self) -> list[str]:
        """Everything since the start, also what has scrolled away; wrapped lines joined."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p", "-J", "-S", "-").rstrip().split("\n")]

    def wait(self, holds: Callable[[list[str]], bool], what: str) -> list[str]:
        until_s = time.monotonic() + SCREEN_TIMEOUT_S
        while True:
            lines = self.lines()
            if holds(lines):
                return lines
            if time.monotonic() > until_s:
                raise ScreenFailed(f"not on the screen: {what}\n" + "\n".join(lines[-ROWS:]))
            time.sleep(POLL_S)

    def wait_for_text(self, pattern: str) -> None:
        """Since the last prompt: what a question or a completion shows."""
        wanted = re.compile(pattern)

        def is_there(lines: list[str]) -> bool:
            last = max(number for number, line in enumerate(lines) if PROMPT.match(line))
            return any(wanted.search(line) for line in lines[last:])
        self.wait(is_there, pattern)

    def wait_for_prompt(self) -> list[str]:
        """A new prompt with nothing behind it; what stands between the one before and it, that one included."""
        def is_there(lines: list[str]) -> bool:
            found = [number for number, line in enumerate(lines) if PROMPT.match(line)]
            return len(found) > self._prompts and found[-1] == len(lines) - 1 and (
                PROMPT.sub("", lines[-1]) == "")
        lines = self.wait(is_there, "the prompt")
        found = [number for number, line in enumerate(lines) if PROMPT.match(line)]
        begin = found[self._prompts - 1] if self._prompts else 0
        self._prompts = len(found)
        return lines[begin:-1]
