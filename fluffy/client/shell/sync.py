"""The commands that keep a local tree and its remote place the same.

The remote place of a local file or folder is the one it was last pushed to or pulled from (`--to`, `--from`), or that
of a folder above it; without any it has the same name in the present remote folder, which at the start is `/USERNAME`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fluffy.base.errors import FluffyError, LocalFileFailed, NotSupported
from fluffy.base.paths import parse_path
from fluffy.base.units import format_size
from fluffy.client.credentials import user_state_folder
from fluffy.client.shell.acts import DRY_RUN, YES, confirm, is_remote_folder
from fluffy.client.shell.foreign import ENDPOINT, export_folder, import_bucket, is_bucket
from fluffy.client.shell.output import EXIT_REFUSED, error_document, safe
from fluffy.client.shell.progress import TreeCount
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import LOCAL, REMOTE, Spec, row
from fluffy.client.shell.words import unmask
from fluffy.client.syncing import Act, Plan, Prepared, Report, Step, SyncMemory, Task, Way

# More lines than that of a plan or of failures are for --json.
LINES_MAX = 200
DELETE = click.Option(["--delete"], is_flag=True, help="Also delete what the other side does not have (any more).")
LOCAL_PATH = click.Argument(["path"], required=False, type=LOCAL)
_WORDS = {
    Act.SEND: "send", Act.FETCH: "fetch",
    Act.MARK_THERE: "note time and mode of", Act.MARK_HERE: "set time and mode of",
    Act.DELETE_THERE: "delete there", Act.DELETE_HERE: "delete here", Act.MAKE_THERE: "make folder there",
    Act.MAKE_HERE: "make folder here", Act.REMOVE_THERE: "remove folder there", Act.REMOVE_HERE: "remove folder here"}


@row("sync", takes="local", params=(
    LOCAL_PATH, click.Option(["--to"], metavar="REMOTE", type=REMOTE, help="The remote place, from now on."), DELETE,
    DRY_RUN, YES,
), examples=(
    ("push src", "into /USERNAME/src at first, and wherever that is from then on"),
    ("push src --to /team/src", "its remote place is /team/src from now on"),
    ("push", "the folder in which you are on this machine"),
    ("push src --delete --dry-run", "what would be sent, and deleted there"),
))
def push(session: Session, path: str | None, to: str | None, delete: bool, dry_run: bool, yes: bool) -> None:
    """Send what changed in a local file or folder to its remote place.

    Files are compared by size and hash; those that are the same are not sent. Times and modes are kept in the
    metadata. What only the remote place has stays, unless --delete moves it to the trash. Links to files are sent as
    the files they lead to; links to folders, sockets and the like are left out. After Ctrl-C the same command goes on
    with the rest.
    """
    with _memory() as memory:
        here = _local(session, path)
        there = session.place(to) if to is not None else _place(session, memory, here)
        task = Task(here, there, Way.PUSH, session.cluster_uuid, delete)
        _run(session, memory, task, dry_run=dry_run, yes=yes, bind=True)


@row("sync", takes="local", params=(
    LOCAL_PATH, click.Option(["--from", "source"], metavar="REMOTE", type=REMOTE,
                             help="The remote place, from now on."), DELETE, DRY_RUN, YES,
), examples=(
    ("pull src", "what changed at the remote place of src"),
    ("pull src --from /team/src", "from there, now and from now on"),
    ("pull src --delete --dry-run", "what would be fetched, and deleted here"),
))
def pull(session: Session, path: str | None, source: str | None, delete: bool, dry_run: bool, yes: bool) -> None:
    """Fetch what changed at the remote place of a local file or folder.

    Makes the local side like the remote one; times and modes come back from the metadata. What only this machine has
    stays, unless --delete. A local file that changed here since both sides were the same is replaced too, and its old
    bytes are kept below ~/.local/state/fluffy/replaced for 30 days; the command says where.
    """
    with _memory() as memory:
        if source is None and path is not None and _means_remote(memory, session, unmask(path)):
            here, there = Path.cwd() / posixpath.basename(unmask(path).rstrip("/")), session.path(unmask(path))
        else:
            here = _local(session, path)
            there = session.place(source) if source is not None else _place(session, memory, here)
        task = Task(here, there, Way.PULL, session.cluster_uuid, delete)
        _run(session, memory, task, dry_run=dry_run, yes=yes, bind=True)


@row("sync", params=(LOCAL_PATH, DELETE, DRY_RUN, YES), takes="local", examples=(
    ("sync", "the folder in which you are, and its remote place"),
    ("sync notes --dry-run", "what would go which way"),
    ("sync notes --delete", "deletions go the other way, too"),
))
def sync(session: Session, path: str | None, delete: bool, dry_run: bool, yes: bool) -> None:
    """Make a local folder and its remote place the same, both ways.

    What changed on one side since both were the same goes to the other. What changed on both is a conflict: it stays as
    it is on either side and is named, and push or pull of that file decides. A file that one side lacks comes back from
    the other; with --delete it is deleted there, if it did not change since both were the same.
    """
    with _memory() as memory:
        here = _local(session, path)
        task = Task(here, _place(session, memory, here), Way.SYNC, session.cluster_uuid, delete)
        _run(session, memory, task, dry_run=dry_run, yes=yes, bind=True)


@row("sync", name="import", takes="local-then-remote", params=(
    click.Argument(["host_path"], type=LOCAL), click.Argument(["dfs_path"], type=REMOTE), ENDPOINT, DELETE, DRY_RUN,
    YES,
), examples=(
    ("import /srv/photos /photos/2026", "what is in the one is then in the other"),
    ("import s3://photos/2026 /photos/2026 --endpoint http://old:9000", "the objects of a bucket of any S3"),
    ("import report.pdf docs/", "with a slash at the end: into that folder"),
))
def import_command(session: Session, host_path: str, dfs_path: str, endpoint: str | None, delete: bool, dry_run: bool,
                   yes: bool) -> None:
    """Bring a local file or folder in, to exactly that remote path; only what is not there yet is sent.

    Like push, but the local path does not remember the place. In place of a local path also s3://BUCKET/PREFIX of any
    S3 (with fluffy[s3]): content types, metadata and tags come along, bytes are verified, the same command goes on
    where it was cut, and says at the end what is different. Credentials are those of the environment or ~/.aws.
    """
    if is_bucket(unmask(host_path)):
        _refuse_delete(delete)
        import_bucket(session, unmask(host_path), session.place(dfs_path), endpoint, dry_run=dry_run)
        return
    with _memory() as memory:
        here, there = _local(session, host_path), session.place(dfs_path)
        if unmask(dfs_path).endswith("/") or (not here.is_dir() and is_remote_folder(session, there)):
            there = posixpath.join(there, here.name)
        task = Task(here, there, Way.PUSH, session.cluster_uuid, delete)
        _run(session, memory, task, dry_run=dry_run, yes=yes, bind=False)


@row("sync", name="export", takes="remote-then-local", params=(
    click.Argument(["dfs_path"], type=REMOTE), click.Argument(["host_path"], type=LOCAL), ENDPOINT, DELETE, DRY_RUN,
    YES,
), examples=(
    ("export /photos/2026 /srv/photos", "what is in the one is then in the other"),
    ("export /photos s3://backup/photos --endpoint https://s3.example.com", "into a bucket of any S3"),
    ("export docs/report.pdf /tmp/", "with a slash at the end: into that folder"),
))
def export_command(session: Session, dfs_path: str, host_path: str, endpoint: str | None, delete: bool, dry_run: bool,
                   yes: bool) -> None:
    """Bring a remote file or folder out, to exactly that local path; only what is not there yet is fetched.

    Like pull, but the local path does not remember the place. In place of a local path also s3://BUCKET/PREFIX of any
    S3 (with fluffy[s3]), as import has it; the bucket must be there.
    """
    if is_bucket(unmask(host_path)):
        _refuse_delete(delete)
        export_folder(session, session.single(dfs_path), unmask(host_path), endpoint, dry_run=dry_run)
        return
    with _memory() as memory:
        there, here = session.single(dfs_path), _local(session, host_path)
        if unmask(host_path).endswith("/") or (here.is_dir() and not is_remote_folder(session, there)):
            here = here / posixpath.basename(there)
        task = Task(here, there, Way.PULL, session.cluster_uuid, delete)
        _run(session, memory, task, dry_run=dry_run, yes=yes, bind=False)


def _refuse_delete(delete: bool) -> None:
    if delete:
        raise NotSupported("--delete is for local folders; what only one side has is told at the end, to be deleted by"
                           " hand")


@contextmanager
def _memory() -> Iterator[SyncMemory]:
    memory = SyncMemory(user_state_folder(os.environ))
    try:
        yield memory
    finally:
        memory.close()


def _local(session: Session, word: str | None) -> Path:
    """The absolute local path that one word means; without a word the present local folder."""
    if word is None:
        return Path.cwd()
    found = session.local([word])
    if len(found) != 1:
        raise LocalFileFailed(f"{unmask(word)} fits {len(found)} local paths; name one")
    path = Path(os.path.abspath(found[0]))
    # The folder's own name, not that of a link to it, is what is remembered; a link to a file keeps its name.
    return path.parent.resolve() / path.name if not path.is_dir() else path.resolve()


def _place(session: Session, memory: SyncMemory, here: Path) -> str:
    """The remote place of a local path."""
    found = memory.place_of(session.cluster_uuid, str(here))
    if found is None:
        if not here.name:
            raise LocalFileFailed("the root of this machine has no remote place; say --to or --from, or use import")
        return str(parse_path(posixpath.join(session.cwd, here.name)))
    local, remote = found
    below = here.relative_to(local).as_posix()
    return remote if below == "." else str(parse_path(posixpath.join(remote, below)))


def _means_remote(memory: SyncMemory, session: Session, text: str) -> bool:
    """Whether the word of `pull` can only be a remote path: absolute, and nothing here that it could be."""
    path = Path(text)
    return (path.is_absolute() and not os.path.lexists(path) and not path.parent.is_dir()
            and memory.place_of(session.cluster_uuid, str(path)) is None)


def _run(session: Session, memory: SyncMemory, task: Task, *, dry_run: bool, yes: bool, bind: bool) -> None:
    prepared = session.client.prepare_sync(memory, task)
    if dry_run:
        _show_plan(session, prepared)
        return
    if deletions := _deletions(prepared):
        confirm(session, f"{deletions}: go on?", yes=yes, undoable=True)
    if bind:
        memory.note_place(task.cluster, str(task.here), task.there)
    moves = prepared.plan.count(Act.SEND, Act.FETCH)
    doing = {Way.PUSH: "sent", Way.PULL: "fetched", Way.SYNC: "moved"}[task.way] + f" of {moves}:"
    try:
        with TreeCount(session.output, doing) as count:
            report = session.client.carry_out_sync(
                memory, prepared, user_state_folder(os.environ), lock_for=session.lock_for,
                on_step=lambda path, size: count(path, size))
    except (FluffyError, KeyboardInterrupt):
        session.output.note("not finished: what is done stays done, and the same command goes on with the rest")
        raise
    _show_report(session, task, report)


def _deletions(prepared: Prepared) -> str:
    """What is asked about before it is done; empty when nothing is to be deleted."""
    there, here = prepared.plan.count(Act.DELETE_THERE), prepared.plan.count(Act.DELETE_HERE)
    told = [f"in {prepared.task.there} {_files(there)} to the trash"] if there else []
    return " and ".join([*told, *([f"{_files(here)} deleted in {prepared.task.here.name} here"] if here else [])])


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _show_plan(session: Session, prepared: Prepared) -> None:
    plan, task = prepared.plan, prepared.task
    if session.output.json:
        session.output.document({
            "local": str(task.here), "remote": task.there, "dry_run": True, "same": prepared.same,
            "send": plan.count(Act.SEND), "fetch": plan.count(Act.FETCH),
            "delete": plan.count(Act.DELETE_HERE, Act.DELETE_THERE),
            "bytes": sum(step.size for step in plan.steps), "skipped": dict(sorted(prepared.skipped.items())),
            "plan": [_step_document(step) for step in plan.steps], "conflicts": plan.conflicts,
            **_failures(prepared.failed)})
        return
    for step in plan.steps[:LINES_MAX]:
        size = f" ({format_size(step.size)})" if step.act in (Act.SEND, Act.FETCH) else ""
        kept = ", keeping its old bytes aside" if step.keep else ""
        session.output.line(f"would {_WORDS[step.act]} {safe(step.path or '.')}{size}{kept}")
    if len(plan.steps) > LINES_MAX:
        session.output.line(f"… and {len(plan.steps) - LINES_MAX} more; --json tells all")
    for path, reason in sorted(plan.conflicts.items())[:LINES_MAX]:
        session.output.line(f"would leave {safe(path or '.')}: {reason}")
    session.output.line(_plan_line(plan, prepared))


def _plan_line(plan: Plan, prepared: Prepared) -> str:
    return (f"{safe(str(prepared.task.here))} and {safe(prepared.task.there)}: {plan.count(Act.SEND)} to send, "
            f"{plan.count(Act.FETCH)} to fetch, {plan.count(Act.DELETE_HERE, Act.DELETE_THERE)} to delete, "
            f"{prepared.same} the same; nothing was done")


def _step_document(step: Step) -> Mapping[str, Any]:
    return {"act": step.act.value, "path": step.path, "bytes": step.size, **({"keep": True} if step.keep else {})}


def _failures(failed: list[tuple[str, FluffyError]]) -> Mapping[str, Any]:
    return {"failed": len(failed),
            "errors": [{"path": path, **error_document(error)["error"]} for path, error in failed]}


def _show_report(session: Session, task: Task, report: Report) -> None:
    if session.output.json:
        session.output.document({"local": str(task.here), "remote": task.there, **report.document(),
                                 **_failures(report.failed)})
    else:
        for path, error in report.failed[:LINES_MAX]:
            told = safe(path or ".")
            session.output.note(f"{told}: {error.message}")
        if len(report.failed) > LINES_MAX:
            session.output.note(f"… and {len(report.failed) - LINES_MAX} more; --json tells all")
        for line in _report_lines(task, report):
            session.output.line(line)
    if report.failed:
        click.get_current_context().exit(EXIT_REFUSED)


def _report_lines(task: Task, report: Report) -> Iterator[str]:
    parts = []
    if task.way is not Way.PULL:
        parts.append(f"sent {report.sent}")
    if task.way is not Way.PUSH:
        parts.append(f"fetched {report.fetched}")
    parts.append(f"same {report.same}")
    parts += [f"{word} {count}" for word, count in (("times and modes", report.marked), ("deleted", report.deleted),
                                                    ("skipped", len(report.skipped))) if count]
    parts.append(f"failed {len(report.failed)}")
    rate = f", {report.moved / report.seconds:.0f} files/s" if report.moved and report.seconds else ""
    arrow = {Way.PUSH: "->", Way.PULL: "<-", Way.SYNC: "<->"}[task.way]
    yield (f"{safe(str(task.here))} {arrow} {safe(task.there)}: {', '.join(parts)} "
           f"({format_size(report.bytes)} in {report.seconds:.1f} s{rate})")
    reasons = sorted(set(report.skipped.values()))
    for reason in reasons:
        paths = sorted(path for path, why in report.skipped.items() if why == reason)
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"skipped: {safe(paths[0])}{more} ({reason})"
    if report.kept_in is not None:
        yield f"what changed here and was replaced or deleted ({_files(report.kept)}) is kept in {safe(report.kept_in)}"


SPECS: tuple[Spec, ...] = (push, pull, import_command, export_command, sync)
