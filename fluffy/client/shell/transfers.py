"""The commands that move bytes between this machine and the cluster: upload, update, download."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fluffy.base.errors import LocalFileFailed, QuerySyntax
from fluffy.client.shell.acts import FORCE, GENERATION, RECURSIVE, is_remote_folder, run_each, say, tree_document
from fluffy.client.shell.progress import TransferBar, TreeCount
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import LOCAL, REMOTE, Spec, row
from fluffy.client.shell.words import unmask
from fluffy.client.syncing.items import MODE_KEY, MTIME_KEY


@row("files", takes="local-then-remote", aliases=("put",), params=(
    click.Argument(["words"], nargs=-1, type=LOCAL, metavar="LOCAL... [REMOTE]"),
    click.Option(["--to"], metavar="REMOTE", help="The remote place, if the last word could be a local file."),
    RECURSIVE,
    click.Option(["--new"], is_flag=True, help="Refuse to replace a remote file that is there already."),
    click.Option(["--type", "content_type"], metavar="TYPE", help="The content type, like text/plain."),
    click.Option(["--tag"], metavar="KEY=VALUE", multiple=True, help="A tag; may be given several times."),
    click.Option(["--meta"], metavar="KEY=VALUE", multiple=True, help="A line of metadata; several times as well."),
), eats="text", examples=(
    ("upload report.pdf", "into the present folder"),
    ("upload *.jpg photos/", "several files into a folder"),
    ("upload draft.txt /admin/final.txt", "under another name"),
    ("upload -r src backup/src", "a folder with all in it"),
    ("upload scan.pdf --tag year=2026 --type application/pdf", "with a tag and its content type"),
    ("tar c . | fluffy upload - /admin/all.tar", "from standard input, outside of the session"),
    ("head -n 100 big.log | upload - first.log", "what another command gives"),
))
def upload(session: Session, words: tuple[str, ...], to: str | None, recursive: bool, new: bool,
           content_type: str | None, tag: tuple[str, ...], meta: tuple[str, ...]) -> None:
    """Upload local files: create them, or update those that are there.

    The last of several words is the remote place, unless it is a local file that exists. A remote place that is a
    folder, or ends in /, gets the files under their own names.
    """
    locals_, remote = _split_upload(session, words, to)
    place = session.place(remote or ".")
    folder = remote is None or remote.endswith("/") or len(locals_) > 1 or is_remote_folder(session, place)
    labels = Labels(content_type, pairs(tag), pairs(meta))

    def one(local: Path) -> Mapping[str, Any]:
        if str(local) == "-":
            return _upload_stdin(session, place, folder, new, labels)
        path = posixpath.join(place, _remote_name(local)) if folder else place
        if recursive and local.is_dir():
            with TreeCount(session.output, "uploading") as count:
                result = session.client.put_tree(local, path, count, lock=session.lock_for(path))
            return tree_document(session, "uploaded", path, result)
        if local.is_dir():
            raise LocalFileFailed(f"{local} is a local folder; say -r to upload it with all in it", local=str(local))
        with TransferBar(session.output, local.name) as bar:
            stored = session.client.put(
                path, local, create_only=new, progress=bar, lock=session.lock_for(path), tags=labels.tags,
                meta=labels.meta, content_type=labels.content_type)
            say(session, "uploaded", stored.path, bar.summary(stored.size))
        return stored.document
    run_each(session, locals_, one)


def _split_upload(session: Session, words: tuple[str, ...], to: str | None) -> tuple[list[Path], str | None]:
    """The local files and the masked remote place (None: the present folder)."""
    if session.feed is not None and "-" not in words:
        words = ("-", *words)
    if not words:
        raise click.UsageError("name the local files to upload", click.get_current_context())
    if to is not None:
        return session.local(words), to
    last = unmask(words[-1])
    if len(words) == 1 or (not last.endswith("/") and Path(last).is_file()):
        return session.local(words), None
    return session.local(words[:-1]), words[-1]


@dataclass(frozen=True, slots=True)
class Labels:
    """What an upload says about the file besides its bytes."""

    content_type: str | None
    tags: Mapping[str, str] | None
    meta: Mapping[str, str] | None


def pairs(words: tuple[str, ...]) -> dict[str, str] | None:
    """`k=v` words; None for none. Raises QuerySyntax for a word without a key."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise QuerySyntax(f"{word!r} is no key=value")
        found[key] = value
    return found or None


def _remote_name(local: Path) -> str:
    return local.name or local.resolve().name


def _upload_stdin(session: Session, place: str, folder: bool, new: bool, labels: Labels) -> Mapping[str, Any]:
    if session.interactive and session.feed is None:
        raise LocalFileFailed("standard input is where you type; upload from it with a command outside of the session")
    if folder:
        raise LocalFileFailed("standard input has no name: give the remote file, like 'upload - /admin/name'")
    with TransferBar(session.output, "standard input") as bar:
        stored = session.client.put(
            place, session.stdin, create_only=new, progress=bar, lock=session.lock_for(place), tags=labels.tags,
            meta=labels.meta, content_type=labels.content_type)
        say(session, "uploaded", stored.path, bar.summary(stored.size))
    return stored.document


@row("files", takes="local-then-remote", params=(
    click.Argument(["local"], type=LOCAL), click.Argument(["remote"], type=REMOTE),
), examples=(("update draft.txt /admin/draft.txt", "a new version of a file that is there"),))
def update(session: Session, local: str, remote: str) -> None:
    """Replace a remote file, which must be there, by a new version, atomically. Its tags, metadata and type stay."""
    [source], path = session.local([local]), session.single(remote)
    labels = session.client.info(path).document
    meta = {key: value for key, value in labels.get("meta", {}).items() if key not in (MTIME_KEY, MODE_KEY)}
    with TransferBar(session.output, source.name) as bar:
        stored = session.client.put(
            path, source, if_match="*", progress=bar, lock=session.lock_for(path), tags=labels.get("tags"), meta=meta,
            content_type=labels.get("content_type"), headers=labels.get("headers"))
        say(session, "updated", stored.path, f"{bar.summary(stored.size)}, generation {stored.generation}")
    if session.output.json:
        session.output.document(stored.document)


@row("files", takes="remote-then-local", aliases=("get",), eats="paths", params=(
    click.Argument(["words"], nargs=-1, type=REMOTE, metavar="REMOTE... [LOCAL]"), FORCE, RECURSIVE,
    GENERATION,
), examples=(
    ("download report.pdf", "into this machine's present folder"),
    ("download *.jpg photos/", "several files into a local folder; quote the pattern outside of the REPL"),
    ("download a.txt b.txt .", "two files; with two words or more the last one is the local place"),
    ("download -r /admin/src copy", "a folder with all in it"),
    ("download big.iso", "again after Ctrl-C: goes on where it stopped"),
    ("search report --type application/pdf | download papers", "what another command finds"),
))
def download(session: Session, words: tuple[str, ...], force: bool, recursive: bool, generation: int | None) -> None:
    """Download files, verified; a broken download goes on where it stopped.

    With two words or more the last one is the local place: a file name, a folder, or - for standard output. A local
    file that is there already is replaced only with --force, unless it has the same bytes.
    """
    remotes, place = _split_download(session, words)
    local = Path(os.path.expanduser(place) if place.startswith("~") else unmask(place))
    if (len(remotes) > 1 or place.endswith("/")) and str(local) != "-" and not local.is_dir():
        raise LocalFileFailed(f"{local} is not a folder on this machine; make it first", local=str(local))

    def one(path: str) -> Mapping[str, Any]:
        if str(local) == "-":
            session.client.write_to(path, session.output.write_bytes, generation=generation)
            return {"path": path}
        if recursive and is_remote_folder(session, path):
            target = local / posixpath.basename(path) if local.is_dir() else local
            with TreeCount(session.output, "downloading") as count:
                result = session.client.get_tree(path, target, overwrite=force, on_file=count)
            return tree_document(session, "downloaded", str(target), result)
        with TransferBar(session.output, posixpath.basename(path)) as bar:
            got = session.client.download(path, local, overwrite=force, generation=generation, progress=bar)
            say(session, "downloaded", str(got.local), bar.summary(got.size))
        return {"path": got.path, "local": str(got.local), "size": got.size, "etag": got.etag, "blake3": got.blake3,
                "generation": got.generation, "stale_s": got.stale_s}
    run_each(session, remotes, one)


def _split_download(session: Session, words: tuple[str, ...]) -> tuple[list[str], str]:
    """The remote paths, and the local place as it was written."""
    if session.feed is not None or words[:1] == ("-",):
        places = words[1:] if words[:1] == ("-",) else words
        if len(places) > 1:
            raise click.UsageError("paths come through the pipe: give only the local place",
                                   click.get_current_context())
        return session.paths(["-"]), places[0] if places else "."
    if not words:
        raise click.UsageError("name the remote files to download", click.get_current_context())
    return session.remote(words[:-1] or words), words[-1] if len(words) > 1 else "."


SPECS: tuple[Spec, ...] = (upload, update, download)
