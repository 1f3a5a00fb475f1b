"""The table of commands: one list for the REPL, for one-shot commands, for `help`, and for completion.

A row is a `click` command with its group, its other names and its examples.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from fluffy.base.errors import QuerySyntax
from fluffy.client.shell.index import Row
from fluffy.client.shell.pipes import Eats, Gives
from fluffy.client.shell.session import ConnectOptions, ContextFactory, Session
from fluffy.client.shell.words import split_place, unmask

Takes = Literal["remote", "folder", "local", "local-then-remote", "remote-then-local", "command", "nothing"]
GROUPS = ("files", "folders", "sync", "safety", "cluster", "federation", "people", "session", "machine")


@dataclass(frozen=True, slots=True)
class Example:
    line: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Spec:
    """A row. `takes`: what its words are, for completion.

    `gives` and `eats`: what it may write into a pipe, and what it reads from one.
    """

    name: str
    group: str
    command: click.Command
    aliases: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    takes: Takes = "nothing"
    gives: Gives = "text"
    eats: Eats = "nothing"


class RemoteWord(click.types.StringParamType):
    """A remote path or pattern; kept masked until the session gives it its meaning."""

    name = "remote path"


class LocalWord(click.types.StringParamType):
    """A local path or pattern; kept masked until the session gives it its meaning."""

    name = "local path"


REMOTE = RemoteWord()
LOCAL = LocalWord()
COMMON_OPTIONS = ("--json", "--lock", "--peer", "--token", "--config", "--help")


class ShellCommand(click.Command):
    """A command with the common options, which may stand after it, and with examples in its help."""

    spec: Spec | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Answer with one JSON document."),
            click.Option(["--lock", "common_lock"], metavar="TOKEN", help="Write under this lock.", hidden=True),
            click.Option(["--peer", "common_peer"], metavar="URL", help="Ask this peer first.", hidden=True),
            click.Option(["--token", "common_token"], metavar="TOKEN", help="Who is asking.", hidden=True),
            click.Option(["--config", "common_config"], metavar="FILE", help="Another config.yaml.", hidden=True),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.obj
        if not isinstance(session, Session):
            raise click.UsageError("this command needs a session")
        given = ctx.params
        peer, token, config = given.pop("common_peer"), given.pop("common_token"), given.pop("common_config")
        as_json, session.lock_given = given.pop("as_json"), given.pop("common_lock")
        for param in self.params:
            if param.name in given and not isinstance(param.type, RemoteWord | LocalWord):
                given[param.name] = _unmasked(given[param.name])
        with session.output.as_json(as_json):
            session.connect_with(ConnectOptions(peer, token, Path(config) if config else None))
            ctx.obj = self._diverted(session, given)
            return super().invoke(ctx)

    def _diverted(self, session: Session, given: dict[str, Any]) -> Session:
        """The session of the cluster that the paths name (`beta:/docs`), which are then paths of that one.

        Raises QuerySyntax when a command that works in one cluster was given paths of several.
        """
        places = [(param.name, isinstance(param.type, RemoteWord)) for param in self.params
                  if param.name in given and isinstance(param.type, RemoteWord | LocalWord)]
        words = [(word, is_remote) for name, is_remote in places for word in _words(given[name])
                 if is_remote or not Path(unmask(word)).exists()]
        clusters = {split_place(word)[0] for word, _ in words} - {None}
        if not clusters:
            return session
        is_mixed = len(clusters) > 1 or (self.spec is not None and self.spec.takes in ("remote", "folder") and any(
            split_place(word)[0] is None for word, is_remote in words if is_remote))
        if is_mixed and self.name == "cp":
            return session
        if is_mixed:
            raise QuerySyntax("the paths of one command lie in one cluster; 'cp' copies between clusters")
        for name, _ in places:
            value = given[name]
            given[name] = _bare(value) if isinstance(value, str) else (
                tuple(map(_bare, value)) if isinstance(value, tuple) else value)
        return session.elsewhere(str(clusters.pop()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.spec is not None and self.spec.examples:
            with formatter.section("Examples"):
                formatter.write_dl([(example.line, example.meaning) for example in self.spec.examples])


def _words(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, tuple) else ()


def _bare(word: str) -> str:
    return split_place(word)[1]


def _unmasked(value: Any) -> Any:
    if isinstance(value, str):
        return unmask(value)
    if isinstance(value, tuple):
        return tuple(_unmasked(item) for item in value)
    return value


def row(group: str, *, takes: Takes = "nothing", aliases: Sequence[str] = (),
        examples: Sequence[tuple[str, str]] = (), params: Sequence[click.Parameter] = (),
        name: str | None = None, gives: Gives = "text", eats: Eats = "nothing") -> Callable[[Callable[..., Any]], Spec]:
    """Make a row of a function `(session, **params)`; its docstring is the help, its first line the summary."""
    def make(function: Callable[..., Any]) -> Spec:
        def callback(**given: Any) -> Any:
            return function(click.get_current_context().obj, **given)
        command = ShellCommand(name or function.__name__.removesuffix("_command"), callback=callback,
                               params=list(params), help=function.__doc__)
        shown = tuple(Example(*pair) for pair in examples)
        spec = Spec(command.name or "", group, command, tuple(aliases), shown, takes, gives=gives, eats=eats)
        command.spec = spec
        return spec
    return make


class ShellGroup(click.Group):
    """All commands; other names lead to the same row, and a mistyped one to the nearest.

    A command's module is loaded when the command is first asked for.
    """

    def __init__(self, rows: Iterable[Row], context_factory: ContextFactory, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context_factory = context_factory
        self.rows: dict[str, Row] = {}
        self._others: dict[str, str] = {}
        self._loaded: dict[str, Spec] = {}
        for row in rows:
            self.add_row(row)

    def add_row(self, row: Row) -> None:
        self.rows[row.name] = row
        for alias in row.aliases:
            self._others[alias] = row.name

    def take_over(self, name: str, module: str) -> None:
        """Another module has this command, with more in it."""
        self.rows[name] = replace(self.rows[name], module=module)

    @property
    def names(self) -> tuple[str, ...]:
        """All names and other names, sorted."""
        return tuple(sorted({*self.rows, *self._others}))

    @property
    def specs(self) -> Mapping[str, Spec]:
        """All of them, loaded, in the order of the table."""
        return MappingProxyType({name: self._spec(row) for name, row in self.rows.items()})

    def row_of(self, name: str) -> Row | None:
        return self.rows.get(self._others.get(name, name))

    def spec_of(self, name: str) -> Spec | None:
        row = self.row_of(name)
        return None if row is None else self._spec(row)

    def _spec(self, row: Row) -> Spec:
        spec = self._loaded.get(row.name)
        if spec is None:
            spec = next(one for one in import_module(row.module).SPECS if one.name == row.name)
            self._loaded[row.name] = spec
        return spec

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.rows)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By group, with other names, as `help` lists them."""
        for group in GROUPS:
            rows = [(", ".join((row.name, *row.aliases)), row.summary)
                    for row in self.rows.values() if row.group == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The user's own shell asks for what may stand here."""
        names = [CompletionItem(name, help=row.summary) for name, row in sorted(self.rows.items())
                 if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        spec = self.spec_of(cmd_name)
        return None if spec is None else spec.command

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = unmask(args[0])
        if self.row_of(name) is None:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "'help' lists all"
            raise click.UsageError(f"there is no command '{name}'; {hint}")
        return super().resolve_command(ctx, [name, *args[1:]])
