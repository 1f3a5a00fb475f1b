"""What the routes about the cluster's health answer, as JSON Schemas for the API's description."""

from __future__ import annotations

from fluffy.gateways.native.schemas import FLAG, NUMBER, TEXT, TIME, Schema, listed, or_null, thing, with_optional

COPIES = thing(chunks=NUMBER, whole=NUMBER, short=NUMBER, endangered=NUMBER, away=NUMBER, lost=NUMBER,
               missing_copies=NUMBER, missing_bytes=NUMBER)
FILES = with_optional(thing(files=NUMBER, old_or_deleted=NUMBER, names=listed(TEXT)), at_least=FLAG)
FINDING = thing(code=TEXT, severity={"type": "string", "enum": ["critical", "warning", "note"]}, message=TEXT,
                advice=TEXT, nodes=listed(TEXT), facts={"type": "object"})
STOP = thing(node=TEXT, safe=FLAG, lines=listed(TEXT), voters=NUMBER, voters_left=NUMBER, writes_go_on=FLAG,
             without_copy=FILES, chunks_without_copy=NUMBER, chunks_with_one_copy=NUMBER, held_chunks=NUMBER,
             held_bytes=NUMBER)
NODE = thing(name=TEXT, state=TEXT, zone=TEXT, votes=FLAG, answers=FLAG, version=or_null(TEXT), level=or_null(NUMBER),
             free_bytes=or_null(NUMBER), total_bytes=or_null(NUMBER), clock_ms=or_null(NUMBER), behind=or_null(NUMBER),
             quarantined=or_null(NUMBER),
             search=or_null(thing(state=TEXT, behind=NUMBER, lag_ms=NUMBER)))
DOCTOR = thing(
    at=TIME, age_s=NUMBER, node=TEXT, healthy=FLAG, counts=thing(critical=NUMBER, warning=NUMBER, note=NUMBER),
    findings=listed(FINDING), checked=listed(TEXT), copies=or_null(COPIES), unreadable=FILES, nodes=listed(NODE),
    stop=or_null(STOP))

RANKS = or_null(listed(NUMBER))
ON_NODE = {"node": TEXT, "state": TEXT, "zone": or_null(TEXT), "weight": or_null(NUMBER), "ranks": RANKS}
PENDING = thing(kind=TEXT, node=TEXT, state=TEXT, jobs=NUMBER, done_in_s=or_null(NUMBER), error=or_null(TEXT))
GROUP = thing(
    chunks=NUMBER, bytes=NUMBER, spans=listed(listed(NUMBER)), spans_more=NUMBER, ids=listed(TEXT), wanted=NUMBER,
    living=NUMBER, covered={"type": "string", "enum": ["whole", "short", "endangered", "away", "lost"]},
    copies=listed(thing(**ON_NODE, why=TEXT)), lacking=listed(thing(**ON_NODE)), pending=listed(PENDING),
    done_in_s=or_null(NUMBER), blocked=or_null(TEXT))
EXPLANATION = thing(
    path=TEXT, kind=TEXT, owner=TEXT, size=NUMBER, generation=NUMBER, inline=FLAG, chunks=NUMBER, explained=NUMBER,
    covered={"type": "object", "additionalProperties": NUMBER}, groups=listed(GROUP), after=or_null(NUMBER))

REPAIR = thing(copies=or_null(COPIES), queued=NUMBER, running=NUMBER, stuck=NUMBER, done=NUMBER, stolen=NUMBER,
               rate=or_null(NUMBER), left_s=or_null(NUMBER))
QUEUE = thing(node=TEXT, state=TEXT, queued=NUMBER, queued_bytes=NUMBER, leased=NUMBER, leased_bytes=NUMBER,
              stuck=NUMBER, rate=or_null(NUMBER), wait_s=NUMBER, done=NUMBER, done_bytes=NUMBER, failed=NUMBER,
              stolen_in=NUMBER, stolen_out=NUMBER)
JOB_FIELDS: dict[str, Schema] = {
    "job": NUMBER, "kind": {"type": "string", "enum": ["repair", "drain", "rebalance", "drop", "scrub"]},
    "chunk": or_null(TEXT), "node": TEXT, "state": {"type": "string", "enum": ["queued", "leased", "stuck"]},
    "reason": TEXT, "why": TEXT, "bytes": NUMBER, "priority": NUMBER, "attempt": NUMBER, "failures": NUMBER,
    "error": or_null(TEXT), "stolen_from": or_null(TEXT), "created": TIME, "lease_ends_s": or_null(NUMBER),
    "stuck_since": or_null(TIME), "done_in_s": or_null(NUMBER), "blocked": or_null(TEXT)}
JOBS = thing(node=TEXT, age_s=NUMBER, repair=REPAIR, queues=listed(QUEUE),
             scrubs=listed(thing(node=TEXT, asked=TIME, done=or_null(TIME))), jobs=listed(thing(**JOB_FIELDS)),
             after=or_null(NUMBER))
JOB = thing(**JOB_FIELDS, does=TEXT, files=FILES, copies=or_null(thing(
    wanted=NUMBER, living=NUMBER, on=listed(thing(node=TEXT, state=TEXT)))))
