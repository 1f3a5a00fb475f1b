"""The commands about the cluster: its state, its nodes, and which of them is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from fluffy.base.units import format_size
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row

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
    wanted, missing = _part(document, "settings").get("replication", "?"), usage.get("missing_chunks", 0)
    return f"{wanted} of each chunk" + (f"; {missing} chunks have fewer now" if missing else ", all there")


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


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


SPECS: tuple[Spec, ...] = (status, nodes, peer, checkpoint)
