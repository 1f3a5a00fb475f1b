"""The REPL: a prompt like `admin@alpha:/admin> `, and each line one command of the table.

Ctrl-C ends the running command, or clears the line, and keeps the session; Ctrl-D leaves. When standard input is no
terminal, its lines are run one after the other without a prompt, and the exit code is that of the last one that failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.styles import Style

from fluffy.base.errors import FluffyError
from fluffy.client.credentials import user_state_folder
from fluffy.client.shell.completion import ShellCompleter
from fluffy.client.shell.output import EXIT_DONE, exit_code_of, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import ShellGroup

RunLine = Callable[[ShellGroup, str, Session], int]

_STYLE = Style.from_dict({"who": "ansigreen bold", "path": "ansiblue bold"})


class Repl:
    """One session with a prompt. `run_line` runs one line (`main.run_line`)."""

    def __init__(self, group: ShellGroup, session: Session, run_line: RunLine) -> None:
        self._group = group
        self._session = session
        self._line = run_line
        session.interactive = session.splits_words = True

    def run(self) -> int:
        """Until the user leaves. 3 when no peer can be reached at the start."""
        try:
            cwd = self._session.cwd
        except FluffyError as error:
            self._session.output.error(self._session.explained(error))
            return exit_code_of(error)
        if not sys.stdin.isatty():
            return self._run_lines(sys.stdin)
        self._greet(cwd)
        prompt: PromptSession[str] = PromptSession(
            history=open_history(os.environ), completer=ShellCompleter(self._group, self._session),
            complete_while_typing=False, complete_in_thread=True, style=_STYLE)
        session = self._session
        while not session.leaving:
            try:
                line = prompt.prompt(self._prompt)
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
            try:
                self._run_line(line)
            except KeyboardInterrupt:  # between two commands, where nobody else takes it
                session.output.note("interrupted")
            session.output.end_line()
        return EXIT_DONE

    def _greet(self, cwd: str) -> None:
        session = self._session
        session.output.line(f"cluster {safe(session.cluster)} at {session.client.peer}; you are {safe(session.user)} "
                            f"in {safe(cwd)}. 'help' lists the commands, Ctrl-D leaves.")

    def _prompt(self) -> FormattedText:
        session = self._session
        return FormattedText([("class:who", f"{safe(session.user)}@{safe(session.cluster)}"), ("", ":"),
                ("class:path", safe(session.cwd)), ("", "> ")])

    def _run_lines(self, lines: Iterable[str]) -> int:
        worst = EXIT_DONE
        for line in lines:
            worst = self._run_line(line.rstrip("\n")) or worst
            if self._session.leaving:
                break
        return worst

    def _run_line(self, line: str) -> int:
        return self._line(self._group, line, self._session)


def open_history(environ: Mapping[str, str]) -> History:
    """`$XDG_STATE_HOME/fluffy/history` (by default below ~/.local/state), for its owner only; else in memory."""
    file = user_state_folder(environ) / "history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError:
        return InMemoryHistory()  # a read-only home: the session remembers its own lines, and that is all
    return FileHistory(str(file))
