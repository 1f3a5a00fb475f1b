"""The commands that write from within: make or renew a file, put bytes behind it, edit it in one's own editor."""

from __future__ import annotations

import os
import posixpath
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fluffy.base.errors import FileNotFound, FluffyError, LocalFileFailed, NotFound, PreconditionFailed, TooLarge
from fluffy.base.units import MIB, format_size
from fluffy.client.credentials import user_state_folder
from fluffy.client.results import FileInfo
from fluffy.client.shell.acts import PIPED_PATHS, run_each, say
from fluffy.client.shell.progress import TransferBar
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import LOCAL, REMOTE, Spec, row
from fluffy.client.sources import local_failure

# A larger file is no text for an editor.
EDIT_BYTES_MAX = 64 * MIB


@row("files", takes="remote", eats="paths", params=(PIPED_PATHS,), examples=(
    ("touch notes.txt", "an empty file, or the present time for one that is there"), ("touch a b c", "several")))
def touch(session: Session, paths: tuple[str, ...]) -> None:
    """Make empty files; give those that are there the present time."""
    def one(path: str) -> Mapping[str, Any]:
        document = session.client.touch(path, lock=session.lock_for(path))
        say(session, "touched", path)
        return document
    run_each(session, session.paths(paths), one)


@row("files", takes="local-then-remote", eats="text", params=(
    click.Argument(["words"], nargs=-1, required=True, type=LOCAL, metavar="[LOCAL...] REMOTE"),
    click.Option(["-t", "--text"], multiple=True, metavar="TEXT", help="This line instead of a file; several: lines."),
), examples=(
    ("append new.log app.log", "a local file behind a remote one"),
    ("append --text 'buy milk' todo.txt", "a line of text"),
    ("date | fluffy append - /admin/log", "standard input, outside of the session"),
    ("cat monday.txt tuesday.txt | append week.txt", "what another command gives"),
))
def append(session: Session, words: tuple[str, ...], text: tuple[str, ...]) -> None:
    """Put bytes behind the end of a file, atomically, however many append at once; make it when it is missing."""
    path = session.place(words[-1])
    sources = words[:-1]
    if text and sources:
        raise click.UsageError("--text or local files, not both", click.get_current_context())
    if text:
        chunks: list[Any] = ["".join(line + "\n" for line in text).encode()]
    elif not sources or sources == ("-",):
        chunks = [_stdin(session)]
    else:
        chunks = list(session.local(sources))

    def one(source: Any) -> Mapping[str, Any]:
        with TransferBar(session.output, posixpath.basename(path)) as bar:
            stored = session.client.append(path, source, lock=session.lock_for(path), progress=bar)
        say(session, "appended to", stored.path, f"now {format_size(stored.size)}")
        return stored.document
    run_each(session, chunks, one, name=lambda source: str(source) if isinstance(source, Path) else path)


def _stdin(session: Session) -> Any:
    if session.interactive and session.feed is None:
        raise LocalFileFailed("standard input is where you type; name a local file, or say --text 'a line'")
    return session.stdin


@row("files", takes="remote", params=(
    click.Argument(["path"], type=REMOTE),
    click.Option(["--editor"], metavar="COMMAND", help="Instead of $VISUAL, $EDITOR or vi."),
), examples=(("edit notes.txt", "in $EDITOR; stored when you leave it"), ("edit new.txt", "makes the file")))
def edit(session: Session, path: str, editor: str | None) -> None:
    """Edit a file in your editor, and store it when you leave.

    When somebody else changed the file meanwhile, theirs stays, and your text is kept in a local file.
    """
    place = session.single(path)
    before = _present(session, place)
    file = _local_copy(session, place, before)
    try:
        data = file.read_bytes()
        _run_editor(editor or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi", file)
        after = file.read_bytes()
    except (OSError, LocalFileFailed) as error:
        raise LocalFileFailed(f"{error}; your text is in {file}", local=str(file)) from error
    if after == data:
        _forget(file)
        say(session, "unchanged:" if before is not None else "nothing was written, no file was made:", place)
        if session.output.json:
            session.output.document({"path": place, "changed": False, "etag": None if before is None else before.etag})
        return
    try:
        document = _store(session, place, after, before)
    except FluffyError as error:
        message = "somebody else changed it meanwhile" if isinstance(error, PreconditionFailed) else error.message
        raise type(error)(f"{place} was not stored: {message}; your text is in {file}",
                          **{**error.facts, "local": str(file)}) from error
    _forget(file)
    say(session, "stored", place, f"{format_size(len(after))}, generation {document.get('generation')}")
    if session.output.json:
        session.output.document({**document, "changed": True})


def _present(session: Session, path: str) -> FileInfo | None:
    """What is there; None for a file to be made. Raises LocalFileFailed for a folder, TooLarge."""
    try:
        found = session.client.info(path)
    except FileNotFound:
        return None
    except NotFound as error:
        if error.code() in ("NotFound", "FolderNotFound"):
            return None
        raise
    if found.is_folder:
        raise LocalFileFailed(f"{path} is a folder", path=path)
    if found.size > EDIT_BYTES_MAX:
        raise TooLarge(f"{path} is larger than {format_size(EDIT_BYTES_MAX)}; download it and edit it", path=path)
    return found


def _local_copy(session: Session, path: str, present: FileInfo | None) -> Path:
    """A file of the same name in a folder of its own, where it survives a restart of this machine."""
    data = session.client.get(path, generation=present.generation) if present is not None else b""
    folder = user_state_folder(os.environ) / "edits"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = Path(tempfile.mkdtemp(dir=folder)) / posixpath.basename(path)
        file.write_bytes(data)
    except OSError as error:
        raise local_failure(folder, error) from error
    return file


def _run_editor(command: str, file: Path) -> None:
    """Raises LocalFileFailed when the editor cannot be run, or says that it failed."""
    words = shlex.split(command)
    try:
        with _interrupts_left_to_the_editor():
            done = subprocess.run([*words, str(file)], check=False)
    except (OSError, ValueError) as error:
        raise LocalFileFailed(f"the editor '{command}' cannot be run; set EDITOR") from error
    if done.returncode:
        raise LocalFileFailed(f"the editor '{command}' ended with code {done.returncode}, so nothing was stored")


@contextmanager
def _interrupts_left_to_the_editor() -> Iterator[None]:
    """Ctrl-C is for the editor, which has the terminal."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _store(session: Session, path: str, data: bytes, before: FileInfo | None) -> Mapping[str, Any]:
    """As the next generation of the very one that was edited, with its labels."""
    lock = session.lock_for(path)
    if before is None:
        return session.client.put(path, data, create_only=True, lock=lock).document
    labels = before.document
    return session.client.put(
        path, data, if_match=before.etag, lock=lock, content_type=before.content_type or None,
        tags=labels.get("tags") or None, meta=labels.get("meta") or None,
        headers=labels.get("headers") or None).document


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.parent.rmdir()


SPECS: tuple[Spec, ...] = (touch, append, edit)
