"""`help` and `exit`."""

from __future__ import annotations

import inspect
from typing import Any

import click

from fluffy.base.errors import NotFound
from fluffy.client.shell.index import Row
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import GROUPS, ShellGroup, Spec, row


@row("session", takes="command", name="help", params=(click.Argument(["command"], required=False),), examples=(
    ("help", "all commands"), ("help upload", "one command, with examples")))
def help_command(session: Session, command: str | None) -> None:
    """Show all commands, or one with its options and examples."""
    ctx = click.get_current_context()
    top = ctx.find_root()
    group = top.command
    assert isinstance(group, ShellGroup)
    if command is not None:
        found = group.get_command(top, command)
        if found is None:
            raise NotFound(f"there is no command '{command}'; 'help' lists all")
        shown_row, spec = group.row_of(command), group.spec_of(command)
        if session.output.json and shown_row is not None and spec is not None:
            session.output.document({**_row_document(shown_row), **_spec_document(spec)})
            return
        shown = click.Context(found, info_name=command, parent=_shown_parent(ctx, session))
        session.output.line(found.get_help(shown))
        return
    if session.output.json:
        session.output.document({"commands": [_row_document(one) for one in group.rows.values()]})
        return
    for line in help_lines(group):
        session.output.line(session.output.style(line, bold=True) if line.endswith(":") else line)


def _row_document(shown: Row) -> dict[str, Any]:
    return {"name": shown.name, "aliases": list(shown.aliases), "group": shown.group, "available": True,
            "summary": shown.summary}


def _spec_document(spec: Spec) -> dict[str, Any]:
    return {"help": inspect.cleandoc(spec.command.help or ""), "eats": spec.eats, "gives": spec.gives,
            "options": [{"names": list(option.opts), "help": option.help} for option in _options(spec)],
            "examples": [{"line": example.line, "meaning": example.meaning} for example in spec.examples]}


def _options(spec: Spec) -> list[click.Option]:
    return [param for param in spec.command.params if isinstance(param, click.Option) and not param.hidden]


def _shown_parent(ctx: click.Context, session: Session) -> click.Context | None:
    """In a session a command is typed without `fluffy` before it."""
    return None if session.interactive else ctx.find_root()


def help_lines(group: ShellGroup) -> list[str]:
    """The whole table, by group."""
    lines: list[str] = []
    shown = group.rows.values()
    for name in (*GROUPS, *sorted({one.group for one in shown} - set(GROUPS))):
        rows = [one for one in shown if one.group == name]
        if rows:
            lines.append(f"{name}:")
        lines += [f"  {', '.join((one.name, *one.aliases)):<16} {one.summary}" for one in rows]
    lines.append("'help COMMAND' shows options and examples.")
    return lines


def command_table(group: ShellGroup) -> list[str]:
    """All commands, as a Markdown table."""
    lines = ["| group | command | what it does | from a pipe | into a pipe |", "|---|---|---|---|---|"]
    for spec in _by_group(group):
        names = ", ".join(f"`{name}`" for name in (spec.name, *spec.aliases))
        eats = "" if spec.eats == "nothing" else spec.eats
        summary = _escaped(group.rows[spec.name].summary)
        lines.append(f"| {spec.group} | {names} | {summary} | {eats} | {_gives(spec)} |")
    return lines


def command_pages(group: ShellGroup) -> list[str]:
    """Each command with its options and examples, in Markdown, like pages of a manual."""
    lines: list[str] = []
    for spec in _by_group(group):
        ctx = click.Context(spec.command, info_name=spec.name)
        pieces = " ".join((spec.name, *spec.command.collect_usage_pieces(ctx)))
        lines += [f"### {spec.name}", "", f"`{pieces}`"]
        if spec.aliases:
            lines[-1] += " · also " + ", ".join(f"`{alias}`" for alias in spec.aliases)
        lines += ["", _escaped(inspect.cleandoc(spec.command.help or "")), ""]
        options = [option for option in _options(spec) if option.name != "as_json"]
        lines += [f"- {_option_names(option)}: {_escaped(option.help or '')}" for option in options]
        lines += [""] if options else []
        if spec.examples:
            width = max(len(example.line) for example in spec.examples) + 2
            lines += ["```text", *(f"{example.line.ljust(width)}# {example.meaning}" for example in spec.examples),
                      "```", ""]
    return lines[:-1]


def _by_group(group: ShellGroup) -> list[Spec]:
    return sorted(group.specs.values(), key=lambda spec: (GROUPS.index(spec.group), spec.name))


def _gives(spec: Spec) -> str:
    return {"same": "what came in", "paths": "paths", "text": "text"}[spec.gives]


def _option_names(option: click.Option) -> str:
    value = "" if option.is_flag else " " + (option.metavar or _metavar_of(option))
    return ", ".join(f"`{name}`" for name in option.opts) + (f" `{value.strip()}`" if value else "")


def _metavar_of(option: click.Option) -> str:
    return "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else "N"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


@row("session", name="exit", aliases=("quit",), examples=(("exit", "or Ctrl-D"),))
def exit_command(session: Session) -> None:
    """Leave the session."""
    session.leaving = True


SPECS: tuple[Spec, ...] = (help_command, exit_command)
