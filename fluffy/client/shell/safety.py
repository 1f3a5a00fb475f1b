"""The commands that look back and protect: versions, the trash, locks, hashes, tags, and links for others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from fluffy.base.errors import LockNotFound, NotFound, QuerySyntax, VersionNotFound
from fluffy.base.units import format_size
from fluffy.client.keepsakes import LockBook
from fluffy.client.results_history import TrashItem, VersionInfo
from fluffy.client.shell.acts import DRY_RUN, PIPED_PATHS, YES, confirm, run_each, say, would
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row
from fluffy.client.shell.whens import duration_s, when
from fluffy.client.shell.words import unmask

# What `lock` shows; no path that people type looks like it.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{24,}\Z", re.ASCII)
ONE_PATH = click.Argument(["path"], type=REMOTE)


def shown_time(moment: datetime | None) -> str:
    """In this machine's zone, for people."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment is not None else "-"


@row("safety", takes="remote", params=(ONE_PATH,), examples=(
    ("versions report.pdf", "the generations that are kept, newest first"),
    ("cat --generation 3 report.pdf", "one of them"),))
def versions(session: Session, path: str) -> None:
    """Show the versions of a file that are kept."""
    target = session.single(path)
    found = session.client.versions(target)
    if session.output.json:
        session.output.document({"path": target, "versions": [version.document for version in found]})
        return
    session.output.line(session.output.style(f"{'generation':>10}  {'size':>10}  {'modified':<19}  owner", bold=True))
    for version in found:
        session.output.line(_version_line(version))


def _version_line(version: VersionInfo) -> str:
    mark = "*" if version.is_current else " "
    return (f"{version.generation:>9}{mark}  {format_size(version.size):>10}  {shown_time(version.modified):<19}  "
            f"{safe(version.owner)}")


@row("safety", takes="remote", params=(
    ONE_PATH,
    click.Option(["--generation"], type=click.IntRange(1), metavar="N", help="By default the one before the present."),
    click.Option(["--at"], type=when, metavar="TIME", help="As it was then: -2h, 2026-07-01. Also for folders."),
    click.Option(["--exact"], is_flag=True, help="Of a folder: what was not there then goes to the trash."),
    DRY_RUN, YES,
), examples=(
    ("restore report.pdf", "the version before the present one"),
    ("restore report.pdf --generation 3", "that one, as a new version"),
    ("restore docs --at -2h --dry-run", "what a folder's way back would change"),
    ("restore docs --at 2026-07-01 --exact", "also what came since goes to the trash"),
))
def restore(session: Session, path: str, generation: int | None, at: str | None, exact: bool, dry_run: bool,
            yes: bool) -> None:
    """Bring an older version of a file back, as a new version; or a folder as it was at a time.

    The version that was present becomes an older one, so nothing is lost. Also brings back a deleted file.
    """
    if generation is not None and at is not None:
        raise QuerySyntax("say --generation or --at, not both")
    target = session.single(path)
    if _is_folder(session, target):
        _restore_folder(session, target, generation, at, exact=exact, dry_run=dry_run, yes=yes)
        return
    kept = session.client.versions(target)
    current = next((version.generation for version in kept if version.is_current), 0)
    wanted = generation or _generation_at(session, target, at, kept, current)
    if dry_run:
        document = would(session, f"restore generation {wanted} of", target, generation=wanted)
    else:
        stored = session.client.restore(target, wanted, expect=current, lock=session.lock_for(target))
        say(session, "restored", target, f"generation {wanted} as {stored.generation}, {format_size(stored.size)}")
        document = stored.document
    if session.output.json:
        session.output.document(document)


def _is_folder(session: Session, path: str) -> bool:
    try:
        return session.client.info(path).is_folder
    except NotFound:
        return False


def _generation_at(session: Session, path: str, at: str | None, kept: list[VersionInfo], current: int) -> int:
    if at is not None:
        found = session.client.head(path, at=at).generation
        if found is None:
            raise VersionNotFound(f"it is not known which version {path} was at that time", path=path)
        return found
    older = [version.generation for version in kept if version.generation != current]
    if not older:
        raise VersionNotFound(f"{path} has no older version that is kept", path=path)
    return max(older)


def _restore_folder(session: Session, path: str, generation: int | None, at: str | None, *, exact: bool, dry_run: bool,
                    yes: bool) -> None:
    if at is None or generation is not None:
        raise QuerySyntax(f"{path} is a folder: say --at TIME, like --at -2h")
    if dry_run:
        lines = list(session.client.diff(path, at))
        if session.output.json:
            session.output.document({"path": path, "at": at, "dry_run": True, "lines": [
                line.document for line in lines]})
        for line in lines if not session.output.json else ():
            what = {"added": "delete" if exact else "leave", "removed": "bring back"}.get(line.change, "restore")
            would(session, what, line.path)
        return
    if exact:
        confirm(session, f"what came into {path} since then goes to the trash. Go on?", yes=yes, undoable=True)
    found = session.client.restore_at(path, at, exact=exact, lock=session.lock_for(path))
    if session.output.json:
        session.output.document({"path": path, "at": at, "restored": found.restored, "deleted": found.deleted,
                                 "same": found.same, "conflicts": found.conflicts})
    for conflict in found.conflicts if not session.output.json else ():
        session.output.note(f"{conflict}: something of the other kind stands there")
    say(session, "restored", path,
        f"{found.restored} files brought back, {found.deleted} deleted, {found.same} the same")


@row("safety", takes="remote", gives="paths", params=(
    click.Argument(["path"], required=False, type=REMOTE),
    click.Option(["--empty"], is_flag=True, help="Delete for good what is in it."), DRY_RUN, YES,
), examples=(
    ("trash", "what was deleted and can come back"), ("trash docs", "what was deleted there"),
    ("trash --empty", "for good; asks first"), ("trash docs | undelete", "all of it"),
))
def trash(session: Session, path: str | None, empty: bool, dry_run: bool, yes: bool) -> None:
    """Show the trash, or empty it."""
    target = session.place(path) if path is not None else None
    if empty and not dry_run:
        confirm(session, f"the trash{f' of {target}' if target else ''} is emptied for good. Go on?", yes=yes,
                undoable=True)
        purged = session.client.empty_trash(target)
        if session.output.json:
            session.output.document({"path": target, "purged": purged})
        else:
            session.output.line(f"{purged} things deleted for good" if purged else "the trash was empty already")
        return
    items = session.client.trash(target)
    if session.output.json:
        session.output.stream("items", (item.document for item in items))
        return
    for item in items:
        session.output.line(item.path if session.output.paths_wanted else _trash_line(item, purging=empty))


def _trash_line(item: TrashItem, *, purging: bool) -> str:
    kind = f"{item.files} files" if item.is_folder else format_size(item.size)
    line = (f"{item.item:>8}  {kind:>10}  deleted {shown_time(item.deleted)}  until {shown_time(item.expires)}  "
            f"{safe(item.path)}{'/' if item.is_folder else ''}")
    return f"would delete for good {line.strip()}" if purging else line


@row("safety", takes="remote", eats="paths", params=(
    PIPED_PATHS,
    click.Option(["--item"], type=click.IntRange(1), metavar="N", help="Which, of several with that path."),
    click.Option(["--to"], metavar="PATH", type=REMOTE, help="To another place."),
), examples=(
    ("undelete report.pdf", "the one that was deleted last"), ("undelete docs", "a folder with all in it"),
    ("undelete report.pdf --item 812 --to old.pdf", "another one of the same name, beside"),
))
def undelete(session: Session, paths: tuple[str, ...], item: int | None, to: str | None) -> None:
    """Bring a deleted file or folder back. What stands there meanwhile is left alone and named."""
    targets = [session.place(word) for word in paths] if paths and paths != ("-",) else session.paths(paths)
    if len(targets) > 1 and (item is not None or to is not None):
        raise QuerySyntax("--item and --to are for one path")
    place = session.place(to) if to is not None else None

    def one(path: str) -> Mapping[str, Any]:
        document = session.client.undelete(path, item=item, target=place, lock=session.lock_for(place or path))
        say(session, "brought back", str(document.get("path", place or path)))
        return document
    run_each(session, targets, one)


@row("safety", takes="remote", params=(
    ONE_PATH,
    click.Option(["--shared"], is_flag=True, help="Others may have shared locks too; keeps writers away."),
    click.Option(["--ttl"], type=duration_s, default="10m", metavar="TIME", help="How long; 10m when not said."),
    click.Option(["--wait"], type=duration_s, default="0s", metavar="TIME", help="Wait so long for its holder."),
    click.Option(["--note"], default="", help="What for; others see it."),
), examples=(
    ("lock plan.txt --note 'editing until noon'", "nobody else can change it; renewed while the session lasts"),
    ("lock docs --wait 30s", "a folder with all in it, as soon as it is free"),
    ("fluffy lock /team/plan.txt --ttl 1h", "from a script: shows the token for --lock and 'unlock'"),
))
def lock(session: Session, path: str, shared: bool, ttl: float, wait: float, note: str) -> None:
    """Lock a file, or a folder with all in it, against other writers.

    In a session the lock is renewed until 'unlock' or the end of the session, and its commands write under it. A
    one-shot command takes it for --ttl and shows the token: give it to commands that write with --lock TOKEN.
    """
    target, mode = session.single(path), "shared" if shared else "exclusive"
    held = session.client.lock(target, mode=mode, ttl_s=ttl, wait_s=wait, note=note)
    session.locks_held[target] = held.token
    if session.interactive:
        session.keep_lock(held)
    else:
        LockBook(os.environ).note(session.cluster_uuid, session.user, target, held.token)
    if session.output.json:
        session.output.document({"path": target, "mode": mode, "token": held.token, "fence": held.fence,
                                 "expires": held.expires})
        return
    until = f"until {shown_time(held.expires)}" + (", and renewed in this session" if session.interactive else "")
    say(session, "locked", target, f"{mode}, {until}")
    session.output.line(f"token {held.token}")


@row("safety", takes="remote", params=(
    click.Argument(["path_or_token"], type=REMOTE),
    click.Option(["--break", "breaks"], is_flag=True, help="Whoever holds it; for admins of the bucket."), YES,
), examples=(("unlock plan.txt", "your lock"), ("unlock --break /team/docs", "all locks there, of others too")))
def unlock(session: Session, path_or_token: str, breaks: bool, yes: bool) -> None:
    """Give a lock back: by the path, when it was taken in this session or on this machine, or by its token."""
    word = unmask(path_or_token)
    path = session.place(path_or_token)
    if breaks:
        confirm(session, f"all locks at {path} end, whoever holds them. Go on?", yes=yes)
        document = session.client.break_locks(path)
        say(session, "ended", f"all locks at {path}")
    else:
        book = LockBook(os.environ)
        noted = session.locks_held.get(path) or book.token_of(session.cluster_uuid, session.user, path)
        token = noted or word
        if noted is None and not _TOKEN.match(word):
            raise LockNotFound(f"no lock on {path} was taken on this machine; say the token that 'lock' showed",
                               path=path)
        session.drop_lock(token)
        try:
            document = session.client.unlock(token)
        finally:
            book.forget(token)
        say(session, "unlocked", str(document.get("path") or path))
    if session.output.json:
        session.output.document(document)


@row("safety", takes="remote", params=(click.Argument(["path"], required=False, type=REMOTE),), examples=(
    ("locks", "at and below the present folder"), ("locks /team", "in a bucket")))
def locks(session: Session, path: str | None) -> None:
    """Show who holds which locks."""
    found = session.client.locks(session.single(path) if path is not None else session.cwd)
    if session.output.json:
        session.output.stream("locks", (lock.document for lock in found))
        return
    for info in found:
        note = f"  ({safe(info.note)})" if info.note else ""
        session.output.line(f"{info.mode:<9}  {safe(info.holder):<12}  until {shown_time(info.expires)}  "
                            f"{safe(info.path)}{note}")


@row("safety", takes="remote", eats="paths", params=(
    click.Argument(["words"], nargs=-1, type=REMOTE, metavar="[PATH...] [KEY=VALUE...]"),
    click.Option(["-d", "--remove", "removed"], multiple=True, metavar="KEY", help="Take this tag away."),
    click.Option(["--clear"], is_flag=True, help="Take all other tags away."),
), examples=(
    ("tag report.pdf", "show its tags"), ("tag report.pdf year=2026 draft=", "set two, keep the others"),
    ("tag -d draft *.pdf", "take one away"), ("find docs -name '*.pdf' | tag year=2026", "of all that is found"),
))
def tag(session: Session, words: tuple[str, ...], removed: tuple[str, ...], clear: bool) -> None:
    """Show or change the tags of files; their bytes stay. A word with = is a tag, unless it begins with / or ./ ."""
    tags = dict(unmask(word).split("=", 1) for word in words if _is_tag(unmask(word)))
    paths = session.paths([word for word in words if not _is_tag(unmask(word))])

    def one(path: str) -> Mapping[str, Any]:
        present = session.client.info(path)
        old = {str(key): str(value) for key, value in (present.document.get("tags") or {}).items()}
        new = {**({} if clear else old), **tags}
        new = {key: value for key, value in new.items() if key not in removed}
        if new != old:
            session.client.set_tags(path, new, if_match=present.etag, lock=session.lock_for(path))
        if not session.output.json:
            shown = " ".join(f"{safe(key)}={safe(value)}" for key, value in sorted(new.items())) or "no tags"
            session.output.line(f"{safe(path)}: {shown}")
        return {"path": path, "tags": new}
    run_each(session, paths, one)


def _is_tag(word: str) -> bool:
    return "=" in word and not word.startswith(("/", "./", "../", "=", "~"))


@row("safety", takes="remote", params=(
    ONE_PATH, click.Option(["--ttl"], type=duration_s, default="1h", metavar="TIME", help="How long; 1h by default."),
    click.Option(["--method"], type=click.Choice(["GET", "HEAD", "PUT"]), default="GET", help="PUT: others upload."),
), examples=(("share report.pdf", "a link for one hour"), ("share report.pdf --ttl 7d", "for a week"),
             ("share inbox/offer.pdf --method PUT", "whoever has the link can upload that file")))
def share(session: Session, path: str, ttl: float, method: str) -> None:
    """Make a link that lets anybody who has it download one file, without a login, until its time ends."""
    target = session.place(path)
    if method != "PUT":
        session.client.head(target)  # raises when there is no such file: a link to nothing helps nobody
    signed = session.client.sign(target, method=method, ttl_s=int(ttl))
    if session.output.json:
        session.output.document({"url": signed.url, "method": signed.method, "path": signed.path,
                                 "expires": signed.expires})
        return
    session.output.line(signed.url)
    session.output.note(f"works until {shown_time(signed.expires)}, for everybody who has it")


SPECS: tuple[Spec, ...] = (versions, restore, trash, undelete, lock, unlock, locks, tag, share)
