"""The commands about background work: what is being repaired, how fast, by whom; stuck jobs; scrubs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from fluffy.base.units import format_size
from fluffy.client.results_cluster import Job, JobExplanation, JobsPage, Queue
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row

WATCH_EVERY_S = 1.0
JOBS_SHOWN = 20
_STATE_COLOURS = {"leased": "green", "stuck": "red"}
_CLEAR = "\x1b[H\x1b[2J"


@row("cluster", params=(
    click.Argument(["numbers"], nargs=-1, type=click.IntRange(1), metavar="[JOB...]"),
    click.Option(["-w", "--watch"], is_flag=True, help="Show it anew each second; Ctrl-C ends."),
    click.Option(["--stuck"], is_flag=True, help="Only jobs that cannot get on, with the reason."),
    click.Option(["--node"], metavar="NODE", help="Only jobs of this node's queue."),
    click.Option(["--retry"], is_flag=True, help="Begin stuck jobs afresh: those named, or all."),
), examples=(("jobs", "what is being repaired, by whom, how fast"), ("jobs --watch", "the same, live"),
             ("jobs --stuck", "what cannot get on, and why"), ("jobs --retry 17", "try job 17 again now"),
             ("explain job 17", "all about one job")))
def jobs(session: Session, numbers: tuple[int, ...], watch: bool, stuck: bool, node: str | None, retry: bool) -> None:
    """Show repairs and other background work: queues, steals, rate and time left."""
    if retry:
        _retry(session, numbers)
        return
    if numbers:
        raise click.UsageError("numbers of jobs go with --retry; 'explain job ID' tells of one",
                               click.get_current_context())
    state = "stuck" if stuck else None
    try:
        while True:
            page = session.client.jobs(node=node, state=state)
            _show_page(session, page, live=watch)
            if not watch:
                return
            time.sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        return  # the way to end it


def _retry(session: Session, numbers: tuple[int, ...]) -> None:
    retried = session.client.retry_jobs(numbers)
    if session.output.json:
        session.output.document({"retried": retried})
    else:
        session.output.line(f"{retried} jobs begin afresh" if retried != 1 else "1 job begins afresh")


def _show_page(session: Session, page: JobsPage, *, live: bool) -> None:
    output = session.output
    if output.json:
        output.document(page.document)
        output.out.flush()
        return
    if live and output.is_terminal:
        output.out.write(_CLEAR)
    output.line(_progress_line(page))
    if page.queues:
        output.line(output.style(f"{'node':<12} {'state':<9} {'queued':>7} {'leased':>7} {'stuck':>6} {'rate':>12} "
                                 f"{'left':>7} {'done':>9} {'stolen':>7} {'given':>7}", bold=True))
    for queue in page.queues:
        output.line(_queue_line(queue))
    for job in page.jobs[:JOBS_SHOWN]:
        output.line(_job_line(session, job))
    if len(page.jobs) > JOBS_SHOWN or page.after is not None:
        output.line("… and more: --node, --stuck or --json show them")
    output.out.flush()


def _progress_line(page: JobsPage) -> str:
    if page.missing_copies is None:
        return "the missing copies could not be counted in time"
    if not page.missing_copies:
        return "all copies are there"
    return missing_text({"missing_copies": page.missing_copies, "missing_bytes": page.missing_bytes},
                        {"rate": page.rate, "left_s": page.left_s})


def missing_text(copies: Mapping[str, Any], repair: Mapping[str, Any]) -> str:
    """`12 copies (96.0 MiB) are missing, 50.0 MiB/s, about 2 s left`"""
    text = f"{copies.get('missing_copies')} copies ({format_size(copies.get('missing_bytes') or 0)}) are missing"
    if repair.get("rate"):
        text += f", {format_size(repair['rate'])}/s"
    left_s = repair.get("left_s")
    return text + (", nobody works on them yet" if left_s is None else f", about {span(left_s)} left")


def span(seconds: int) -> str:
    """`50 s`, `3 min`, `2.5 h`"""
    if seconds < 100:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _queue_line(queue: Queue) -> str:
    rate = "-" if queue.rate is None else f"{format_size(queue.rate)}/s"
    return (f"{safe(queue.node):<12} {safe(queue.state):<9} {queue.queued:>7} {queue.leased:>7} {queue.stuck:>6} "
            f"{rate:>12} {span(queue.wait_s):>7} {queue.done:>9} {queue.stolen_in:>7} {queue.stolen_out:>7}")


def _job_line(session: Session, job: Job) -> str:
    state = session.output.style(f"{safe(job.state):<7}", _STATE_COLOURS.get(job.state))
    end = job.blocked or (f"done in about {span(job.done_in_s)}" if job.done_in_s is not None else "")
    return (f"{job.job:>9}  {safe(job.kind):<9} {state} {safe(job.node):<12} {format_size(job.bytes):>10}  "
            f"{safe(job.reason)}; {safe(end)}")


def show_job(session: Session, told: JobExplanation) -> None:
    """All about one job, for `explain job ID`."""
    if session.output.json:
        session.output.document(told.document)
        return
    job, line = told.job, session.output.line
    line(f"job {job.job}: {safe(told.does)} ({format_size(job.bytes)})")
    line(f"  because   {safe(job.why)}")
    tries = f"attempt {told.document.get('attempt')}, failures {told.document.get('failures')}"
    line(f"  state     {safe(job.state)}, {tries}")
    if told.document.get("stolen_from"):
        line(f"  stolen    from {safe(str(told.document['stolen_from']))}, which had more to do")
    copies = told.document.get("copies")
    if isinstance(copies, dict):
        on = ", ".join(f"{each.get('node')} ({each.get('state')})" for each in copies.get("on", ()))
        line(f"  copies    {copies.get('living')} of {copies.get('wanted')}: {safe(on or 'none')}")
    if told.files:
        line(f"  files     {told.files}: {safe(', '.join(told.names) or 'not yours to see')}")
    line(f"  done      {'in about ' + span(job.done_in_s) if job.done_in_s is not None else 'not as things are'}")
    if job.blocked:
        line(f"  blocked   {safe(job.blocked)}")


@row("cluster", params=(click.Argument(["node"], required=False),), examples=(
    ("scrub", "every node reads and checks all its copies, beginning now"), ("scrub two", "only node two")))
def scrub(session: Session, node: str | None) -> None:
    """Check all stored bytes now; `jobs` shows how far it is."""
    document = session.client.scrub(node)
    if session.output.json:
        session.output.document(document)
    else:
        session.output.line(f"{document.get('nodes')} nodes check their copies; 'jobs' shows how far they are"
                            if node is None else f"node {safe(node)} checks its copies; 'jobs' shows how far it is")


SPECS: tuple[Spec, ...] = (jobs, scrub)
