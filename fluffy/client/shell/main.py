"""One table of commands, two ways in: once from the command line, or again and again in the REPL.

The composition root (`fluffy/apps/client.py`) gives `build_cli` a factory that knows where peers and token are; this
room knows neither settings nor processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import click

from fluffy import __version__
from fluffy.base.errors import FluffyError, QuerySyntax, StartRefused
from fluffy.base.later import later
from fluffy.client.shell.index import ROWS
from fluffy.client.shell.output import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_USAGE,
    exit_code_of,
)
from fluffy.client.shell.pipes import Pipe, PipeClosed, plan, run_stages
from fluffy.client.shell.session import ConnectOptions, ContextFactory, Session
from fluffy.client.shell.table import ShellCommand, ShellGroup
from fluffy.client.shell.words import split_pipeline, unmask

Repl = later("fluffy.client.shell.repl", "Repl")  # one command needs no prompt


def build_cli(context_factory: ContextFactory) -> ShellGroup:
    """All commands. The composition root may add its own (`up`, `down`) to the group."""
    group = ShellGroup(ROWS, context_factory, name="fluffy", invoke_without_command=True, params=[
        click.Option(["--json", "as_json"], is_flag=True, help="Answer with one JSON document."),
        click.Option(["--peer"], metavar="URL", help="Ask this peer first."),
        click.Option(["--token"], metavar="TOKEN", help="Who is asking; by default FLUFFY_TOKEN or the local admin."),
        click.Option(["--config"], metavar="FILE", help="Another config.yaml."),
        click.Option(["-c", "lines"], metavar="LINE", multiple=True,
                     help="Run this line as the session would: with its own quoting, patterns and pipes."),
        click.Option(["--upload"], metavar="FILE", multiple=True, help="Upload this file into your home folder."),
        click.Option(["--download"], metavar="PATH", multiple=True, help="Download this file into this folder."),
    ], help="Files in a Fluffy cluster. Without a command: a session with prompt, history and completion.")
    group.params.append(_version_option())

    @click.pass_context
    def begin(ctx: click.Context, as_json: bool, peer: str | None, token: str | None, config: str | None,
              lines: tuple[str, ...], upload: tuple[str, ...], download: tuple[str, ...]) -> Any:
        session = ctx.find_object(Session)
        if session is None:
            raise click.UsageError("run_command_line makes the session")
        session.connect_with(ConnectOptions(peer, token, Path(config) if config else None))
        ctx.with_resource(session.output.as_json(as_json))
        if upload or download:
            return _transfer_options(ctx, group, session, upload, download)
        if lines:
            ctx.exit(_run_given_lines(ctx, group, session, lines))
        if ctx.invoked_subcommand is None and not session.interactive:
            ctx.exit(int(Repl(group, session, run_line).run()))
        return None
    group.callback = begin
    return group


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            click.echo(f"fluffy {__version__}")
            ctx.exit()
    return click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show,
                        help="Show the version.")


def _transfer_options(ctx: click.Context, group: ShellGroup, session: Session, upload: tuple[str, ...],
                      download: tuple[str, ...]) -> None:
    """`--upload FILE` and `--download PATH`, as the systems before this one had them."""
    if ctx.invoked_subcommand is not None:
        raise click.UsageError("--upload and --download stand alone; otherwise use the commands of the same names")
    # `--` before the words, and the present folder after them: each of them is a file.
    for name, words in (("upload", upload), ("download", download)):
        command = group.get_command(ctx, name)
        if words and command is not None:
            last, tail = (["--to", f"/{session.user}/"], []) if name == "upload" else ([], ["."])
            with command.make_context(name, [*last, "--", *words, *tail], parent=ctx) as sub:
                command.invoke(sub)


def run_command_line(group: ShellGroup, arguments: Sequence[str], *, session: Session | None = None) -> int:
    """Run one command line (or, without a command, the REPL) and return the process's exit code."""
    if session is not None:
        return _run_in(group, arguments, session, prog_name="")
    session = Session(group.context_factory)
    try:
        return _run_in(group, arguments, session, prog_name="fluffy")
    finally:
        session.close()


def _run_given_lines(ctx: click.Context, group: ShellGroup, session: Session, lines: Sequence[str]) -> int:
    """`-c LINE`: until one fails."""
    if ctx.invoked_subcommand is not None:
        raise click.UsageError("-c stands alone: the whole command line is its value")
    session.splits_words = True
    for line in lines:
        code = run_line(group, line, session)
        if code or session.leaving:
            return code
    return EXIT_DONE


def run_line(group: ShellGroup, line: str, session: Session) -> int:
    """Run a typed line: one command, or several with pipes between them. The first failure's exit code."""
    return _guarded(session, False, lambda: _run_stages(group, split_pipeline(line), session))


def _run_stages(group: ShellGroup, stages: Sequence[Sequence[str]], session: Session) -> int:
    if len(stages) <= 1:
        return run_command_line(group, stages[0], session=session) if stages else EXIT_DONE
    specs = [group.spec_of(unmask(words[0])) for words in stages]
    # A name that is no command is told about by the one that runs it, before the others begin.
    for spec, words in zip(specs, stages, strict=True):
        if spec is None:
            return run_command_line(group, words, session=session)
    wanted = plan([(spec.name, spec.gives, spec.eats) for spec in specs if spec is not None])
    client = session.client  # connected once, before the threads begin

    def stage_of(words: Sequence[str]) -> Callable[[Pipe | None, Pipe | None], int]:
        return lambda feed, drain: run_command_line(group, words, session=session.stage(feed, drain))
    return run_stages([(words[0], stage_of(words)) for words in stages], wanted, client.interrupt)


def _run_in(group: ShellGroup, arguments: Sequence[str], session: Session, *, prog_name: str) -> int:
    def work() -> int:
        code = group.main(args=list(arguments), prog_name=prog_name, standalone_mode=False, obj=session)
        session.output.out.flush()
        return code if isinstance(code, int) else EXIT_DONE
    return _guarded(session, "--json" in arguments, work)


def _guarded(session: Session, as_json: bool, work: Callable[[], int]) -> int:
    """The exit code of `work`; what it raises is told about, as the command's end."""
    output = session.output
    try:
        return work()
    except FluffyError as error:
        with output.as_json(as_json):
            output.error(session.explained(error))
        is_usage = isinstance(error, StartRefused | QuerySyntax) and "status" not in error.facts
        return EXIT_USAGE if is_usage else exit_code_of(error)
    except click.ClickException as error:
        with output.as_json(as_json):
            output.wrong_usage(error.format_message(), _how_to(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.note("interrupted")
        return EXIT_INTERRUPTED
    except CancelledError:
        return EXIT_DONE  # a command before a pipe whose end is over; that one knows why
    except PipeClosed:
        return EXIT_DONE  # the next command has enough
    except BrokenPipeError:
        # Whoever read our output has gone; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_REFUSED


def _how_to(error: click.ClickException) -> str:
    """The line that would be right, where it is known."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is None or not isinstance(ctx.command, ShellCommand):
        return ""
    pieces = " ".join((ctx.command.name or "", *ctx.command.collect_usage_pieces(ctx)))
    return f"usage: {pieces}; 'help {ctx.command.name}' says more"


def run_repl(context_factory: ContextFactory, options: ConnectOptions | None = None) -> int:
    """The session with a prompt; returns the exit code."""
    session = Session(context_factory, options)
    try:
        return int(Repl(build_cli(context_factory), session, run_line).run())
    finally:
        session.close()
