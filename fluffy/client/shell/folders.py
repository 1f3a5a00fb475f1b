"""The commands about folders: where one is, and making and removing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from fluffy.base.errors import NotFound, QuerySyntax
from fluffy.client.shell.files import run_each
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row


@row("folders", examples=(("pwd", "where relative paths begin"),))
def pwd(session: Session) -> None:
    """Show the present remote folder."""
    if session.output.json:
        session.output.document({"path": session.cwd})
    else:
        session.output.line(safe(session.cwd))


@row("folders", takes="folder", params=(click.Argument(["path"], required=False, type=REMOTE),), examples=(
    ("cd docs", "into a folder"), ("cd ..", "one up"), ("cd", "home"), ("cd -", "where you were before")))
def cd(session: Session, path: str | None) -> None:
    """Change the present remote folder; without a path, go home."""
    if path == "-":
        target = session.previous or session.cwd
    elif path is None:
        target = f"/{session.user}"
    else:
        found = session.remote([path])
        if len(found) != 1:
            raise QuerySyntax(f"that fits {len(found)} paths; name one folder")
        target = found[0]
    if target != "/":
        session.client.ls_page(target, limit=1)  # raises when it is no folder
    session.change_folder(target)
    if session.output.json:
        session.output.document({"path": target})


@row("folders", takes="folder", params=(
    click.Argument(["paths"], nargs=-1, required=True, type=REMOTE),
    click.Option(["-p", "--parents"], is_flag=True, help="Also the folders above; no error when it is there."),
), examples=(("mkdir docs", "a folder"), ("mkdir -p a/b/c", "with those above it"), ("mkdir /photos", "a bucket")))
def mkdir(session: Session, paths: tuple[str, ...], parents: bool) -> None:
    """Make folders; with a single name below /, a bucket."""
    def one(path: str) -> Mapping[str, Any]:
        document = session.client.mkdir(path, parents=parents)
        if not session.output.json:
            session.output.line(f"made {safe(path)}")
        return document
    run_each(session, session.remote(paths), one, name=str)


@row("folders", takes="folder", params=(click.Argument(["paths"], nargs=-1, required=True, type=REMOTE),),
     examples=(("rmdir docs", "must be empty; see also 'rm -r'"),))
def rmdir(session: Session, paths: tuple[str, ...]) -> None:
    """Remove empty folders."""
    def one(path: str) -> Mapping[str, Any]:
        if path == "/":
            raise NotFound("the root is not a folder that can be removed")
        document = session.client.rmdir(path)
        if not session.output.json:
            session.output.line(f"removed {safe(path)}")
        return document
    run_each(session, session.remote(paths), one, name=str)


SPECS: tuple[Spec, ...] = (pwd, cd, mkdir, rmdir)
