"""The commands about folders and places: where one is, making and removing folders, moving and copying."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import click

from fluffy.base.errors import AlreadyExists, FluffyError, IsFolder, NotFound
from fluffy.client.shell.acts import DRY_RUN, PIPED_PATHS, SOME_PATHS, is_remote_folder, run_each, say, would
from fluffy.client.shell.elsewhere import copy_between, is_between
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row
from fluffy.client.shell.words import unmask

REPLACE = click.Option(["-f", "--force"], is_flag=True, help="A file that stands at the new place goes to the trash.")
WORDS = click.Argument(["words"], nargs=-1, required=True, type=REMOTE, metavar="SOURCE... PLACE")


@row("folders", examples=(("pwd", "where relative paths begin"),))
def pwd(session: Session) -> None:
    """Show the present remote folder."""
    if session.output.json:
        session.output.document({"path": session.cwd})
    else:
        session.output.line(session.cwd if session.output.paths_wanted else safe(session.cwd))


@row("folders", takes="folder", params=(click.Argument(["path"], required=False, type=REMOTE),), examples=(
    ("cd docs", "into a folder"), ("cd ..", "one up"), ("cd", "home; so is 'cd ~'"), ("cd ~alice", "alice's home"),
    ("cd -", "where you were before")))
def cd(session: Session, path: str | None) -> None:
    """Change the present remote folder; without a path, go home."""
    if path == "-":
        target = session.previous or session.cwd
    else:
        target = session.single("~" if path is None else path)
    if target != "/":
        session.client.ls_page(target, limit=1)  # raises when it is no folder
    session.change_folder(target)
    if session.output.json:
        session.output.document({"path": target})
    elif path == "-":
        session.output.line(safe(target))


@row("folders", takes="folder", params=(
    SOME_PATHS,
    click.Option(["-p", "--parents"], is_flag=True, help="Also the folders above; no error when it is there."),
), examples=(("mkdir docs", "a folder"), ("mkdir -p a/b/c", "with those above it"), ("mkdir /photos", "a bucket")))
def mkdir(session: Session, paths: tuple[str, ...], parents: bool) -> None:
    """Make folders; with a single name below /, a bucket."""
    def one(path: str) -> Mapping[str, Any]:
        document = session.client.mkdir(path, parents=parents, lock=session.lock_for(path))
        say(session, "made", path)
        return document
    run_each(session, [session.place(path) for path in paths], one)


@row("folders", takes="folder", eats="paths", params=(PIPED_PATHS, DRY_RUN),
     examples=(("rmdir docs", "must be empty; see also 'rm -r'"), ("rmdir -n old*", "which would be removed")))
def rmdir(session: Session, paths: tuple[str, ...], dry_run: bool) -> None:
    """Remove empty folders."""
    def one(path: str) -> Mapping[str, Any]:
        if path == "/":
            raise NotFound("the root is not a folder that can be removed")
        if dry_run:
            session.client.ls_page(path, limit=1)
            return would(session, "remove", path)
        document = session.client.rmdir(path, lock=session.lock_for(path))
        say(session, "removed", path)
        return document
    run_each(session, session.paths(paths), one)


@row("folders", takes="remote", eats="paths", params=(WORDS, REPLACE, DRY_RUN), examples=(
    ("mv draft.txt final.txt", "another name"), ("mv *.jpg photos/", "several into a folder"),
    ("mv docs /archive/2026", "a folder with all in it, in one step"),
    ("mv -f new.txt old.txt", "in the other's place"),
    ("find . -name '*.log' | mv logs/", "what another command finds")))
def mv(session: Session, words: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Move or rename files and folders. Into PLACE when that is a folder or ends in /, else to that name.

    Each is moved in one step, whatever its size. Missing folders above PLACE are made.
    """
    def one(pair: tuple[str, str]) -> Mapping[str, Any]:
        source, target = pair
        if dry_run:
            session.client.info(source)
            return would(session, "move", source, to=target)
        try:
            lock = session.lock_for(source) or session.lock_for(target)
            document = session.client.move(source, target, overwrite=force, lock=lock)
        except (AlreadyExists, IsFolder) as error:
            raise _say_force(error, target, force) from error
        say(session, "moved", f"{source} to {target}")
        return document
    run_each(session, _targets(session, words), one, name=lambda pair: pair[0])


@row("folders", takes="remote", eats="paths", params=(
    WORDS, click.Option(["-r", "--recursive"], is_flag=True, help="Folders with all in them."), REPLACE,
    click.Option(["--generation"], type=click.IntRange(1), metavar="N", help="An older version of the file."), DRY_RUN,
), examples=(
    ("cp report.txt copy.txt", "no bytes are copied: both share them"),
    ("cp -r docs /backup/docs", "a folder, in one step"),
    ("cp --generation 2 notes.txt notes-old.txt", "an older version as a file of its own"),
    ("search '*.pdf' | cp papers/", "what another command finds"),
    ("cp -r docs beta:/bob/docs", "to another cluster; between any two: cp alpha:/a beta:/b")))
def cp(session: Session, words: tuple[str, ...], recursive: bool, force: bool, generation: int | None,
       dry_run: bool) -> None:
    """Copy files and, with -r, folders. Into PLACE when that is a folder or ends in /, else to that name."""
    if is_between(words):
        copy_between(session, words, recursive=recursive, force=force)
        return

    def one(pair: tuple[str, str]) -> Mapping[str, Any]:
        source, target = pair
        if not recursive and is_remote_folder(session, source):
            raise IsFolder(path=source)
        if dry_run:
            session.client.info(source)
            return would(session, "copy", source, to=target)
        try:
            document = session.client.copy(source, target, overwrite=force, generation=generation,
                                           lock=session.lock_for(target))
        except (AlreadyExists, IsFolder) as error:
            raise _say_force(error, target, force) from error
        say(session, "copied", f"{source} to {target}")
        return document
    run_each(session, _targets(session, words), one, name=lambda pair: pair[0])


def _targets(session: Session, words: tuple[str, ...]) -> list[tuple[str, str]]:
    """(what, to where) for each. Raises UsageError when a word is missing."""
    if session.feed is not None and len(words) == 1:
        sources = session.feed.paths()
        many = True
    elif len(words) < 2:
        raise click.UsageError("name what to take and where to put it", click.get_current_context())
    else:
        sources = session.paths(words[:-1])
        many = len(sources) > 1
    place = session.place(words[-1])
    into = many or unmask(words[-1]).endswith("/") or is_remote_folder(session, place)
    return [(source, posixpath.join(place, posixpath.basename(source)) if into else place) for source in sources]


def _say_force(error: FluffyError, target: str, force: bool) -> FluffyError:
    """What stands there, and that `-f` would replace it where it would."""
    if force or isinstance(error, IsFolder):
        return error
    return AlreadyExists(f"there is something at {target} already; -f puts it into the trash", **error.facts)


SPECS: tuple[Spec, ...] = (pwd, cd, mkdir, rmdir, mv, cp)
