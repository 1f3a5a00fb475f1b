"""What Tab offers: commands, their options, remote paths and local paths, quoted so that they can be typed on.

Completion is a courtesy: what cannot be found out is not offered, and never an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import click
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from fluffy.base.errors import FluffyError
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import ShellGroup, Takes
from fluffy.client.shell.words import LastWord, quote_word, split_unfinished

# A menu longer than this helps nobody.
OFFERS_MAX = 200


class ShellCompleter(Completer):
    """For the REPL's prompt. Called in a thread (it asks the cluster)."""

    def __init__(self, group: ShellGroup, session: Session) -> None:
        self._group = group
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        line = document.text_before_cursor
        try:
            last = split_unfinished(line)
        except FluffyError:
            return
        for number, (text, shown, kind) in enumerate(self._offers(last)):
            if number >= OFFERS_MAX:
                return
            # A folder is typed on, anything else is finished.
            closing = "" if text.endswith("/") else " "
            yield Completion(quote_word(text) + closing, last.start - len(line), display=shown, display_meta=kind)

    def _offers(self, last: LastWord) -> Iterator[tuple[str, str, str]]:
        """(text, how it is shown, what it is)"""
        if not last.words_before:
            yield from self._commands(last.text)
            return
        spec = self._group.spec_of(last.words_before[0])
        if spec is None:
            return
        if last.text.startswith("-"):
            yield from _options(spec.command, last.text)
            return
        words = [word for word in last.words_before[1:] if not word.startswith("-")]
        for kind in _kinds(spec.takes, len(words)):
            if kind == "command":
                yield from self._commands(last.text)
            elif kind == "local":
                yield from _local_paths(last.text)
            else:
                yield from self._remote_paths(last.text, folders_only=kind == "folder")

    def _commands(self, prefix: str) -> Iterator[tuple[str, str, str]]:
        for name in self._group.names:
            row = self._group.row_of(name)
            if name.startswith(prefix):
                yield name, name, row.group if row is not None else ""

    def _remote_paths(self, text: str, *, folders_only: bool) -> Iterator[tuple[str, str, str]]:
        folder, slash, prefix = text.rpartition("/")
        base = folder + slash
        try:
            page = self._session.client.ls_page(self._session.path(base or "."))
        except FluffyError:
            return
        for entry in page.entries:
            hidden = entry.name.startswith(".") and not prefix.startswith(".")
            if entry.name.startswith(prefix) and not hidden and (entry.is_folder or not folders_only):
                tail = "/" if entry.is_folder else ""
                yield base + entry.name + tail, safe(entry.name) + tail, "remote"


def _kinds(takes: Takes, words_before: int) -> tuple[str, ...]:
    match takes:
        case "local-then-remote":
            return ("local",) if words_before == 0 else ("remote", "local")
        case "remote-then-local":
            return ("remote",) if words_before == 0 else ("local", "remote")
        case "nothing":
            return ()
        case _:
            return (takes,)


def _options(command: click.Command, prefix: str) -> Iterator[tuple[str, str, str]]:
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            for name in param.opts:
                if name.startswith(prefix):
                    yield name, name, (param.help or "")[:60]


def _local_paths(text: str) -> Iterator[tuple[str, str, str]]:
    folder, slash, prefix = text.rpartition("/")
    base = folder + slash
    try:
        with os.scandir(os.path.expanduser(base) or ".") as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
    except OSError:
        return
    for name, is_folder in entries:
        if name.startswith(prefix) and (prefix.startswith(".") or not name.startswith(".")):
            tail = "/" if is_folder else ""
            yield base + name + tail, safe(name) + tail, "local"
