"""`bench`: how fast this cluster is from here, beside what it was."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fluffy.base.errors import LocalFileFailed
from fluffy.base.units import MIB
from fluffy.client.bench import Figure, bench_folder, hardware, measure, measure_failover
from fluffy.client.bench_repair import copies_of, measure_repair
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row

# A baseline has 2 KiB.
BASELINE_BYTES_MAX = MIB


@row("cluster", params=(
    click.Option(["--save"], metavar="FILE", help="Keep the figures here, to compare with later."),
    click.Option(["--compare"], metavar="FILE", help="Show them beside those kept in this file."),
    click.Option(["--large"], type=click.IntRange(1, 10_240), default=64, metavar="MIB",
                 help="Size of a large file in MiB; 64."),
    click.Option(["--small"], type=click.IntRange(10, 100_000), default=400, metavar="N",
                 help="How many small files; 400."),
    click.Option(["--failover"], is_flag=True,
                 help="Also restart the leader, and measure how long writes stand still. Disturbs; for operators."),
    click.Option(["--repair"], is_flag=True, help="Also measure how fast missing copies are made."),
), examples=(("bench", "a minute of large and small files, listing and search"),
             ("bench --save monday.json", "keep the figures"),
             ("bench --compare monday.json", "are we slower than on monday?"),
             ("bench --failover", "also how long a change of the leader is felt"),
             ("bench --repair", "also how fast copies that are missing are made")))
def bench(session: Session, save: str | None, compare: str | None, large: int, small: int, failover: bool,
          repair: bool) -> None:
    """Measure how fast the cluster is from here: PUT, GET, small files, listing, search.

    Works in a folder of its own in your home, which is purged at the end, also after Ctrl-C. Needs room for four large
    files, and loads the cluster while it runs. Figures are of this machine and its network, too.

    With --repair a bucket of its own first wants one copy less than usual; repair makes it of its files, at the pace
    that the command `repair` sets. No copy of anything else is touched, and the bucket is purged at the end.
    """
    before = None if compare is None else _read(Path(compare))
    client, output = session.client, session.output
    status = client.status()
    machines = hardware(status)
    copies = copies_of(status) if repair else None

    def tell(what: str) -> None:
        if not output.json:
            output.note(f"measuring: {what}")
    figures: list[Figure] = []
    with bench_folder(client) as folder:
        for figure in measure(client, folder, large_bytes=large * MIB, small_files=small, tell=tell):
            figures.append(figure)
        if copies is not None:
            figures.extend(measure_repair(client, copies, large * MIB, tell))
        if failover:
            figures.append(measure_failover(client, folder, tell))
    document = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "hardware": machines,
                "figures": {figure.name: figure.json() for figure in figures}}
    if save is not None:
        _write(Path(save), document)
    if output.json:
        output.document(document if before is None else {**document, "baseline": before})
    else:
        _show(session, document, figures, before)


def _show(session: Session, document: Mapping[str, Any], figures: list[Figure],
          before: Mapping[str, Any] | None) -> None:
    output = session.output
    client, cluster = document["hardware"]["client"], document["hardware"]["cluster"]
    output.line(safe(f"from here: {client['cpu']}, {client['cores']} cores, fluffy {client['fluffy']}"))
    output.line(safe(f"cluster {cluster['name']}: {cluster['nodes']} nodes, {cluster['replication']} copies, "
                     f"fluffy {cluster['fluffy']}"))
    if before is not None:
        output.line(safe(f"beside: {before.get('at')}, "
                         f"{(before.get('hardware') or {}).get('client', {}).get('cpu', 'another machine')}"))
    for figure in figures:
        old = None if before is None else before["figures"].get(figure.name)
        output.line(f"{figure.name:<18}{figure.value:>12,.1f} {figure.unit:<12}{_beside(figure, old)}")


def _beside(figure: Figure, old: Mapping[str, Any] | None) -> str:
    """`was 90.1, 12 % better`; empty without an old one."""
    if old is None or not old.get("value") or not figure.value:
        return ""
    ratio = figure.value / float(old["value"])
    gain = ratio if figure.better == "more" else 1 / ratio
    word = "better" if gain >= 1 else "worse"
    return f"was {float(old['value']):,.1f}: {abs(gain - 1) * 100:.0f} % {word}"


def _read(path: Path) -> Mapping[str, Any]:
    """Raises LocalFileFailed for what is no baseline."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(BASELINE_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise LocalFileFailed(f"{path} cannot be read as figures of 'bench --save': {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("figures"), dict):
        raise LocalFileFailed(f"{path} does not hold figures of 'bench --save'")
    return value


def _write(path: Path, document: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LocalFileFailed(f"{path} cannot be written: {error.strerror}") from error


SPECS: tuple[Spec, ...] = (bench,)
