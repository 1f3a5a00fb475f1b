"""The commands about many clusters: which there are, going to another one, what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from fluffy.base.errors import QuerySyntax
from fluffy.base.units import format_size
from fluffy.client.shell.listing import show_entries
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row
from fluffy.client.shell.words import split_place

_COLOURS = {"fresh": "green", "behind": "cyan", "stale": "yellow", "rebuilding": "cyan", "closed": "red",
            "level": "green", "comparing": "cyan", "stopped": "red"}
_LONG = click.Option(["-l", "--long"], is_flag=True, help="With size, time and owner.")


@row("federation", examples=(("clusters", "state, leader, room and load of each; who you are there"),))
def clusters(session: Session) -> None:
    """Show the clusters that the supernode has joined."""
    show_clusters(session)


def show_clusters(session: Session) -> None:
    found = session.client.clusters()
    if session.output.json:
        session.output.document({"clusters": found})
        return
    head = f"{'cluster':<14} {'state':<11} {'leader':<10} {'nodes':>5} {'files':>9} {'free':>10} {'load':>5}  you are"
    session.output.line(session.output.style(head, bold=True))
    for line in found:
        state = safe(str(line.get("state", "?")))
        name = safe(str(line.get("name"))) + ("*" if line.get("name") == session.cluster else "")
        session.output.line(
            f"{name:<14} {session.output.style(f'{state:<11}', _COLOURS.get(state))} "
            f"{safe(str(line.get('leader') or '-')):<10} {_nodes(line):>5} {_shown(line.get('files')):>9} "
            f"{format_size(line['free_bytes']) if isinstance(line.get('free_bytes'), int) else '?':>10} "
            f"{_shown(line.get('load')):>5}  {safe(str(line.get('you_are') or '-'))}")
        if line.get("reason"):
            session.output.line(f"  {safe(str(line['reason']))}")
    session.output.line("* is the present one; 'use NAME' goes to another")


def _nodes(line: Mapping[str, Any]) -> str:
    return f"{_shown(line.get('nodes_up'))}/{_shown(line.get('nodes'))}"


def _shown(value: object) -> str:
    return "?" if value is None else str(value)


@row("federation", examples=(("mirrors", "how far each is behind, what fails, what of others was kept"),))
def mirrors(session: Session) -> None:
    """Show the buckets that are kept in another cluster."""
    found = session.client.mirrors()
    if session.output.json:
        session.output.document({"mirrors": found})
        return
    for line in found:
        state, lag = safe(str(line.get("state", "?"))), line.get("lag")
        behind = lag if isinstance(lag, Mapping) else {}
        session.output.line(
            f"{safe(str(line.get('from')))} -> {safe(str(line.get('to')))}  "
            f"{session.output.style(state, _COLOURS.get(state))}, {_shown(behind.get('seconds'))} s behind, "
            f"{_shown(behind.get('changes'))} changes and {_shown(behind.get('pending'))} pending, "
            f"{_shown(line.get('kept_count'))} files of others kept")
        for name in ("error", "target_error"):
            if line.get(name):
                session.output.line(f"  {safe(str(line[name]))}")
        done = line.get("since_start")
        if isinstance(done, Mapping) and done.get("noticed"):
            session.output.line(f"  {_shown(done['noticed'])} changes by others at the target were looked at")
    if not found:
        session.output.line("there is none that you may see; supernode.mirrors in its config.yaml names them")


@row("federation", params=(click.Argument(["cluster"]),), examples=(
    ("use beta", "all that follows is about cluster beta, until 'use' again"),))
def use(session: Session, cluster: str) -> None:
    """Go to another cluster, as whoever you are there."""
    if not session.interactive:
        raise QuerySyntax(f"'use' is for a session; for one command write {cluster}:/path, or --peer")
    if cluster != session.cluster:
        session.use(cluster)
    session.output.line(f"{safe(session.user)} in cluster {safe(session.cluster)}")


@row("federation", params=(click.Argument(["place"], required=False), _LONG), examples=(
    ("catalog", "the clusters, as 'clusters' shows them"), ("catalog beta:/", "its buckets"),
    ("catalog -l beta:/bob/docs", "also while beta is away")))
def catalog(session: Session, place: str | None, long: bool) -> None:
    """List a folder of any cluster as the supernode knows it, also of one that is away."""
    if place is None:
        show_clusters(session)
        return
    cluster, path = split_place(place if ":" in place else f"{place}:/")
    if cluster is None:
        raise QuerySyntax("write CLUSTER:/PATH, like beta:/bob/docs")
    show_entries(session, session.client.catalog(cluster, path), long=long)


SPECS: tuple[Spec, ...] = (clusters, mirrors, use, catalog)
