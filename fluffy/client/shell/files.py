"""The commands about files that are there: which there are, what is in them, and away with them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, BinaryIO

import click

from fluffy.base.errors import Conflict, IsFile, IsFolder, TooLarge
from fluffy.base.units import format_size
from fluffy.client.download import RemoteHead
from fluffy.client.results import Entry
from fluffy.client.shell.acts import (
    DRY_RUN,
    GENERATION,
    PIPED_PATHS,
    RECURSIVE,
    YES,
    confirm,
    run_each,
    say,
    would,
)
from fluffy.client.shell.listing import entry_of_info, show_entries
from fluffy.client.shell.output import counted, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row
from fluffy.client.shell.whens import when

# A file larger than this belongs on the disk, not in a JSON document.
CAT_JSON_BYTES_MAX = 64 * 1024 * 1024
HEAD_LINES = 10
# One request of `head`; lines longer than this are rare.
HEAD_BLOCK_BYTES = 64 * 1024
# More things than this in one command are asked about.
ASK_FROM = 3


@row("files", takes="remote", aliases=("rm",), eats="paths", params=(
    PIPED_PATHS, RECURSIVE,
    click.Option(["--purge"], is_flag=True, help="For good, not into the trash."), YES, DRY_RUN,
), examples=(
    ("delete old.txt", "one file, into the trash"), ("rm *.tmp", "all that fits"),
    ("rm -r build", "a folder with all in it"), ("rm -r --purge build", "for good; scripts say --yes"),
    ("find . -name '*.bak' -older -30d | rm -n", "what would be deleted"),
))
def delete(session: Session, paths: tuple[str, ...], recursive: bool, purge: bool, yes: bool, dry_run: bool) -> None:
    """Delete files; they stay in the trash for as long as the bucket keeps it.

    The session asks before it deletes folders, or anything for good. A script is not asked: what the trash keeps it
    can have back ('undelete'), and --purge it must mean, with --yes.
    """
    wanted = session.paths(paths)
    if (recursive or purge) and wanted and not dry_run:
        confirm(session, _question(wanted, purge=purge), yes=yes, undoable=not purge)

    def one(path: str) -> Mapping[str, Any]:
        done = "purged" if purge else "deleted"
        if dry_run:
            kind = session.client.info(path).document.get("kind")
            return would(session, "purge" if purge else "delete", path, kind=kind)
        document = session.client.delete(path, purge=purge, recursive=recursive, lock=session.lock_for(path))
        files = document.get("files")
        say(session, done, path, counted(files, "file") if isinstance(files, int) and recursive else "")
        return document
    run_each(session, wanted, one)


def _question(paths: list[str], *, purge: bool) -> str:
    named = ", ".join(paths[:ASK_FROM]) + (f" and {len(paths) - ASK_FROM} more" if len(paths) > ASK_FROM else "")
    return f"Delete {named} for good?" if purge else f"Delete {named} with all in it?"


@row("files", name="list", gives="paths", params=(
    click.Option(["--user"], metavar="NAME", help="Whose files; yours by default."),
), examples=(("list", "all your files"), ("list --user alice", "all files of alice")))
def list_files(session: Session, user: str | None) -> None:
    """List all files of a user, in all folders."""
    show_entries(session, session.client.list(user or session.user), paths=True, long=True)


@row("files", takes="remote", gives="paths", params=(
    click.Option(["-l", "--long"], is_flag=True, help="With size, time and owner."),
    click.Option(["-d", "--directory"], is_flag=True, help="The folders themselves, not what is in them."),
    click.Option(["--at"], type=when, metavar="TIME", help="As it was then: -2h, 2026-07-01, 2026-07-01T12:30."),
    PIPED_PATHS,
), examples=(
    ("ls", "the present folder"), ("ls -l /admin/docs", "with sizes and times"), ("ls *.pdf", "what fits"),
    ("ls -l --at -2h docs", "as it was two hours ago"), ("ls | head -n 3", "the first three")))
def ls(session: Session, long: bool, directory: bool, at: str | None, paths: tuple[str, ...]) -> None:
    """List a folder; / lists the buckets. Folders end in /."""
    wanted = session.remote(paths) if paths else [session.cwd]

    def entries_of(path: str) -> Iterator[Entry]:
        if directory:
            yield entry_of_info(session.client.info(path))
            return
        try:
            yield from session.client.ls(path, at=at)
        except IsFile:
            yield entry_of_info(session.client.info(path))
    if session.output.json or session.output.paths_wanted or directory or len(wanted) == 1:
        show_entries(session, (entry for path in wanted for entry in entries_of(path)), long=long, paths=directory)
        return

    def one(path: str) -> Mapping[str, Any]:
        entries = list(entries_of(path))
        if [entry.path for entry in entries] != [path]:
            session.output.line(session.output.style(f"{safe(path)}:", bold=True))
        show_entries(session, entries, long=long)
        return {"path": path}
    run_each(session, wanted, one)


@row("files", takes="remote", aliases=("stat",), eats="paths", params=(
    PIPED_PATHS, GENERATION,
), examples=(("info report.pdf", "owner, size, hashes, tags, and which nodes hold each chunk"),
             ("ls *.pdf | info --json", "for programs")))
def info(session: Session, paths: tuple[str, ...], generation: int | None) -> None:
    """Show everything known about a file or folder."""
    def one(path: str) -> Mapping[str, Any]:
        document = session.client.info(path, generation=generation).document
        if not session.output.json:
            _show_info(session, document)
        return document
    run_each(session, session.paths(paths), one)


def _show_info(session: Session, document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if key in ("chunks", "inline") or value in (None, {}, [], ""):
            continue
        if key == "size":
            value = f"{value} bytes ({format_size(value)})"
        if isinstance(value, dict):
            value = ", ".join(f"{name}={text}" for name, text in value.items())
        session.output.line(f"{session.output.style(f'{safe(str(key)):<13}', 'cyan')} {safe(str(value))}")
    if document.get("inline"):
        label = session.output.style("where".ljust(13), "cyan")
        session.output.line(f"{label} on every node, in its metadata: the file is small")
    for number, chunk in enumerate(document.get("chunks") or []):
        nodes = _holders(chunk) or "nobody: all copies are lost"
        label = session.output.style(f"chunk {number}".ljust(13), "cyan")
        size = format_size(chunk.get("length", 0))
        session.output.line(f"{label} {safe(str(chunk.get('id', '')))[:16]}… {size:>10}  on {safe(nodes)}")


def _holders(chunk: Mapping[str, Any]) -> str:
    """`one (zone a), two (zone b)`."""
    names, zones = chunk.get("replicas", ()), chunk.get("zones", ())
    return ", ".join(f"{name} (zone {zone})" if zone else str(name)
                     for name, zone in zip_longest(names, zones, fillvalue=""))


@row("files", takes="remote", eats="paths", params=(
    PIPED_PATHS, GENERATION,
), examples=(("cat notes.txt", "to the screen"), ("cat a.log b.log | head -n 20", "the beginning of both"),
             ("cat --generation 3 notes.txt", "as it was")))
def cat(session: Session, paths: tuple[str, ...], generation: int | None) -> None:
    """Write files to standard output."""
    def one(path: str) -> Mapping[str, Any]:
        if not session.output.json:
            session.client.write_to(path, session.output.write_bytes, generation=generation)
            return {"path": path}
        if _file_head(session, path, generation).size > CAT_JSON_BYTES_MAX:
            raise TooLarge(f"{path} is too large for a JSON document; download it", path=path)
        return bytes_document(path, session.client.get(path, generation=generation))
    run_each(session, session.paths(paths), one, bare=True)


def bytes_document(path: str, data: bytes) -> dict[str, Any]:
    """Bytes in JSON: as text where they are text."""
    try:
        return {"path": path, "size": len(data), "encoding": "utf-8", "data": data.decode()}
    except UnicodeDecodeError:
        return {"path": path, "size": len(data), "encoding": "base64", "data": base64.b64encode(data).decode()}


@row("files", takes="remote", gives="same", eats="text", params=(
    PIPED_PATHS,
    click.Option(["-n", "--lines"], type=click.IntRange(0), metavar="N",
                 help=f"So many lines; {HEAD_LINES} by default."),
    click.Option(["-c", "--bytes", "byte_count"], type=click.IntRange(0), metavar="N",
                 help="So many bytes instead of lines."),
), examples=(("head app.log", f"the first {HEAD_LINES} lines"), ("head -n 3 *.txt", "three of each"),
             ("head -c 16 photo.jpg", "the first 16 bytes"), ("find . -size +1GiB | head -n 5 | info", "of a pipe")))
def head(session: Session, paths: tuple[str, ...], lines: int | None, byte_count: int | None) -> None:
    """Show the beginning of files, or of what comes through a pipe. Only that part is fetched."""
    if lines is not None and byte_count is not None:
        raise click.UsageError("lines or bytes, not both", click.get_current_context())
    line_count = None if byte_count is not None else HEAD_LINES if lines is None else lines
    output = session.output
    if not paths and session.feed is not None:
        beginning = first_of(stream_blocks(session.stdin), line_count, byte_count or 0)
        if output.json:
            output.document(bytes_document("-", b"".join(beginning)))
            return
        for block in beginning:
            output.write_bytes(block)
        return
    wanted = session.paths(paths)

    def one(path: str) -> Mapping[str, Any]:
        blocks = first_of(_file_blocks(session, path), line_count, byte_count or 0)
        if output.json:
            return bytes_document(path, b"".join(blocks))
        if len(wanted) > 1:
            output.end_line()
            output.line(output.style(f"==> {safe(path)} <==", bold=True))
        for block in blocks:
            output.write_bytes(block)
        return {"path": path}
    run_each(session, wanted, one, bare=True)


def first_of(blocks: Iterable[bytes], lines: int | None, byte_count: int) -> Iterator[bytes]:
    """The first lines of the blocks, or, when `lines` is None, the first bytes. Takes no block more than it needs."""
    left = byte_count if lines is None else lines
    if left == 0:
        return
    for block in blocks:
        end = len(block[:left]) if lines is None else _end_of_lines(block, left)
        yield block[:end]
        left -= end if lines is None else block.count(b"\n", 0, end)
        if left <= 0:
            return


def _end_of_lines(block: bytes, count: int) -> int:
    """Where the `count`-th line of the block ends; the block's own end when it has fewer."""
    end = 0
    for _ in range(count):
        end = block.find(b"\n", end) + 1
        if end == 0:
            return len(block)
    return end


def stream_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What comes, as it comes."""
    while block := stream.read1(HEAD_BLOCK_BYTES) if hasattr(stream, "read1") else stream.read(HEAD_BLOCK_BYTES):
        yield block


def _file_head(session: Session, path: str, generation: int | None) -> RemoteHead:
    """Size and generation; an answer to HEAD has no sentence, so a folder is told about here."""
    try:
        return session.client.head(path, generation=generation)
    except Conflict as error:
        raise IsFolder(f"{path} is a folder", path=path) from error


def _file_blocks(session: Session, path: str) -> Iterator[bytes]:
    """All of one generation, in parts that grow."""
    found = _file_head(session, path, None)
    offset, length = 0, HEAD_BLOCK_BYTES
    while offset < found.size:
        block = session.client.get(path, offset=offset, length=length, generation=found.generation)
        if not block:
            return
        yield block
        offset, length = offset + len(block), min(length * 2, 16 * HEAD_BLOCK_BYTES)


SPECS: tuple[Spec, ...] = (delete, list_files, ls, info, cat, head)
