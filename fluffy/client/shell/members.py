"""The commands about machines that are emptied, go, come back and are replaced."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from fluffy.base.errors import FluffyError, PreconditionFailed
from fluffy.base.units import format_size
from fluffy.client.shell.acts import YES, confirm
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row

POLL_S = 1.0
# The leader takes a second or two for each step: the vote, the membership.
REMOVE_WAIT_S = 60.0


@row("cluster", params=(
    click.Argument(["node"]),
    click.Option(["--cancel"], is_flag=True, help="Let the node be filled again."),
    click.Option(["--wait"], is_flag=True, help="Go on until it is safe to stop the node."), YES,
), examples=(
    ("drain two", "before it leaves for good; again: how far it is"), ("drain two --wait -y", "until it is empty"),
    ("drain two --cancel", "it stays after all")))
def drain(session: Session, node: str, cancel: bool, wait: bool, yes: bool) -> None:
    """Empty a node before it leaves: its copies go to the others."""
    progress = session.client.drain_progress(node)
    if cancel:
        progress = session.client.drain(node, cancel=True)
    elif not progress.get("draining"):
        confirm(session, f"all copies on node {node} move to other nodes. Go on?", yes=yes, undoable=True)
        progress = session.client.drain(node)
    _show_drain(session, progress, cancelled=cancel)
    said_s = time.monotonic()
    while wait and not cancel and not progress.get("safe"):
        time.sleep(POLL_S)
        progress = session.client.drain_progress(node)
        if progress.get("safe") or time.monotonic() - said_s > 10 * POLL_S:
            said_s = time.monotonic()
            _show_drain(session, progress)


def _show_drain(session: Session, progress: Mapping[str, Any], *, cancelled: bool = False) -> None:
    if session.output.json:
        session.output.document(progress)
        return
    node = safe(str(progress.get("node")))
    if cancelled:
        session.output.line(f"{node} is no longer emptied; it gets new chunks again")
        return
    held = f"{progress.get('chunks')} chunks ({format_size(int(progress.get('bytes', 0)))})"
    session.output.line(f"{node} holds {held}, {progress.get('waiting')} of them wait to be copied elsewhere")
    session.output.line(safe(str(progress.get("verdict"))))
    if progress.get("safe") and progress.get("draining"):
        session.output.line(f"to end its membership: remove {node}")


@row("cluster", params=(
    click.Argument(["node"]),
    click.Option(["--force"], is_flag=True, help="A dead node, though chunks may be only there."), YES,
), examples=(("remove two", "after: drain two"), ("remove two --force", "it is dead and will not come back")))
def remove(session: Session, node: str, force: bool, yes: bool) -> None:
    """End the membership of a node that was emptied, or is dead for good."""
    if not yes:
        confirm(session, _question(session, node, force), yes=False)
    end_s = time.monotonic() + REMOVE_WAIT_S
    document = session.client.remove_node(node, force=force)
    cost = {key: value for key, value in document.items() if key not in ("node", "removed")}
    while not document.get("removed") and time.monotonic() < end_s:
        time.sleep(POLL_S)
        document = session.client.remove_node(node, force=force)
    if session.output.json:
        session.output.document({**document, **cost})
        return
    if not document.get("removed"):
        session.output.line(f"{safe(node)} is leaving; this takes longer than usual, ask again: remove {safe(node)}")
        return
    session.output.line(f"{safe(node)} is no member of the cluster any more; it stops by itself, and its disk cannot "
                        "come back")
    if cost.get("lost_chunks"):
        session.output.line(f"{cost['lost_chunks']} chunks were only there and are lost; doctor names the files")


def _question(session: Session, node: str, force: bool) -> str:
    if not force:
        return f"node {node} leaves the cluster for good. Go on?"
    progress = session.client.drain_progress(node)
    return (f"node {node} leaves the cluster for good, {progress.get('waiting')} chunks will have fewer copies until "
            f"they are copied anew, and {progress.get('only_here')} chunks that are only there are lost. Go on?")


@row("cluster", params=(click.Argument(["node"]),), examples=(
    ("recover two", "it compares its disk with the catalog; or, when it is away, a new disk may take its place"),))
def recover(session: Session, node: str) -> None:
    """Give back to a node what it lost, or let a new disk take its place."""
    document = session.client.recover(node)
    if session.output.json:
        session.output.document(document)
    else:
        session.output.line(safe(str(document.get("does"))))


ROLL_WAIT_S = 900.0


def rolling_restart(session: Session, yes: bool) -> None:
    """Restart all nodes one after the other, the leader last; each only while all is well without it."""
    nodes = _healthy(session, "before it begins")
    confirm(session, f"{len(nodes)} nodes restart one after the other. Go on?", yes=yes)
    leader = session.client.status().get("leader")
    order = sorted(nodes, key=lambda node: node["name"] == leader)
    done = []
    for node in order:
        name = str(node["name"])
        _healthy(session, f"before {name} restarts")
        began_s = time.monotonic()
        url = _url_of(session, node)
        asked_ms = _ask_to_restart(session, name, url)
        _wait_until_back(session, name, url, asked_ms)
        took_s = time.monotonic() - began_s
        done.append({"node": name, "seconds": round(took_s, 1)})
        if not session.output.json:
            session.output.line(f"{safe(name)} restarted, ready after {took_s:.1f} s")
    _healthy(session, "in the end")
    if session.output.json:
        session.output.document({"restarted": done})
    else:
        session.output.line("all nodes run anew, and every chunk has its copies")


def _url_of(session: Session, node: Mapping[str, Any]) -> str:
    scheme = session.client.peer.partition("://")[0]
    host = str(node["host"])
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{node['http']}"


def _healthy(session: Session, when: str) -> list[Mapping[str, Any]]:
    """The nodes, once all are up, connected, and no chunk lacks a copy. Raises FluffyError after a long wait."""
    end_s = time.monotonic() + ROLL_WAIT_S
    said = ""
    while True:
        reason, nodes = _trouble(session)
        if reason is None:
            return nodes
        if time.monotonic() > end_s:
            raise PreconditionFailed(f"stopped {when}: {reason}")
        if reason != said and not session.output.json:
            session.output.line(f"waiting {when}: {safe(reason)}")
        said = reason
        time.sleep(POLL_S)


def _trouble(session: Session) -> tuple[str | None, list[Mapping[str, Any]]]:
    try:
        document = session.client.status()
    except FluffyError as error:
        return error.message, []
    nodes: list[Mapping[str, Any]] = [node for node in document.get("nodes", []) if isinstance(node, dict)]
    missing = document.get("usage", {}).get("missing_chunks", 0)
    away = [str(node["name"]) for node in nodes
            if node.get("state") not in ("up", "draining") or node.get("connected") is False]
    if document.get("leader") is None or not document.get("ready"):
        return "the cluster has no leader at the moment", nodes
    if away:
        return f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} not up", nodes
    return (f"{missing} chunks lack a copy" if missing else None), nodes


def _ask_to_restart(session: Session, name: str, url: str) -> int:
    session.client.use_peer(url)
    return int(session.client.restart_node(name).get("now_ms", 0))


def _wait_until_back(session: Session, name: str, url: str, asked_ms: int) -> None:
    """Until that very node says that it is ready, by a process that began after it was asked."""
    end_s = time.monotonic() + ROLL_WAIT_S
    while time.monotonic() < end_s:
        time.sleep(POLL_S / 2)
        session.client.use_peer(url)
        try:
            told = session.client.readiness()
        except FluffyError:
            continue
        if told.get("node") == name and int(told.get("started_ms", 0)) > asked_ms:
            return
    raise PreconditionFailed(f"{name} did not come back within {ROLL_WAIT_S:.0f} s; the other nodes were left alone")


SPECS: tuple[Spec, ...] = (drain, remove, recover)
