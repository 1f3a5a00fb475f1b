"""Background work over HTTP: queues and jobs as they are now, one explained, stuck ones retried, scrubs asked for."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Any

from fluffy.base.errors import JobNotFound, QuerySyntax
from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_jobs import RequestScrub, RetryJobs
from fluffy.core.metadata.model_jobs import Job, Queue, ScrubWish
from fluffy.core.metadata.queries_redundancy import AffectedFiles, files_with_chunk
from fluffy.core.repair.job_words import what_it_does
from fluffy.core.repair.redundancy import LIVING_STATES
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.job_view import JobView
from fluffy.gateways.native.json_body import read_object
from fluffy.services.repair_progress import Progress
from fluffy.wire.conditions import rfc3339

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
NAMES_MAX = 20
NAMED_MAX = 2_000
STATES = ("queued", "leased", "stuck")


async def list_jobs(desk: Desk, call: Call) -> Answer:
    """GET /v1/jobs: every node's queue, how far repair is, and a page of jobs."""
    limit, after = call.number("limit", LIMIT_DEFAULT, LIMIT_MAX), call.number("after", 0, 2**62)
    node, state = call.query.get("node"), call.query.get("state")
    if state is not None and state not in STATES:
        raise QuerySyntax(f"a job is {', '.join(STATES)}, not {state[:40]!r}")
    progress = await desk.data_path().doctor.progress.now()

    def look(db: sqlite3.Connection) -> dict[str, Any]:
        view = JobView(db, desk.clock.now_ms())
        node_no = None if node is None else view.number(node)
        found = queries.jobs_where(db, after=after, limit=limit, node_no=node_no, state=state)
        return {"queues": [_queue_json(queue, view) for queue in progress.queues],
                "scrubs": [_scrub_json(wish, view) for wish in queries.scrub_wishes(db)],
                "jobs": [view.json(job) for job in found],
                "after": found[-1].no if len(found) == limit and found else None}
    value = await desk.reader.read_in_thread(look, call.deadline)
    return json_answer({"node": desk.node, "age_s": call.point.age_s or 0, "repair": repair_json(progress), **value})


def _queue_json(queue: Queue, view: JobView) -> dict[str, Any]:
    load = queue.load
    return {
        "node": view.name(queue.node_no), "state": view.states.get(queue.node_no, "gone"), "queued": load.queued,
        "queued_bytes": load.queued_bytes, "leased": load.leased, "leased_bytes": load.leased_bytes,
        "stuck": queue.stuck, "rate": load.rate or None, "wait_s": load.wait_ms // 1000, "done": queue.done,
        "done_bytes": queue.done_bytes, "failed": queue.failed, "stolen_in": queue.stolen_in,
        "stolen_out": queue.stolen_out}


def _scrub_json(wish: ScrubWish, view: JobView) -> dict[str, Any]:
    """The last time that a scrub of the node was asked for; `done` is null while it has not ended."""
    return {"node": view.name(wish.node_no), "asked": rfc3339(wish.asked_ms),
            "done": rfc3339(wish.done_ms) if wish.done_ms else None}


def repair_json(progress: Progress) -> dict[str, Any]:
    """How far repair is; also part of the status."""
    cover = progress.coverage
    queues = progress.queues
    return {
        "copies": None if cover is None else {"chunks": cover.chunks, **asdict(cover)},
        "queued": sum(queue.load.queued for queue in queues), "running": sum(queue.load.leased for queue in queues),
        "stuck": sum(queue.stuck for queue in queues), "done": sum(queue.done for queue in queues),
        "stolen": sum(queue.stolen_in for queue in queues), "rate": progress.rate or None, "left_s": progress.left_s}


async def explain_job(desk: Desk, call: Call) -> Answer:
    """GET /v1/jobs/{no}: what it does, why, what holds it up, when it will be done, and for which files."""
    text = call.params["no"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise QuerySyntax(f"a job has a number, not {text[:40]!r}")
    no = int(text)

    def look(db: sqlite3.Connection) -> tuple[dict[str, Any], AffectedFiles] | None:
        job = queries.job(db, no)
        if job is None:
            return None
        view = JobView(db, desk.clock.now_ms())
        files = (files_with_chunk(db, job.chunk_id, names_max=NAMES_MAX) if job.chunk_id else AffectedFiles(0, 0, ()))
        return {**view.json(job), "does": what_it_does(job, view.name), "copies": _copies_json(db, job, view)}, files
    found = await desk.reader.read_in_thread(look, call.deadline)
    if found is None:
        raise JobNotFound(f"there is no job {no}: it is done, or was not needed any more", job=no)
    value, files = found
    names = [f"/{path}" for bucket, path in files.names if desk.sees(call.user, bucket)]
    return json_answer({**value, "files": {"files": files.files, "old_or_deleted": files.kept, "names": names}})


def _copies_json(db: sqlite3.Connection, job: Job, view: JobView) -> dict[str, Any] | None:
    """The copies of its chunk; null for a scrub, and when the catalog has forgotten the chunk."""
    line = queries.chunk_lines(db, [job.chunk_id]).get(job.chunk_id) if job.chunk_id else None
    if line is None:
        return None
    states = {node: view.states.get(node, "gone") for node in line.replicas}
    return {"wanted": line.wanted, "living": sum(state in LIVING_STATES for state in states.values()),
            "on": [{"node": view.name(node), "state": state} for node, state in states.items()]}


async def retry_jobs(desk: Desk, call: Call) -> Answer:
    """POST /v1/jobs/retry {jobs}: stuck jobs begin afresh, those that wait go on now; without `jobs` all."""
    fields = await read_object(call)
    numbers = fields.pop("jobs", [])
    if fields or not isinstance(numbers, list) or len(numbers) > NAMED_MAX or not all(
            type(number) is int and 0 < number < 2**62 for number in numbers):
        raise QuerySyntax(f"the body is {{\"jobs\": [numbers]}} with at most {NAMED_MAX} of them, or {{}} for all")
    outcome = await desk.propose(RetryJobs(desk.header(call), tuple(numbers)))
    return json_answer({"retried": outcome.facts["retried"]})


async def scrub(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/scrub: the nodes re-read all they hold, now; ?node=NAME one of them."""
    node = call.query.get("node")
    wanted: tuple[NodeNo, ...] = ()
    if node is not None:
        wanted = (desk.reader.read(lambda db: JobView(db, 0).number(node)),)
    outcome = await desk.propose(RequestScrub(desk.header(call), wanted))
    return json_answer({"nodes": outcome.facts["nodes"], "node": node})
