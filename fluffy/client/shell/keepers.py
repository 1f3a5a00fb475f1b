"""The commands about background work on the nodes: its pace, and bad copies that were set aside."""

from __future__ import annotations

import click

from fluffy.base.units import format_size
from fluffy.client.shell.acts import YES, confirm
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row

MODES = ("quiet", "balanced", "fast", "config")


@row("cluster", params=(click.Argument(["mode"], type=click.Choice(MODES)),), examples=(
    ("repair quiet", "a twelfth of a gigabit wire at most"), ("repair config", "what config.yaml says")))
def repair(session: Session, mode: str) -> None:
    """Say how much repair may take from disks and wires, on all nodes, from now on."""
    document = session.client.set_repair(None if mode == "config" else mode)
    if session.output.json:
        session.output.document(document)
    else:
        session.output.line(f"repair is {mode} now" if mode != "config" else "repair is what config.yaml says")


@row("cluster", params=(
    click.Option(["--purge"], is_flag=True, help="Remove them for good."),
    click.Option(["--chunk"], metavar="ID", help="With --purge: only the copies of this chunk."), YES,
), examples=(("quarantine", "bad copies, on which node, and why"), ("quarantine --purge", "after you have looked")))
def quarantine(session: Session, purge: bool, chunk: str | None, yes: bool) -> None:
    """Show bad copies that the nodes have set aside."""
    if purge:
        confirm(session, "what is in quarantine is removed for good. Go on?", yes=yes)
        document = session.client.purge_quarantine(chunk)
    elif chunk is not None:
        raise click.UsageError("--chunk goes with --purge")
    else:
        document = session.client.quarantine()
    if session.output.json:
        session.output.document(document)
        return
    for node in document["nodes"]:
        name = safe(str(node.get("node")))
        if "error" in node:
            session.output.line(f"{name}: {safe(str(node['error']))}")
        elif purge:
            session.output.line(f"{name}: {node['purged']} removed")
        else:
            session.output.line(f"{name}: {len(node['quarantine'])} bad copies")
            for one in node["quarantine"]:
                session.output.line(f"  {safe(str(one['chunk']))[:16]}  {safe(str(one['at']))}  "
                                    f"{format_size(one['bytes']):>10}  {safe(str(one['reason']))}")


SPECS: tuple[Spec, ...] = (repair, quarantine)
