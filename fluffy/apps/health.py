"""`fluffy-health`: whether the node or supernode of this machine is well, as an exit code: for containers and timers.

0: well. 1: not (the reason on stderr). Without a name: the node FLUFFY_NODE, and without that the supernode.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fluffy.apps.local_nodes import probe
from fluffy.apps.settings import load
from fluffy.base.errors import StartRefused


@click.command(help="Exit 0 if the node NAME (default: FLUFFY_NODE; without one the supernode) is alive, else 1.")
@click.argument("name", envvar="FLUFFY_NODE", required=False)
@click.option("--config", type=click.Path(path_type=Path), help="default: FLUFFY_CONFIG, then config.yaml")
@click.option("--ready", is_flag=True, help="ask for more: a leader, and caught up")
def main(name: str | None, config: Path | None, ready: bool) -> None:
    try:
        host, port, scheme = _door(name, config)
    except StartRefused as error:
        click.echo(f"fluffy-health: {error.message}", err=True)
        sys.exit(1)
    status, body = probe(host, port, scheme, "/readyz" if ready else "/healthz")
    if status != 200:
        click.echo(f"fluffy-health: {scheme}://{host}:{port}: {status or 'silent'}: {body.strip()}", err=True)
        sys.exit(1)


def _door(name: str | None, config: Path | None) -> tuple[str, int, str]:
    """Host, port and scheme to ask. Raises ConfigIllegal."""
    settings = load(config)
    if name is not None:
        node = settings.node(name)
        return node.host, node.http, node.scheme
    if settings.supernode is None:
        raise StartRefused("say which node: NAME, or FLUFFY_NODE")
    return settings.supernode.host, settings.supernode.http, "https" if settings.tls.cert else "http"


if __name__ == "__main__":
    main()
