"""The commands that look at whole folders: as a tree, what they take, and what changed between two moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from fluffy.base.units import format_size
from fluffy.client.results import number_in
from fluffy.client.results_history import DiffLine
from fluffy.client.shell.acts import PIPED_PATHS, run_each
from fluffy.client.shell.output import counted, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row
from fluffy.client.shell.walking import DEPTH_MAX, walk
from fluffy.client.shell.whens import when

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@row("folders", takes="folder", params=(
    click.Argument(["path"], required=False, type=REMOTE),
    click.Option(["-L", "--depth"], type=click.IntRange(1, DEPTH_MAX), metavar="N", help="Not deeper than this."),
    click.Option(["-d", "--folders"], is_flag=True, help="Folders only."),
    click.Option(["--at"], type=when, metavar="TIME", help="As it was then: -2h, 2026-07-01."),
), examples=(("tree", "all below the present folder"), ("tree -L 2 /admin", "two levels"),
             ("tree --at -1d docs", "as it was yesterday")))
def tree(session: Session, path: str | None, depth: int | None, folders: bool, at: str | None) -> None:
    """Show a folder as a tree."""
    top = session.single(path) if path else session.cwd
    depth_max = depth or DEPTH_MAX
    lines = walk(session, top, depth_max=depth_max, at=at, folders_only=folders)
    if session.output.json:
        session.output.stream("entries", ({**found.entry.document, "depth": found.depth} for found in lines))
        return
    counts = [0, 0]
    rails: list[str] = []
    for found in lines:
        if not any(counts):
            _show_top(session, top)
        del rails[found.depth - 1:]
        counts[0 if found.entry.is_folder else 1] += 1
        name = safe(found.entry.name)
        shown = session.output.style(name + "/", "blue", bold=True) if found.entry.is_folder else name
        session.output.line("".join(rails) + ("└── " if found.is_last else "├── ") + shown)
        rails.append("    " if found.is_last else "│   ")
    if not any(counts):
        _show_top(session, top)
    session.output.line(f"{counted(counts[0], 'folder')}, {counted(counts[1], 'file')}")


def _show_top(session: Session, top: str) -> None:
    """Only when the folder is known to be there."""
    session.output.line(session.output.style(safe(top), "blue", bold=True))


@row("folders", takes="remote", eats="paths", params=(
    PIPED_PATHS,
    click.Option(["-h", "--human"], is_flag=True, help="Sizes with units."),
    click.Option(["-s", "--summarize"], is_flag=True, help="One line for each path named."),
    click.Option(["-d", "--depth"], type=click.IntRange(0, DEPTH_MAX), metavar="N",
                 help="Lines down to this depth; 1 by default."),
), examples=(("du -h", "the folders of the present one, and the sum"), ("du -sh /admin/*", "one line for each"),
             ("du -d 3 /admin", "three levels")))
def du(session: Session, paths: tuple[str, ...], human: bool, summarize: bool, depth: int | None) -> None:
    """Show what folders take: bytes, files, path. Old versions and the trash are not in it."""
    wanted = session.paths(paths) if paths or session.feed is not None else [session.cwd]

    def one(path: str) -> Mapping[str, Any]:
        lines = list(_sums(session, path, 0 if summarize else 1 if depth is None else depth))
        if not session.output.json:
            for line_path, size, files in lines:
                shown = format_size(size) if human else str(size)
                session.output.line(f"{shown:>12} {files:>9}  {safe(line_path)}")
        _, size, files = lines[-1]
        return {"path": path, "size": size, "files": files,
                "folders": [{"path": line[0], "size": line[1], "files": line[2]} for line in lines[:-1]]}
    run_each(session, wanted, one)


def _sums(session: Session, path: str, depth: int) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, files) of each folder down to `depth`, a folder after those in it. The cluster knows the sums."""
    if path == "/":
        below = [list(_sums(session, bucket.path, depth - 1)) for bucket in session.client.ls("/")]
        if depth > 0:
            yield from (line for lines in below for line in lines)
        yield path, sum(lines[-1][1] for lines in below), sum(lines[-1][2] for lines in below)
        return
    found = session.client.info(path)
    if not found.is_folder:
        yield path, found.size, 1
        return
    if depth > 0:
        for entry in session.client.ls(path):
            if entry.is_folder:
                yield from _sums(session, entry.path, depth - 1)
    yield path, number_in(found.document, "bytes"), number_in(found.document, "files")


@row("folders", takes="remote", gives="paths", params=(
    click.Argument(["path"], required=False, type=REMOTE),
    click.Option(["--from", "from_"], type=when, required=True, metavar="TIME",
                 help="The earlier moment: -1d, 2026-07-01."),
    click.Option(["--to"], type=when, metavar="TIME", help="The later moment; now by default."),
), examples=(("diff docs --from -1d", "what changed below docs since yesterday"),
             ("diff --from 2026-07-01 --to 2026-07-02", "in the present folder, between two moments"),
             ("diff --from -1h --json", "for programs")))
def diff(session: Session, path: str | None, from_: str, to: str | None) -> None:
    """Show what was added (+), removed (-) and changed (~) below a folder between two moments.

    Into a pipe go the paths that are there at the later moment.
    """
    path = session.single(path) if path else session.cwd
    lines = _known(session, path, session.client.diff(path, from_, to))
    output = session.output
    if output.paths_wanted:
        for line in lines:
            if line.change != "removed":
                output.line(line.path)
    elif output.json:
        output.stream("lines", (line.document for line in lines))
    else:
        for line in lines:
            output.line(_diff_line(session, line))


def _known(session: Session, path: str, lines: Iterator[DiffLine]) -> Iterator[DiffLine]:
    """The lines; when there are none, raises NotFound for a folder that is not there: a slip of the pen."""
    first = next(lines, None)
    if first is None:
        if path != "/":
            session.client.info(path)
        return
    yield first
    yield from lines


def _diff_line(session: Session, line: DiffLine) -> str:
    sign, colour = _SIGNS.get(line.change, ("?", "yellow"))
    return session.output.style(f"{sign} {safe(line.path)}{'/' if line.is_folder else ''}", colour)


SPECS: tuple[Spec, ...] = (tree, du, diff)
