"""`import` and `export` with the address of a bucket in place of a local path."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import click

from fluffy.base.errors import LocalFileFailed
from fluffy.base.units import format_size
from fluffy.client.shell.output import EXIT_REFUSED, safe
from fluffy.client.shell.progress import TreeCount
from fluffy.client.shell.session import Session

SCHEME = "s3://"
# More lines than that are for --json.
LINES_MAX = 200
ENDPOINT = click.Option(["--endpoint"], metavar="URL", help="The server of s3://BUCKET; without it Amazon's.")


def is_bucket(word: str) -> bool:
    return word.startswith(SCHEME)


def import_bucket(session: Session, url: str, folder: str, endpoint: str | None, *, dry_run: bool) -> None:
    """Raises LocalFileFailed when the library is not there."""
    s3 = _library()
    _run(session, f"{url} -> {folder}", dry_run, lambda on_file: s3.import_bucket(
        session.client, s3.connect(endpoint), s3.Place.parse(url), folder, dry_run=dry_run, on_file=on_file))


def export_folder(session: Session, folder: str, url: str, endpoint: str | None, *, dry_run: bool) -> None:
    """Raises LocalFileFailed when the library is not there."""
    s3 = _library()
    _run(session, f"{folder} -> {url}", dry_run, lambda on_file: s3.export_folder(
        session.client, s3.connect(endpoint), folder, s3.Place.parse(url), dry_run=dry_run, on_file=on_file))


def _library() -> Any:
    try:
        return importlib.import_module("fluffy.client.foreign_s3")
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise LocalFileFailed("this needs the library boto3: pip install 'fluffy[s3]'") from error


def _run(session: Session, title: str, dry_run: bool, work: Callable[[Callable[[str, int], None]], Any]) -> None:
    with TreeCount(session.output, "copied") as count:
        done = work(lambda path, size: count(path, size))
    if session.output.json:
        session.output.document({"dry_run": dry_run, **done.document()})
    else:
        _show(session, title, dry_run, done)
    if done.failed:
        click.get_current_context().exit(EXIT_REFUSED)


def _show(session: Session, title: str, dry_run: bool, done: Any) -> None:
    lines = [f"would copy {safe(name)}" for name in done.copied] if dry_run else []
    lines += [f"skipped: {safe(name)} ({safe(why)})" for name, why in sorted(done.skipped.items())]
    lines += [f"only there: {safe(name)}" for name in sorted(done.only_there)]
    for line in lines[:LINES_MAX]:
        session.output.line(line)
    if len(lines) > LINES_MAX:
        session.output.line(f"… and {len(lines) - LINES_MAX} more; --json tells all")
    for name, why in sorted(done.failed.items())[:LINES_MAX]:
        session.output.note(f"{safe(name)}: {safe(why)}")
    verb = "to copy" if dry_run else "copied"
    session.output.line(f"{safe(title)}: {len(done.copied)} {verb} ({format_size(done.bytes)}), {done.same} the same,"
                        f" {len(done.skipped)} skipped, {len(done.failed)} failed, {len(done.only_there)} only there")
