"""The acts of `fluffy admin` that work on a stopped node's folder on this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from fluffy.apps.force_new_cluster import Survivor, stopped
from fluffy.apps.reset_node import reset_node
from fluffy.apps.settings import NodeSettings, Settings, load
from fluffy.client.shell.acts import confirm, prompt
from fluffy.client.shell.admin import ADMIN_ACTS, AdminAct, AdminWords, make_admin, needed
from fluffy.client.shell.output import EXIT_REFUSED, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Example, Spec


def _node(session: Session, words: AdminWords) -> tuple[Settings, NodeSettings]:
    settings = load(session.config)
    return settings, settings.node(needed(words, "which NODE, as in config.yaml"))


def reset(session: Session, words: AdminWords) -> None:
    settings, node = _node(session, words)
    confirm(session, f"node {node.name} forgets its cluster: its log and database are set aside, and it can only come "
                     f"back as a newcomer. Its chunks stay. Only for a node whose log is lost. Go on?", yes=words.yes)
    aside, moved = reset_node(settings, node)
    if session.output.json:
        session.output.document({"node": node.name, "set_aside": str(aside), "moved": moved})
        return
    session.output.line(f"node {node.name} is a newcomer now; what it knew is in {safe(str(aside))}: "
                        f"{', '.join(moved)}")
    session.output.line(f"While other nodes live: 'recover {node.name}' at one of them, then "
                        f"'server.py {node.name} --join HOST:PORT'.")
    session.output.line("When all nodes have lost their logs: reset all of them, start them, then "
                        "'fluffy admin restore --from-storage' or 'fluffy admin restore FILE'.")


def force_new(session: Session, words: AdminWords) -> None:
    settings, node = _node(session, words)
    with stopped(settings, node) as found:
        if words.dry_run or not session.output.json:
            _show_survivor(session, found.survivor)
        if words.dry_run:
            return
        if not session.output.json:
            session.output.line(_WARNING.format(name=node.name))
        _confirm_by_name(session, node.name, yes=words.yes)
        done = found.go_on_alone()
    if session.output.json:
        session.output.document({"node": node.name, "cluster": done.cluster_uuid, "left_out": list(done.left_out),
                                 **asdict(done.before)})
        return
    session.output.line(f"node {node.name} is a cluster of its own now: {done.cluster_uuid}, in term and log behind "
                        f"{done.before.last_index}. Left out for good: {', '.join(done.left_out) or 'nobody'}.")
    session.output.line(f"Next: start it (server.py {node.name}); on each other machine that is to come back: "
                        f"'fluffy admin reset-node NAME', then 'server.py NAME --join {node.host}:{node.http}'. Files "
                        f"larger than inline_max can be written again when write_quorum nodes are there.")


_WARNING = """What this does, and what it costs:
 - {name} alone becomes the cluster. What the lost nodes had acknowledged and {name} never received is lost.
 - The other nodes, if they live, can never come back as they are: reset them, and let them join anew.
 - If a majority of the nodes can be brought back, do that instead; nothing is lost then.
 - If several nodes survived, take the one of the highest term, and of these the one with the highest last entry;
   -n shows them."""


def _show_survivor(session: Session, found: Survivor) -> None:
    if session.output.json:
        session.output.document(asdict(found))
        return
    session.output.line(f"node {found.name}, cluster {found.cluster_uuid} of {', '.join(found.members)}")
    session.output.line(f"term {found.last_term}, last entry {found.last_index}, of which {found.uncertain} at the end "
                        f"are not known to be committed (they are kept); {found.files} files")


def _confirm_by_name(session: Session, name: str, *, yes: bool) -> None:
    """What cannot be taken back is confirmed by typing the node's name."""
    if yes:
        return
    if not session.can_ask or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: say --yes", click.get_current_context())
    if prompt(f"Type the name of the node to go on ({name}): ").strip() != name:
        session.output.note("nothing was done")
        click.get_current_context().exit(EXIT_REFUSED)


OFFLINE_ACTS: tuple[AdminAct, ...] = (
    AdminAct("force-new-cluster", "NODE", "let a stopped survivor go on alone when the majority is lost for good",
             force_new, (Example("admin force-new-cluster two -n", "what the stopped node two holds"),
                         Example("admin force-new-cluster two", "asks for the name, then does it"))),
    AdminAct("reset-node", "NODE", "make a stopped node whose log is lost a newcomer that keeps its chunks", reset,
             (Example("admin reset-node two", "on its machine; then it is admitted again"),)),
)

# The shell's `admin`, with these acts added.
SPECS: tuple[Spec, ...] = (make_admin((*ADMIN_ACTS, *OFFLINE_ACTS)),)
