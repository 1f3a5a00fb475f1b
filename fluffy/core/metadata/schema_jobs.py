"""Format 3, the part about background work: jobs in queues, drops of copies, how long a node is away, scrub wishes.

`jobs` and `job_queues` are derived: the leader's plan makes them from the rest. `drops` is not (drop_table.py).
"""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE jobs (                      -- bounded: so many for each node (job_rules.py)
    job_no          INTEGER PRIMARY KEY,
    kind            TEXT NOT NULL,       -- repair | drain | rebalance | drop | scrub
    chunk_id        BLOB NOT NULL,       -- empty: a scrub, of the node's own disk
    node_no         INTEGER NOT NULL,    -- whose queue; the node that gets or drops the copy
    priority        INTEGER NOT NULL,    -- smaller comes first
    cost            INTEGER NOT NULL,    -- bytes
    reason          TEXT NOT NULL,       -- why the plan wants it (core/repair/plan.py has the words)
    state           TEXT NOT NULL,       -- queued | leased | stuck
    created_ms      INTEGER NOT NULL,    -- log time
    term            INTEGER NOT NULL,    -- of the log entry that gave the last lease; 0: there was none
    attempt         INTEGER NOT NULL,    -- leases so far
    failures        INTEGER NOT NULL,    -- since it was made or retried
    lease_until_ms  INTEGER NOT NULL,    -- log time; 0: not leased
    not_before_ms   INTEGER NOT NULL,    -- log time: not leased earlier, after a failure
    error           TEXT NOT NULL,       -- code of the last failure; empty: none
    stolen_from     INTEGER NOT NULL,    -- node_no of the last victim; 0: never stolen
    seen            BLOB NOT NULL,       -- of a stuck job: `replicas` of its chunk then; else empty
    stuck_ms        INTEGER NOT NULL,    -- log time since when it is stuck; 0: it is not
    position        BLOB NOT NULL        -- how far a scrub got; its worker's own words
)""",
    "CREATE UNIQUE INDEX jobs_by_subject ON jobs (chunk_id, node_no)",
    "CREATE INDEX jobs_by_queue ON jobs (node_no, state, priority, job_no)",
    "CREATE INDEX jobs_by_lease ON jobs (lease_until_ms) WHERE state = 'leased'",
    """
CREATE TABLE job_queues (                -- sums of `jobs`, and how a node works; a row from its first job on
    node_no         INTEGER PRIMARY KEY,
    queued          INTEGER NOT NULL,    -- jobs in state queued
    queued_bytes    INTEGER NOT NULL,    -- sum of their costs
    leased          INTEGER NOT NULL,
    leased_bytes    INTEGER NOT NULL,
    stuck           INTEGER NOT NULL,
    rate            INTEGER NOT NULL,    -- bytes a second as measured; 0: not known yet
    turn            INTEGER NOT NULL,    -- leases so far; says whose turn it is among the classes
    searches        INTEGER NOT NULL,    -- vain ones in a row, for a node that looks for jobs to steal
    search_after_ms INTEGER NOT NULL,    -- log time before which it does not look again
    done            INTEGER NOT NULL,    -- jobs ended well, ever
    done_bytes      INTEGER NOT NULL,
    failed          INTEGER NOT NULL,    -- failures and ended leases, ever
    stolen_in       INTEGER NOT NULL,    -- jobs it took from others, ever
    stolen_out      INTEGER NOT NULL,    -- jobs others took from it, ever
    stealable       INTEGER NOT NULL     -- queued jobs that others could do
)""",
    """
CREATE TABLE drops (                     -- copies that do not count although the file may be there (drop_table.py)
    chunk_id        BLOB NOT NULL,       -- empty, of node 0: the row that holds the floor of all that were cleared away
    node_no         INTEGER NOT NULL,
    granted_ms      INTEGER NOT NULL,    -- log time
    done_seq        INTEGER NOT NULL,    -- state.seq at which the node had deleted the file; 0: not yet
    done_ms         INTEGER NOT NULL,    -- log time of that; 0: not yet
    PRIMARY KEY (chunk_id, node_no)
) WITHOUT ROWID""",
    "CREATE INDEX drops_by_node ON drops (node_no, chunk_id) WHERE done_ms = 0",
    "CREATE INDEX drops_by_end ON drops (done_ms) WHERE done_ms > 0",
    """
CREATE TABLE node_health (               -- what the placement map does not say; kept when a map is published
    node_no         INTEGER PRIMARY KEY,
    since_ms        INTEGER NOT NULL,    -- log time since when it has its state in the map
    down_since_ms   INTEGER NOT NULL     -- log time since when it is down, suspicion in between included; 0: it is not
)""",
    """
CREATE TABLE scrub_wishes (              -- the last time that somebody asked for a scrub of a node
    node_no         INTEGER PRIMARY KEY,
    asked_ms        INTEGER NOT NULL,    -- log time
    done_ms         INTEGER NOT NULL     -- log time; 0: not yet
)""",
    # More copies than wanted: what a drop could free.
    "CREATE INDEX chunks_surplus ON chunks (chunk_no) WHERE copies > wanted AND free_since_ms IS NULL",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("jobs", "SELECT * FROM jobs ORDER BY job_no"),
    ("job_queues", "SELECT * FROM job_queues ORDER BY node_no"),
    ("drops", "SELECT * FROM drops ORDER BY chunk_id, node_no"),
    ("node_health", "SELECT * FROM node_health ORDER BY node_no"),
    ("scrub_wishes", "SELECT * FROM scrub_wishes ORDER BY node_no"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of background work in the step from format 2 to 3. `health_table` fills its table by the log."""
    for statement in TABLES:
        db.execute(statement)
