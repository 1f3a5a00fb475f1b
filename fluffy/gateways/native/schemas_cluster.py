"""What the routes about the cluster itself take and answer: status, nodes, members, keepers, supernodes, disasters."""

from __future__ import annotations

from fluffy.gateways.native.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    TEXTS,
    TIME,
    Schema,
    body,
    listed,
    one_of,
    or_null,
    thing,
    with_more,
    with_optional,
)
from fluffy.gateways.native.schemas_health import REPAIR
from fluffy.gateways.native.schemas_tree import INDEX

HEALTH = thing(status=one_of("alive"), node=TEXT)
READY = thing(status=one_of("ready"), node=TEXT, leader=TEXT, seq=NUMBER, started_ms=NUMBER)
# `connected` and `behind` are null while this node's log process is silent.
NODE = thing(name=TEXT, no=NUMBER, zone=TEXT, host=TEXT, http=NUMBER, raft=NUMBER, data=NUMBER, s3=NUMBER,
             state=TEXT, voter=FLAG, connected=or_null(FLAG), behind=or_null(NUMBER), leader=FLAG, chunks=COUNT,
             bytes=COUNT)
LOG = thing(term=NUMBER, commit_index=NUMBER, applied_index=NUMBER, caught_up=FLAG, bytes=COUNT,
            checkpoint_index=NUMBER, fsync=FLAG, waiting_for=or_null(TEXT))
# What it says of itself; null: it did not answer.
TOLD = or_null(thing(version=TEXT, free_bytes=COUNT, total_bytes=or_null(COUNT), seq=or_null(NUMBER), clock_ms=NUMBER,
                     keeper=FLAG, load=or_null(SECONDS), requests=COUNT, sent_bytes=COUNT, received_bytes=COUNT))
NODES = thing(nodes=listed(with_optional(NODE, told=TOLD)), leader=or_null(TEXT), age_s=COUNT)
STATUS = thing(
    cluster=thing(name=TEXT, uuid=TEXT), user=thing(name=TEXT, role=TEXT), node=TEXT, version=TEXT, seq=NUMBER,
    feature_level=NUMBER, consistency=one_of("strong", "local"), supernodes=listed(TEXT),
    settings=thing(replication=NUMBER, write_quorum=NUMBER, chunk_size=NUMBER, inline_max=NUMBER, trash_days=NUMBER,
                   versions_max=NUMBER),
    usage=thing(files=COUNT, bytes=COUNT, chunks=COUNT, chunk_bytes=COUNT, missing_chunks=COUNT),
    repair=or_null(REPAIR), search=INDEX, keeper=or_null(OBJECT), ready=FLAG, age_s=COUNT, leader=or_null(TEXT),
    majority=or_null(FLAG), log=or_null(LOG), nodes=listed(NODE))
CHECKPOINT = thing(index=NUMBER, node=TEXT)

JOIN: Schema = {"type": "object", "description": "a question sealed with the cluster's secret (docs/PROTOCOL.md)"}
JOINED = thing(node_no=NUMBER, cluster_uuid=TEXT, voters=TEXTS, proof=TEXT, nodes=listed(
    thing(name=TEXT, disk_uuid=TEXT, host=TEXT, raft=NUMBER)))
DRAIN = body(None, cancel=FLAG)
DRAINED = thing(node=TEXT, state=TEXT, draining=FLAG, leaving=FLAG, since_ms=or_null(NUMBER), chunks=COUNT,
                bytes=COUNT, waiting=COUNT, waiting_bytes=COUNT, only_here=COUNT, safe=FLAG, verdict=TEXT)
RESTARTING = thing(node=TEXT, restarting=FLAG, now_ms=NUMBER)
NODE_REMOVED = with_optional(thing(node=TEXT, removed=FLAG), short_of_copies=COUNT, lost_chunks=COUNT)
RECOVERING = with_optional(thing(node=TEXT, alive=FLAG, does=TEXT), welcome_until_ms=NUMBER)

REPAIR_MODE = body({"mode": or_null(one_of("quiet", "balanced", "fast"))})
REPAIR_MODE_SET = thing(mode=or_null(TEXT))
QUARANTINE = thing(node=TEXT, quarantine=listed(thing(chunk=TEXT, reason=TEXT, at=TIME, bytes=COUNT)))
PURGED = thing(node=TEXT, purged=COUNT)

RETRY = body(None, jobs=listed({"type": "integer", "minimum": 1}))
RETRIED = thing(retried=COUNT)
SCRUBBING = thing(nodes=COUNT, node=or_null(TEXT))

# A row: no, parent, key, size, generation, etag, content type, owner, modified_ms, and tags when there are any.
_ROW: Schema = {"type": "array", "minItems": 9, "maxItems": 10}
_WHO = thing(cluster=TEXT, uuid=TEXT, epoch=TEXT, at_seq=NUMBER)
FEED = with_more(
    _WHO, seq=NUMBER, head=NUMBER, places=listed({"type": "array", "minItems": 2, "maxItems": 2}), rows=listed(_ROW),
    walks=listed(NUMBER), more=FLAG, state=thing(
        files=COUNT, bytes=COUNT, nodes=COUNT, nodes_up=COUNT, free_bytes=COUNT, peers=listed(TEXT),
        leader=or_null(TEXT), majority=or_null(FLAG), load={"type": "number"}, node=TEXT, scheme=TEXT))
ROWS = with_more(_WHO, rows=listed(_ROW), after=or_null(TEXT))
ROW_HASH = with_more(_WHO, rows=COUNT, hash=TEXT, after=or_null(TEXT))
SIGHT = with_more(_WHO, user=TEXT, role=TEXT, buckets=or_null(listed(TEXT)))

DIGEST = thing(digest=TEXT, tree=TEXT, people=TEXT, history=TEXT, files=COUNT, folders=COUNT, bytes=COUNT, node=TEXT)
REBUILD = thing(rebuilding=or_null(thing(id=TEXT, source=TEXT, next_step=COUNT)))
BEGIN_REBUILD = body({"source": TEXT})
REBUILD_BEGUN = thing(id=TEXT, next_step=COUNT)
REBUILD_STEP = thing(next_step=COUNT)
END_REBUILD = body(dict.fromkeys(("step", "seq", "last_no", "clock_ms", "files", "file_bytes"), COUNT))
REBUILT = thing(files=COUNT, bytes=COUNT)
CHECK_CHUNKS = body({"chunks": listed(TEXT)}, read=FLAG)
CHECKED_CHUNKS = thing(good=listed(TEXT), node=TEXT)
MANIFESTS = thing(node=TEXT, stocks=listed(thing(cluster=TEXT, segments=listed(TEXT), bytes=COUNT,
                                                 written_ms=NUMBER)))
