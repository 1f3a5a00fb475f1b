"""`python supernode.py`: will join many clusters into one searchable catalog. Not there yet, and it says so."""

from __future__ import annotations

import sys
from pathlib import Path

import click

AVAILABLE = False
NOT_YET = ("the supernode is not there yet: in this version every cluster stands alone; see CHANGELOG.md, \"Not yet\"")


@click.command(help="Run the supernode of the configuration (not yet).")
@click.option("--config", type=click.Path(path_type=Path), help="default: FLUFFY_CONFIG, then config.yaml")
def main(config: Path | None) -> None:
    click.echo(f"supernode.py: {NOT_YET}", err=True)
    sys.exit(1)
