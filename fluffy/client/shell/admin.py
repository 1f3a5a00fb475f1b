"""`admin`: what an operator does now and then. One command with acts, each an `AdminAct`.

Acts that need the machine itself (a stopped node's folder) are added by the composition root: this room knows neither
settings nor folders of nodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import click

from fluffy.base.errors import QuerySyntax
from fluffy.base.units import format_size
from fluffy.client.peers import parse_peer
from fluffy.client.rebuild import Restored
from fluffy.client.rebuild.salvage import OLDER
from fluffy.client.shell.acts import YES, confirm
from fluffy.client.shell.members import rolling_restart
from fluffy.client.shell.output import EXIT_REFUSED, counted, safe
from fluffy.client.shell.progress import TransferBar
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Example, ShellCommand, Spec

# Of whoever runs a supernode, for `admin federate`.
SUPERNODE_TOKEN = "FLUFFY_SUPERNODE_TOKEN"


@dataclass(frozen=True, slots=True)
class AdminWords:
    """What stood after the act. `target`: a file or a node; None: nothing."""

    target: str | None
    yes: bool
    force: bool
    from_storage: bool
    cluster: str | None
    quick: bool
    abandon: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class AdminAct:
    """`takes`: what the word after it is, for the help; empty: there is none. `summary` is one line of the help."""

    name: str
    takes: str
    summary: str
    run: Callable[[Session, AdminWords], None]
    examples: tuple[Example, ...] = ()

    def usage(self) -> str:
        return f"admin {self.name} {self.takes}".rstrip()


def needed(words: AdminWords, what: str) -> str:
    """The word after the act. Raises UsageError."""
    if words.target is None:
        raise click.UsageError(f"say {what}", click.get_current_context())
    return words.target


def make_backup(session: Session, words: AdminWords) -> None:
    target = Path(needed(words, "into which FILE the backup goes"))
    with TransferBar(session.output, "backup") as bar:
        made = session.client.backup(target, overwrite=words.force, progress=bar)
    if session.output.json:
        session.output.document({"path": str(made.path), "size": made.size, "blake3": made.blake3,
                                 "digest": made.digest})
        return
    session.output.line(f"backup of the metadata in {safe(str(made.path))} ({format_size(made.size)}), verified")
    session.output.line(f"BLAKE3 {made.blake3}")
    session.output.line("It holds all names, people and rights, and what passwords and tokens were made into; the "
                        "bytes of larger files are not in it. Keep the cluster's secret file beside it.")


def show_digest(session: Session, words: AdminWords) -> None:
    document = session.client.tree_digest()
    if session.output.json:
        session.output.document(document)
        return
    session.output.line(f"{document['digest']}  {document['files']} files, {format_size(document['bytes'])}, "
                        f"{document['folders']} folders")
    for part in ("tree", "people", "history"):
        session.output.line(f"{part:<8} {document[part]}")


def restart_all(session: Session, words: AdminWords) -> None:
    rolling_restart(session, words.yes)


def restore(session: Session, words: AdminWords) -> None:
    """Bring a tree back into an empty cluster."""
    if words.abandon:
        confirm(session, "what was restored so far is thrown away. Go on?", yes=words.yes)
        session.client.abandon_restore()
        session.output.note("given up; the cluster is empty again")
        return
    if words.from_storage == (words.target is not None):
        raise click.UsageError("say which backup FILE, or --from-storage", click.get_current_context())
    with _Stages(session) as stages:
        if words.target is not None:
            result = session.client.restore_backup(words.target, stages)
        else:
            result = session.client.restore_from_storage(Path.cwd(), stages, cluster_uuid=words.cluster,
                                                         quick=words.quick, dry_run=words.dry_run)
    _show_restored(session, result, dry_run=words.dry_run)
    if any(why != OLDER for _, _, why in result.lost):
        click.get_current_context().exit(EXIT_REFUSED)


def _show_restored(session: Session, result: Restored, *, dry_run: bool) -> None:
    out = session.output
    if out.json:
        out.document({
            "digest": result.digest, "files": result.files, "bytes": result.bytes, "folders": result.folders,
            "chunks": result.chunks, "chunks_nowhere": result.chunks_nowhere, "silent": result.silent,
            "cluster": result.cluster_uuid or None, "salvaged": asdict(result.salvaged) if result.salvaged else None,
            "nodes": [asdict(node) for node in result.nodes],
            "lost": [{"path": path, "generation": generation, "why": why} for path, generation, why in result.lost]})
        return
    for name, reason in result.silent.items():
        out.note(f"node {name} was not asked: {reason}")
    for node in result.nodes:
        known = "does not know the whole tree" if node.whole_seq is None else f"knows all up to {node.whole_seq}"
        damage = f", {format_size(node.damaged_bytes)} damaged" if node.damaged_bytes else ""
        out.line(f"{safe(node.name):<12} {node.records} manifests, {known}{damage}")
    for path, generation, why in result.lost:
        out.line(f"{safe(path)} (generation {generation}): {why}")
    did = "would be restored" if dry_run else "restored"
    out.line(f"{did}: {counted(result.files, 'file')}, {format_size(result.bytes)}, "
             f"{counted(result.folders, 'folder')}, {counted(result.chunks, 'chunk')}")
    if result.salvaged is not None:
        sums = result.salvaged
        out.line(f"not restored: {sums.lost}; as an older generation: {sums.older}; told about differently: "
                 f"{sums.disputed}; deleted before, and stay so: {sums.deleted}")
        out.line("Tokens, S3 keys, locks, old versions and the trash are not kept in manifests. People log in with "
                 "their passwords; give new tokens to those who had some.")
    elif result.lost:
        out.line(f"{counted(len(result.lost), 'file')} above are there by name, and their bytes are on no node: bring "
                 "the chunk folders back and say 'recover NODE', or delete them")
    out.line(f"digest {result.digest}")


class _Stages:
    """A bar for each stage of a restore; the callback comes from the client's thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stage = ""
        self._bar: TransferBar | None = None

    def __enter__(self) -> _Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage != self._stage or self._bar is None:
            if self._bar is not None:
                self._bar.__exit__(None, None, None)
            self._stage, self._bar = stage, TransferBar(self._session.output, stage)
        self._bar(done, total)
def federate(session: Session, words: AdminWords) -> None:
    url = parse_peer(needed(words, "which SUPERNODE_URL shall join this cluster"))
    token = os.environ.get(SUPERNODE_TOKEN) or session.connection.operators.get(url)
    if not token:
        raise QuerySyntax(f"the supernode's operator must agree: put the text of its operator.token into "
                          f"{SUPERNODE_TOKEN} (it lies in DIR.keep/ beside the supernode's folder)")
    document = session.client.federate(url, token)
    if session.output.json:
        session.output.document(document)
    else:
        session.output.line(f"the supernode at {safe(url)} has joined cluster {safe(str(document.get('cluster')))}")
        if url not in session.client.supernodes():
            session.output.line(f"to search everywhere from here, put {safe(url)} into cluster.supernodes of "
                                "config.yaml and restart the nodes")


ADMIN_ACTS: tuple[AdminAct, ...] = (
    AdminAct("federate", "SUPERNODE_URL", "let a supernode join this cluster: make its token and hand it over",
             federate, (Example("admin federate http://127.0.0.1:7000", "with its operator's token"),)),
    AdminAct("rolling-restart", "", "restart all nodes, one after the other, each only while all is well without it",
             restart_all, (Example("admin rolling-restart", "after an upgrade of the program or the configuration"),)),
    AdminAct("backup", "FILE", "bring a backup of the metadata to this machine: names, people, rights, list of chunks",
             make_backup, (Example("admin backup monday.fluffy", "one SQLite file, verified; --force replaces it"),)),
    AdminAct("restore", "FILE", "bring a backup, or with --from-storage what the disks hold, into an empty cluster",
             restore, (Example("admin restore monday.fluffy", "everything as it was; what has no bytes is named"),
                       Example("admin restore --from-storage -n", "what the disks still hold"))),
    AdminAct("digest", "", "show a digest of all names, people and history; equal where the same is held",
             show_digest, (Example("admin digest", "before and after a restore"),)),
)


def make_admin(acts: Sequence[AdminAct] = ADMIN_ACTS) -> Spec:
    """The row of the table of commands."""
    by_name = {act.name: act for act in acts}

    def callback(act: str, target: str | None, yes: bool, force: bool, from_storage: bool, cluster: str | None,
                 quick: bool, abandon: bool, dry_run: bool) -> None:
        words = AdminWords(target, yes, force, from_storage, cluster, quick, abandon, dry_run)
        chosen = by_name[act]
        if target is not None and not chosen.takes:
            raise click.UsageError(f"'admin {act}' takes no further word", click.get_current_context())
        chosen.run(click.get_current_context().obj, words)

    lines = "\n".join(f"  {act.usage():<28} {act.summary}" for act in acts)
    command = ShellCommand(
        "admin", callback=callback, help=f"Look after the cluster: backups, disasters, restarts.\n\n\b\n{lines}",
        params=[
            click.Argument(["act"], type=click.Choice(list(by_name))), click.Argument(["target"], required=False),
            YES, click.Option(["--force"], is_flag=True, help="Replace a local file."),
            click.Option(["--from-storage"], is_flag=True, help="Restore from what the nodes' disks still hold."),
            click.Option(["--cluster"], metavar="UUID", help="Whose remains, when disks hold those of several."),
            click.Option(["--quick"], is_flag=True, help="Believe that the chunks on the disks are good."),
            click.Option(["--abandon"], is_flag=True, help="Give up a restore that has begun."),
            click.Option(["-n", "--dry-run"], is_flag=True, help="Only say what would be done.")])
    spec = Spec("admin", "cluster", command, examples=tuple(example for act in acts for example in act.examples))
    command.spec = spec
    return spec


SPECS: tuple[Spec, ...] = (make_admin(),)
