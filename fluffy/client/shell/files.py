"""The commands about files: in, out, away, and what is there."""

from __future__ import annotations

import base64
import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from fluffy.base.errors import FluffyError, IsFile, LocalFileFailed, NotFound, TooLarge
from fluffy.base.units import format_size
from fluffy.client.results import Entry, FileInfo
from fluffy.client.retry import is_final
from fluffy.client.shell.output import EXIT_REFUSED, error_document, safe
from fluffy.client.shell.progress import TransferBar, TreeCount
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import LOCAL, REMOTE, Spec, row
from fluffy.client.shell.words import unmask
from fluffy.client.trees import TreeResult

# A file larger than this belongs on the disk, not in a JSON document.
CAT_JSON_BYTES_MAX = 64 * 1024 * 1024
RECURSIVE = click.Option(["-r", "--recursive"], is_flag=True, help="Folders with all in them.")
FORCE = click.Option(["-f", "--force"], is_flag=True, help="Replace local files that are there already.")
PATHS = click.Argument(["paths"], nargs=-1, type=REMOTE)


@row("files", takes="local-then-remote", aliases=("put",), params=(
    click.Argument(["words"], nargs=-1, required=True, type=LOCAL, metavar="LOCAL... [REMOTE]"),
    click.Option(["--to"], metavar="REMOTE", help="The remote place, if the last word could be a local file."),
    RECURSIVE,
    click.Option(["--new"], is_flag=True, help="Refuse to replace a remote file that is there already."),
), examples=(
    ("upload report.pdf", "into the present folder"),
    ("upload *.jpg photos/", "several files into a folder"),
    ("upload draft.txt /admin/final.txt", "under another name"),
    ("upload -r src backup/src", "a folder with all in it"),
    ("tar c . | fluffy upload - /admin/all.tar", "from standard input, outside of the REPL"),
))
def upload(session: Session, words: tuple[str, ...], to: str | None, recursive: bool, new: bool) -> None:
    """Upload local files: create them, or update those that are there.

    The last of several words is the remote place, unless it is a local file that exists. A remote place that is a
    folder, or ends in /, gets the files under their own names.
    """
    locals_, remote = _split_upload(session, words, to)
    folder = remote is None or remote.endswith("/") or len(locals_) > 1 or _is_remote_folder(session, remote)
    place = session.path(remote or ".")

    def one(local: Path) -> Mapping[str, Any]:
        if str(local) == "-":
            return _upload_stdin(session, place, folder, new)
        path = posixpath.join(place, _remote_name(local)) if folder else place
        if recursive and local.is_dir():
            with TreeCount(session.output, "uploading") as count:
                result = session.client.put_tree(local, path, count)
            return _tree_document(session, "uploaded", path, result)
        if local.is_dir():
            raise LocalFileFailed(f"{local} is a local folder; say -r to upload it with all in it", local=str(local))
        with TransferBar(session.output, local.name) as bar:
            stored = session.client.put(path, local, create_only=new, progress=bar)
            _say(session, "uploaded", stored.path, bar.summary(stored.size))
        return stored.document
    run_each(session, locals_, one, name=str)


def _split_upload(session: Session, words: tuple[str, ...], to: str | None) -> tuple[list[Path], str | None]:
    """The local files and the remote place (None: the present folder)."""
    if to is not None:
        return session.local(words), to
    last = unmask(words[-1])
    if len(words) == 1 or (not last.endswith("/") and Path(last).is_file()):
        return session.local(words), None
    return session.local(words[:-1]), last


def _is_remote_folder(session: Session, remote: str) -> bool:
    path = session.path(remote)
    if path == "/":
        return True
    try:
        session.client.ls_page(path, limit=1)
    except (NotFound, IsFile):
        return False
    return True


def _remote_name(local: Path) -> str:
    return local.name or local.resolve().name


def _upload_stdin(session: Session, place: str, folder: bool, new: bool) -> Mapping[str, Any]:
    if session.interactive:
        raise LocalFileFailed("standard input is where you type; upload from it with a command outside of the session")
    if folder:
        raise LocalFileFailed("standard input has no name: give the remote file, like 'upload - /admin/name'")
    with TransferBar(session.output, "standard input") as bar:
        stored = session.client.put(place, sys.stdin.buffer, create_only=new, progress=bar)
        _say(session, "uploaded", stored.path, bar.summary(stored.size))
    return stored.document


@row("files", takes="local-then-remote", params=(
    click.Argument(["local"], type=LOCAL), click.Argument(["remote"], type=REMOTE),
), examples=(("update draft.txt /admin/draft.txt", "a new version of a file that is there"),))
def update(session: Session, local: str, remote: str) -> None:
    """Replace a remote file, which must be there, by a new version, atomically."""
    [source], path = session.local([local]), session.path(unmask(remote))
    with TransferBar(session.output, source.name) as bar:
        stored = session.client.put(path, source, if_match="*", progress=bar)
        _say(session, "updated", stored.path, f"{bar.summary(stored.size)}, generation {stored.generation}")
    if session.output.json:
        session.output.document(stored.document)


@row("files", takes="remote-then-local", aliases=("get",), params=(
    click.Argument(["words"], nargs=-1, required=True, type=REMOTE, metavar="REMOTE... [LOCAL]"), FORCE, RECURSIVE,
    click.Option(["--generation"], type=click.IntRange(1), help="An older version instead of the present one."),
), examples=(
    ("download report.pdf", "into this machine's present folder"),
    ("download *.jpg photos/", "several files into a local folder; quote the pattern outside of the REPL"),
    ("download a.txt b.txt .", "two files; with two words or more the last one is the local place"),
    ("download -r /admin/src copy", "a folder with all in it"),
    ("download big.iso", "again after Ctrl-C: goes on where it stopped"),
))
def download(session: Session, words: tuple[str, ...], force: bool, recursive: bool, generation: int | None) -> None:
    """Download files, verified; a broken download goes on where it stopped.

    With two words or more the last one is the local place: a file name, a folder, or - for standard output. A local
    file that is there already is replaced only with --force, unless it has the same bytes.
    """
    remotes, place = session.remote(words[:-1] or words), words[-1] if len(words) > 1 else "."
    local = Path(os.path.expanduser(place) if place.startswith("~") else unmask(place))
    if (len(remotes) > 1 or place.endswith("/")) and str(local) != "-" and not local.is_dir():
        raise LocalFileFailed(f"{local} is not a folder on this machine; make it first", local=str(local))

    def one(path: str) -> Mapping[str, Any]:
        if str(local) == "-":
            session.client.write_to(path, _write_stdout, generation=generation)
            return {"path": path}
        if recursive and _is_remote_folder(session, path):
            target = local / posixpath.basename(path) if local.is_dir() else local
            with TreeCount(session.output, "downloading") as count:
                result = session.client.get_tree(path, target, overwrite=force, on_file=count)
            return _tree_document(session, "downloaded", str(target), result)
        with TransferBar(session.output, posixpath.basename(path)) as bar:
            got = session.client.download(path, local, overwrite=force, generation=generation, progress=bar)
            _say(session, "downloaded", str(got.local), bar.summary(got.size))
        return {"path": got.path, "local": str(got.local), "size": got.size, "etag": got.etag, "blake3": got.blake3,
                "generation": got.generation, "stale_s": got.stale_s}
    run_each(session, remotes, one, name=str)


@row("files", takes="remote", aliases=("rm",), params=(
    click.Argument(["paths"], nargs=-1, required=True, type=REMOTE), RECURSIVE,
    click.Option(["--purge"], is_flag=True, help="For good, not into the trash."),
), examples=(("delete old.txt", "one file"), ("rm *.tmp", "all that fits"), ("rm -r build", "a folder with all in it")))
def delete(session: Session, paths: tuple[str, ...], recursive: bool, purge: bool) -> None:
    """Delete files; they stay in the trash for as long as the bucket keeps it."""
    def one(path: str) -> Mapping[str, Any]:
        if recursive and _is_remote_folder(session, path):
            with TreeCount(session.output, "deleting") as count:
                result = session.client.delete_tree(path, purge=purge, on_file=count)
            return _tree_document(session, "deleted", path, result)
        document = session.client.delete(path, purge=purge)
        _say(session, "deleted", path)
        return document
    run_each(session, session.remote(paths), one, name=str)


@row("files", name="list", params=(click.Option(["--user"], metavar="NAME", help="Whose files; yours by default."),),
     examples=(("list", "all your files"), ("list --user alice", "all files of alice")))
def list_files(session: Session, user: str | None) -> None:
    """List all files of a user, in all folders."""
    show_entries(session, session.client.list(user or session.user), key="entries", paths=True, long=True)


@row("files", takes="remote", params=(
    click.Option(["-l", "--long"], is_flag=True, help="With size, time and owner."), PATHS,
), examples=(("ls", "the present folder"), ("ls -l /admin/docs", "with sizes and times"), ("ls *.pdf", "what fits")))
def ls(session: Session, long: bool, paths: tuple[str, ...]) -> None:
    """List a folder; / lists the buckets. Folders end in /."""
    wanted = session.remote(paths) if paths else [session.cwd]

    def lines() -> Iterable[Entry]:
        for path in wanted:
            try:
                yield from session.client.ls(path)
            except IsFile:
                yield _entry_of(session.client.info(path))
    if session.output.json or len(wanted) == 1:
        show_entries(session, lines(), key="entries", paths=False, long=long)
        return
    for path in wanted:
        try:
            entries = list(session.client.ls(path))
            session.output.line(session.output.style(f"{safe(path)}:", bold=True))
        except IsFile:
            entries = [_entry_of(session.client.info(path))]
        show_entries(session, entries, key="entries", paths=False, long=long)


def _entry_of(info: FileInfo) -> Entry:
    return Entry(posixpath.basename(info.path), info.path, info.is_folder, info.size, info.generation, info.etag,
                 info.content_type, info.owner, info.modified, info.document)


@row("files", params=(
    click.Argument(["query"]), click.Option(["--limit"], type=click.IntRange(1), help="At most so many hits."),
), examples=(("search report", "every file and folder with 'report' in its name"),))
def search(session: Session, query: str, limit: int | None) -> None:
    """Find files and folders with a text in their name, in letters of either case."""
    hits = session.client.search(query)
    show_entries(session, hits if limit is None else _first(hits, limit), key="hits", paths=True, long=False)


def _first(entries: Iterable[Entry], count: int) -> Iterable[Entry]:
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number >= count:
            return


@row("files", takes="remote", aliases=("stat",), params=(
    click.Argument(["paths"], nargs=-1, required=True, type=REMOTE),
    click.Option(["--generation"], type=click.IntRange(1), help="An older version instead of the present one."),
), examples=(("info report.pdf", "owner, size, hashes, tags, and which nodes hold each chunk"),))
def info(session: Session, paths: tuple[str, ...], generation: int | None) -> None:
    """Show everything known about a file or folder."""
    def one(path: str) -> Mapping[str, Any]:
        document = session.client.info(path, generation=generation).document
        if not session.output.json:
            _show_info(session, document)
        return document
    run_each(session, session.remote(paths), one, name=str)


def _show_info(session: Session, document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if key == "chunks" or value in (None, {}, [], ""):
            continue
        if key == "size":
            value = f"{value} bytes ({format_size(value)})"
        if isinstance(value, dict):
            value = ", ".join(f"{name}={text}" for name, text in value.items())
        session.output.line(f"{session.output.style(f'{safe(str(key)):<13}', 'cyan')} {safe(str(value))}")
    for number, chunk in enumerate(document.get("chunks") or []):
        nodes = ", ".join(str(name) for name in chunk.get("replicas", ())) or "nobody: all copies are lost"
        label = session.output.style(f"chunk {number}".ljust(13), "cyan")
        size = format_size(chunk.get("length", 0))
        session.output.line(f"{label} {safe(str(chunk.get('id', '')))[:16]}… {size:>10}  on {safe(nodes)}")


@row("files", takes="remote", params=(click.Argument(["paths"], nargs=-1, required=True, type=REMOTE),),
     examples=(("cat notes.txt", "to the screen"),))
def cat(session: Session, paths: tuple[str, ...]) -> None:
    """Write files to standard output."""
    for path in session.remote(paths):
        if session.output.json:
            if session.client.head(path).size > CAT_JSON_BYTES_MAX:
                raise TooLarge(f"{path} is too large for a JSON document; download it", path=path)
            session.output.document(_cat_document(path, session.client.get(path)))
        else:
            session.client.write_to(path, _write_stdout)


def _cat_document(path: str, data: bytes) -> dict[str, Any]:
    try:
        return {"path": path, "size": len(data), "encoding": "utf-8", "data": data.decode()}
    except UnicodeDecodeError:
        return {"path": path, "size": len(data), "encoding": "base64", "data": base64.b64encode(data).decode()}


def _write_stdout(block: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


# Shared by the commands

def run_each(session: Session, things: Iterable[Any], one: Callable[[Any], Mapping[str, Any]], *,
             name: Callable[[Any], str]) -> None:
    """Do `one` for each; a refusal does not stop the rest, and the exit code tells. Raises when out of reach."""
    things = list(things)
    documents: list[Mapping[str, Any]] = []
    errors: list[Mapping[str, Any]] = []
    for thing in things:
        try:
            document = one(thing)
            documents.append(document)
            errors += document.get("errors", ())
        except FluffyError as error:
            if not is_final(error) or len(things) == 1:
                raise
            errors.append({"path": name(thing), **error_document(error)["error"]})
            if not session.output.json:
                session.output.error(error)
    if session.output.json:
        session.output.document({"files": documents, **({"errors": errors} if errors else {})})
    if errors:
        click.get_current_context().exit(EXIT_REFUSED)


def show_entries(session: Session, entries: Iterable[Entry], *, key: str, paths: bool, long: bool) -> None:
    """A listing as it comes, page by page."""
    if session.output.json:
        session.output.stream(key, (entry.document for entry in entries))
        return
    for entry in entries:
        name = safe(entry.path if paths else entry.name)
        shown = session.output.style(name + "/", "blue", bold=True) if entry.is_folder else name
        session.output.line(f"{_columns(entry)}  {shown}" if long else shown)


def _columns(entry: Entry) -> str:
    when = entry.modified.astimezone().strftime("%Y-%m-%d %H:%M") if entry.modified else ""
    size = "-" if entry.is_folder else format_size(entry.size)
    return f"{size:>10}  {when:<16}  {safe(entry.owner):<10}"


def _say(session: Session, did: str, path: str, more: str = "") -> None:
    if not session.output.json:
        session.output.line(f"{did} {safe(path)}" + (f" ({more})" if more else ""))


def _tree_document(session: Session, did: str, path: str, result: TreeResult) -> Mapping[str, Any]:
    errors = [{"path": name, **error_document(error)["error"]} for name, error in result.failures]
    if not session.output.json:
        for _, error in result.failures:
            session.output.error(error)
        session.output.line(f"{did} {result.files} files ({format_size(result.bytes)}): {safe(path)}")
    return {"path": path, "files": result.files, "bytes": result.bytes, **({"errors": errors} if errors else {})}


SPECS: tuple[Spec, ...] = (upload, download, update, delete, list_files, ls, search, info, cat)
