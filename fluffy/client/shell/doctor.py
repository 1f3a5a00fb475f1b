"""The commands that say how the cluster is: what is wrong, what stopping a node costs, where copies are and why."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fluffy.base.units import format_size
from fluffy.client.results_cluster import ChunkGroup, Copy, DoctorReport, Explanation, StopCost
from fluffy.client.shell.jobs import show_job, span
from fluffy.client.shell.output import EXIT_REFUSED, counted, safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import REMOTE, Spec, row
from fluffy.client.shell.words import unmask

_SEVERITY_COLOURS = {"critical": "red", "warning": "yellow", "note": "cyan"}
_SPANS_SHOWN = 6


@row("cluster", params=(click.Option(["--stop"], metavar="NODE", help="What stopping this node now would cost."),),
     examples=(("doctor", "what is wrong, and what to do"), ("doctor --stop two", "before you stop it"),
               ("doctor --json", "for a monitor: exit code 1 when somebody should act")))
def doctor(session: Session, stop: str | None) -> None:
    """Say what is wrong with the cluster and what to do about it.

    Exit code 1 when something is wrong (a critical finding or a warning), or when the node named by --stop cannot be
    stopped without harm.
    """
    report = session.client.doctor(stop=stop)
    if session.output.json:
        session.output.document(report.document)
    elif report.stop is not None:
        _show_stop(session, report.stop)
    else:
        _show_findings(session, report)
    harmed = not report.healthy if report.stop is None else not report.stop.safe
    if harmed:
        click.get_current_context().exit(EXIT_REFUSED)


def _show_findings(session: Session, report: DoctorReport) -> None:
    output = session.output
    for finding in report.findings:
        head = output.style(f"{safe(finding.severity):<9}", _SEVERITY_COLOURS.get(finding.severity), bold=True)
        output.line(f"{head} {safe(finding.message)}")
        if finding.advice:
            output.line(f"{'':<9} -> {safe(finding.advice)}")
    wrong = sum(finding.severity != "note" for finding in report.findings)
    if report.healthy:
        output.line(output.style(f"nothing is wrong, says node {safe(report.node)}", "green"))
    else:
        output.line(f"{counted(wrong, 'thing')} to look at, says node {safe(report.node)}")


def _show_stop(session: Session, stop: StopCost) -> None:
    verdict = (session.output.style("safe to stop", "green", bold=True) if stop.safe
               else session.output.style("better not now", "red", bold=True))
    session.output.line(f"{safe(stop.node)}: {verdict}")
    for line in stop.lines:
        session.output.line(f"- {safe(line)}")


@row("cluster", takes="remote", params=(
    click.Argument(["words"], nargs=-1, required=True, type=REMOTE, metavar="PATH | job ID"),
    click.Option(["--chunk"], type=click.IntRange(0), metavar="N", help="Only this chunk, counted from 0."),
    click.Option(["--generation"], type=click.IntRange(1), metavar="N", help="An older version."),
), examples=(("explain big.iso", "where each copy is, and why there"),
             ("explain big.iso --chunk 17", "one chunk, with its rank on each node"),
             ("explain job 17", "a job of 'jobs': what it does, for which files, what holds it up")))
def explain(session: Session, words: tuple[str, ...], chunk: int | None, generation: int | None) -> None:
    """Say where each copy of a file is, why there, and what is pending; or all about one job.

    Chunks that are alike (held by the same nodes, and wanted on the same) are shown as one group, the worst first.
    """
    if len(words) == 2 and unmask(words[0]) == "job" and unmask(words[1]).isdigit():
        show_job(session, session.client.explain_job(int(unmask(words[1]))))
        return
    if len(words) != 1:
        raise click.UsageError("name one file, or a job: 'explain job 17'", click.get_current_context())
    wanted = session.single(words[0])
    page = session.client.explain(wanted, chunk=chunk, generation=generation)
    if session.output.json:
        session.output.document(page.document)
        return
    _show_head(session, page)
    while True:
        for group in page.groups:
            _show_group(session, group)
        if page.after is None:
            return
        page = session.client.explain(wanted, generation=page.generation, after=page.after)


def _show_head(session: Session, page: Explanation) -> None:
    what = ("its bytes lie in the metadata: every node has them" if page.inline
            else "it is empty" if not page.chunks else counted(page.chunks, "chunk"))
    session.output.line(f"{safe(page.path)}: generation {page.generation}, {format_size(page.size)}; {what}")


def _show_group(session: Session, group: ChunkGroup) -> None:
    output = session.output
    colour = {"whole": "green", "short": "yellow"}.get(group.covered, "red")
    said = {"whole": "all copies are there", "short": "fewer copies than wanted", "endangered": "one copy is left",
            "away": "all copies are on nodes that are away", "lost": "no node has a copy"}.get(group.covered, "")
    output.line(f"{_spans_text(group)} ({format_size(group.bytes)}): "
                f"{output.style(f'{group.living} of {group.wanted} copies', colour)}, {said}")
    for copy in group.copies:
        output.line(f"  {_copy_text(copy)}  {safe(copy.why)}")
    for copy in group.lacking:
        output.line(f"  {_copy_text(copy)}  {output.style('should have a copy and has none yet', 'yellow')}")
    for each in group.pending:
        work = f"{counted(each.jobs, safe(each.kind) + ' job')} {safe(each.state)} on {safe(each.node)}"
        end = "" if each.done_in_s is None else f", done in about {span(each.done_in_s)}"
        output.line(f"  pending: {work}{end}")
    if group.blocked:
        output.line(f"  {output.style(safe(group.blocked), 'yellow')}")


def _copy_text(copy: Copy) -> str:
    return f"{safe(copy.node):<12} {safe(copy.state):<9} {safe('zone ' + copy.zone if copy.zone else ''):<12}"


def _spans_text(group: ChunkGroup) -> str:
    spans: Sequence[str] = [str(first) if first == last else f"{first}-{last}" for first, last in group.spans]
    shown = ", ".join(spans[:_SPANS_SHOWN]) + (", …" if len(spans) > _SPANS_SHOWN else "")
    return f"chunk {shown}" if group.chunks == 1 else f"{group.chunks} chunks: {shown}"


SPECS: tuple[Spec, ...] = (explain, doctor)
