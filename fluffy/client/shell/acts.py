"""What the commands share: doing one thing for each path, saying what was done, and asking before destroying."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from fluffy.base.errors import Conflict, FluffyError, FolderNotFound, IsFile, IsFolder, NotFound
from fluffy.base.later import later
from fluffy.base.units import format_size
from fluffy.client.retry import is_final
from fluffy.client.shell.output import EXIT_REFUSED, counted, error_document, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE
from fluffy.client.trees import TreeResult

prompt = later("prompt_toolkit", "prompt")  # many commands might ask, and few do

RECURSIVE = click.Option(["-r", "--recursive"], is_flag=True, help="Folders with all in them.")
FORCE = click.Option(["-f", "--force"], is_flag=True, help="Replace local files that are there already.")
YES = click.Option(["-y", "--yes"], is_flag=True, help="Do not ask; for scripts.")
DRY_RUN = click.Option(["-n", "--dry-run"], is_flag=True, help="Only say what would be done.")
GENERATION = click.Option(["--generation"], type=click.IntRange(1), metavar="N",
                          help="An older version instead of the present one.")
# Remote paths: one or more, and those that may come through a pipe instead (`session.paths`).
SOME_PATHS = click.Argument(["paths"], nargs=-1, required=True, type=REMOTE, metavar="PATH...")
PIPED_PATHS = click.Argument(["paths"], nargs=-1, type=REMOTE, metavar="[PATH...]")
PATHS = PIPED_PATHS


def run_each(session: Session, things: Iterable[Any], one: Callable[[Any], Mapping[str, Any]], *,
             name: Callable[[Any], str] = str, bare: bool = False) -> None:
    """Do `one` for each; a refusal does not stop the rest, and the exit code tells. Raises when out of reach.

    `bare`: the JSON for a single thing is its own document, not a list of one.
    """
    things = list(things)
    documents: list[Mapping[str, Any]] = []
    errors: list[Mapping[str, Any]] = []
    for thing in things:
        try:
            document = one(thing)
            documents.append(document)
            errors += document.get("errors", ())
        except FluffyError as error:
            _tell_in_words(error, name(thing))
            if not is_final(error) or len(things) == 1:
                raise
            errors.append({"path": name(thing), **error_document(error)["error"]})
            if not session.output.json:
                session.output.error(_named(error, name(thing)))
    if session.output.json and bare and len(things) == 1:
        session.output.document(documents[0])
    elif session.output.json:
        session.output.document({"files": documents, **({"errors": errors} if errors else {})})
    if errors:
        click.get_current_context().exit(EXIT_REFUSED)


def _tell_in_words(error: FluffyError, name: str) -> None:
    """Say what a server's sentence means for who types commands: the path, where it names none; an option, not HTTP."""
    options = {option for param in click.get_current_context().command.params for option in param.opts}
    if isinstance(error, IsFolder):
        about = str(error.facts.get("path", name))
        helps = "; say -r to take it with all in it" if about == name and "-r" in options else ""
        error.message = f"{about} is a folder{helps}"
    elif isinstance(error, FolderNotFound) and "-p" in options:
        error.message = f"{name}: the folder above it does not exist; say -p to make it, too"
    elif isinstance(error, NotFound | Conflict) and error.message == type(error).sentence:
        error.message = f"{name}: {error.message}"


def _named(error: FluffyError, name: str) -> FluffyError:
    """The error, saying whose it is: one of several."""
    return error if name in error.message else FluffyError(f"{name}: {error.message}", **error.facts)


def confirm(session: Session, question: str, *, yes: bool, undoable: bool = False) -> None:
    """Ask on a terminal; return when the answer is yes, end the command with 1 when it is no.

    Where nobody can be asked, what is `undoable` goes on, and anything else is wrong usage without `--yes`. A word that
    has no other meaning (`trash --empty`) counts as meant, too.
    """
    if yes:
        return
    if not session.can_ask or not sys.stdin.isatty():
        if undoable:
            return
        raise click.UsageError(f"{question} Nobody can be asked here: say --yes", click.get_current_context())
    try:
        answer = prompt(f"{safe(question)} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        session.output.note("nothing was done")
        click.get_current_context().exit(EXIT_REFUSED)


def say(session: Session, did: str, path: str, more: str = "") -> None:
    """A line like `moved /a to /b (1.2 MiB)`; nothing with --json."""
    if not session.output.json:
        session.output.line(f"{did} {safe(path)}" + (f" ({more})" if more else ""))


def would(session: Session, do: str, path: str, more: str = "", *, to: str | None = None,
          **facts: Any) -> Mapping[str, Any]:
    """For --dry-run: the line and the document."""
    say(session, f"would {do}", path if to is None else f"{path} to {to}", more)
    return {"path": path, "dry_run": True, "would": do, **({} if to is None else {"to": to}), **facts}


def is_remote_folder(session: Session, path: str) -> bool:
    """Whether a folder (or bucket, or the root) stands at the absolute `path`."""
    if path == "/":
        return True
    try:
        session.client.ls_page(path, limit=1)
    except (NotFound, IsFile):
        return False
    return True


def tree_document(session: Session, did: str, path: str, result: TreeResult) -> Mapping[str, Any]:
    """What became of a whole folder: said, and as a document."""
    errors = [{"path": name, **error_document(error)["error"]} for name, error in result.failures]
    if not session.output.json:
        for _, error in result.failures:
            session.output.error(error)
        session.output.line(f"{did} {counted(result.files, 'file')} ({format_size(result.bytes)}): {safe(path)}")
    return {"path": path, "files": result.files, "bytes": result.bytes, **({"errors": errors} if errors else {})}
