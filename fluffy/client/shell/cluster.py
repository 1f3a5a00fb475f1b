"""The commands about the cluster: its state, its nodes, and which of them is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from fluffy.base.units import format_size
from fluffy.client.results_history import Change
from fluffy.client.shell.jobs import missing_text
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row

_STATE_COLOURS = {"up": "green", "joining": "cyan", "suspect": "yellow", "draining": "yellow", "down": "red"}


@row("cluster", examples=(("status", "what the answering peer knows"), ("status --json", "all of it")))
def status(session: Session) -> None:
    """Show the state of the cluster: leader, nodes, files, missing copies."""
    document = session.client.status()
    if session.output.json:
        session.output.document(document)
        return
    cluster, usage = _part(document, "cluster"), _part(document, "usage")
    facts = [
        ("cluster", f"{cluster.get('name')} ({cluster.get('uuid')})"),
        ("answered by", f"{document.get('node')} at {session.client.peer}, version {document.get('version')}"),
        ("leader", document.get("leader") or "none: no node is leading now, so nothing can be written"),
        ("files", f"{usage.get('files', '?')}, {format_size(usage.get('bytes', 0))}"),
        ("chunks", f"{usage.get('chunks', '?')}, {format_size(usage.get('chunk_bytes', 0))} before copies"),
        ("copies", _copies(document, usage)),
        ("log", _log_line(document)),
    ]
    for key, value in facts:
        session.output.line(f"{session.output.style(f'{key:<12}', 'cyan')} {safe(str(value))}")
    nodes = document.get("nodes")
    if isinstance(nodes, list):
        _show_nodes(session, nodes)


def _copies(document: Mapping[str, Any], usage: Mapping[str, Any]) -> str:
    wanted = _part(document, "settings").get("replication", "?")
    repair = _part(document, "repair")
    counted = _part(repair, "copies")
    if not counted:
        missing = usage.get("missing_chunks", 0)
        return f"{wanted} of each chunk" + (f"; {missing} chunks have fewer now" if missing else ", all there")
    if not counted.get("missing_copies"):
        return f"{wanted} of each chunk, all there"
    return f"{wanted} of each chunk; {missing_text(counted, repair)}"


def _log_line(document: Mapping[str, Any]) -> str:
    log = _part(document, "log")
    if not log:
        return "the log process of this peer does not answer"
    line = (f"position {log.get('applied_index')}, term {log.get('term')}, {format_size(log.get('bytes', 0))}, "
            f"checkpoint at {log.get('checkpoint_index')}")
    if log.get("waiting_for"):
        line += f"; {log['waiting_for']}"
    return line if log.get("fsync", True) else line + "; fsync is OFF: a power cut may lose acknowledged writes"


@row("cluster", examples=(("nodes", "addresses, state and load of each"),))
def nodes(session: Session) -> None:
    """Show the nodes of the cluster."""
    document = session.client.nodes()
    if session.output.json:
        session.output.document(document)
        return
    found = document.get("nodes")
    _show_nodes(session, found if isinstance(found, list) else [])


def _show_nodes(session: Session, nodes: Sequence[Mapping[str, Any]]) -> None:
    head = f"{'node':<12} {'state':<9} {'link':<5} {'behind':>7} {'chunks':>9} {'bytes':>11}  {'zone':<8} address"
    session.output.line(session.output.style(head, bold=True))
    for node in nodes:
        state = safe(str(node.get("state", "?")))
        connected = node.get("connected")
        link = "?" if connected is None else "up" if connected else "down"
        behind = "?" if node.get("behind") is None else str(node["behind"])
        name = safe(str(node.get("name", "?"))) + ("*" if node.get("leader") else "")
        session.output.line(
            f"{name:<12} {session.output.style(f'{state:<9}', _STATE_COLOURS.get(state))} {link:<5} {behind:>7} "
            f"{node.get('chunks', '?'):>9} {format_size(node.get('bytes', 0)):>11}  "
            f"{safe(str(node.get('zone', ''))):<8} {safe(str(node.get('host', '?')))}:{node.get('http', '?')}")
    session.output.line("* leads")


@row("cluster", params=(click.Argument(["url"], required=False),), examples=(
    ("peer", "which peer is asked, and which others are known"), ("peer 127.0.0.1:7102", "ask this one first")))
def peer(session: Session, url: str | None) -> None:
    """Show or switch the peer that is asked first."""
    client = session.client
    if url is not None:
        client.use_peer(url)
    document = client.status()
    if session.output.json:
        session.output.document({"peer": client.peer, "node": document.get("node"), "peers": list(client.peers)})
        return
    session.output.line(f"{safe(client.peer)} (node {safe(str(document.get('node')))})")
    others = [known for known in client.peers if known != client.peer]
    if others:
        session.output.line(f"also known: {safe(', '.join(others))}")


@row("cluster", examples=(("checkpoint", "shortens the log of the answering node"),))
def checkpoint(session: Session) -> None:
    """Make a checkpoint of the metadata now."""
    document = session.client.checkpoint()
    if session.output.json:
        session.output.document(document)
    else:
        node, index = safe(str(document.get("node"))), document.get("index")
        session.output.line(f"node {node} has a checkpoint at position {index}")


@row("cluster", takes="remote", params=(
    click.Argument(["path"], required=False, type=REMOTE),
    click.Option(["--since"], type=click.IntRange(0), metavar="SEQ", help="Begin behind this position; else now."),
    click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="End after so many changes."),
    click.Option(["--no-follow"], is_flag=True, help="Only what has happened already; with --since."),
), examples=(
    ("watch", "every change that you may see, as it happens; Ctrl-C ends"), ("watch /team/docs", "only there"),
    ("watch --since 0 --no-follow", "all that the cluster remembers"), ("watch --json", "one document a line")))
def watch(session: Session, path: str | None, since: int | None, limit: int | None, no_follow: bool) -> None:
    """Follow the changes of files and folders as they happen."""
    wanted = session.place(path) if path is not None else "/"
    begin = int(session.client.status().get("seq", 0)) if since is None else since
    shown = 0
    try:
        for change in session.client.changes(begin, follow=not no_follow):
            if not (_lies_in(change.path, wanted) or (change.source and _lies_in(change.source, wanted))):
                continue
            if session.output.json:
                session.output.document(change.document)
            else:
                session.output.line(_change_line(session, change))
            session.output.out.flush()
            shown += 1
            if limit is not None and shown >= limit:
                return
    except KeyboardInterrupt:
        return  # the way to end it


def _lies_in(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(folder + "/")


def _change_line(session: Session, change: Change) -> str:
    what = session.output.style(f"{safe(change.kind):<10}", "cyan")
    size = f"  {format_size(change.size)}" if change.generation else ""
    source = f"  from {safe(change.source)}" if change.source else ""
    when = change.at.astimezone().strftime("%H:%M:%S")
    return f"{change.seq:>8}  {when}  {what} {safe(change.path)}{source}{size}  {safe(change.owner)}"


def _show_document(session: Session, document: Mapping[str, Any]) -> None:
    """What the server said, key by key."""
    if session.output.json:
        session.output.document(document)
        return
    for key, value in document.items():
        session.output.line(f"{session.output.style(f'{safe(key):<12}', 'cyan')} {safe(str(value))}")


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


SPECS: tuple[Spec, ...] = (
    status, nodes, peer, checkpoint, watch)
