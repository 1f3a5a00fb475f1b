"""Upload sessions and their parts in their tables, and what every command about them asks first.

What parts hold is counted in `chunks.refs` like the chunks of versions. A session that is over leaves `uploads` at
once; its parts wait in `ended_uploads` and are freed in bounded steps (`sweep`), as versions are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from fluffy.base.ids import UserNo
from fluffy.core.metadata import chunk_table
from fluffy.core.metadata.versions import SWEEP_CHUNKS_MAX
from fluffy.core.metadata.working import Working

# As S3 has it.
PARTS_MAX = 10_000
# About 1 KiB each, with the indexes.
UPLOADS_MAX = 10_000
UPLOADS_OF_USER_MAX = 1_000
# What one BeginUpload clears away of what is over, so that a full table does not wait for the leader.
SWEEP_UPLOADS_BY_BEGIN = 10
# What ending a session frees at once: 10 ms. The rest is the leader's (ExpireUploads).
SWEEP_CHUNKS_BY_END = 512
# About 400 bytes a row: a client that lost the answer asks again within days.
FINISHED_MAX = 10_000
CUT_BATCH = 100


@dataclass(slots=True)
class UploadRow:
    """One row of `uploads`."""

    no: int
    upload_id: bytes
    path: str
    user_no: int
    bucket_no: int
    payer_no: int
    lease_ms: int
    expires_ms: int
    begun_ms: int
    part_size: int
    size: int | None
    content_type: str
    meta: bytes | None
    tags: bytes | None
    if_match: str | None
    if_none_match: int
    wanted: int
    parts: int
    chunks: int
    bytes: int
    is_object: int = 0


@dataclass(frozen=True, slots=True)
class PartRow:
    """One row of `upload_parts`, without whose it is. `etag`, `manifest` and `sums` are packed."""

    number: int
    size: int
    blake3: bytes
    etag: str | bytes
    stored_ms: int
    manifest: bytes
    sums: bytes | None = None

    @property
    def chunks(self) -> int:
        return len(self.manifest) // 8


@dataclass(frozen=True, slots=True)
class FinishedRow:
    """What a completed session became."""

    path: str
    user_no: int
    fingerprint: bytes
    facts: dict[str, Any]


def living(work: Working, upload_id: bytes) -> UploadRow | None:
    """The session of that name, unless its lease is over."""
    row = work.db.execute("SELECT * FROM uploads WHERE upload_id = ?", (upload_id,)).fetchone()
    found = None if row is None else UploadRow(*row)
    return found if found is not None and found.expires_ms > work.clock_ms else None


def is_known(work: Working, upload_id: bytes) -> bool:
    """Whether that name was ever given to a session that is remembered, over or not."""
    return work.db.execute("SELECT 1 FROM uploads WHERE upload_id = ? UNION ALL"
                           " SELECT 1 FROM finished_uploads WHERE upload_id = ?",
                           (upload_id, upload_id)).fetchone() is not None


def insert(work: Working, row: UploadRow) -> None:
    work.db.execute(f"INSERT INTO uploads VALUES ({', '.join('?' * 21)})",
                    (row.no, row.upload_id, row.path, row.user_no, row.bucket_no, row.payer_no, row.lease_ms,
                     row.expires_ms, row.begun_ms, row.part_size, row.size, row.content_type, row.meta, row.tags,
                     row.if_match, row.if_none_match, row.wanted, row.parts, row.chunks, row.bytes,
                     row.is_object))


def save(work: Working, row: UploadRow) -> None:
    """Write what a part changes."""
    work.db.execute("UPDATE uploads SET bucket_no = ?, payer_no = ?, expires_ms = ?, wanted = ?, parts = ?, chunks = ?,"
                    " bytes = ? WHERE upload_no = ?",
                    (row.bucket_no, row.payer_no, row.expires_ms, row.wanted, row.parts, row.chunks, row.bytes,
                     row.no))


def is_full(work: Working, user_no: UserNo) -> bool:
    """Whether as many sessions live as may, of all users or of this one."""
    (of_all, of_user) = work.db.execute(
        "SELECT count(*), ifnull(sum(user_no = ?), 0) FROM uploads WHERE expires_ms > ?",
        (user_no, work.clock_ms)).fetchone()
    return bool(of_all >= UPLOADS_MAX or of_user >= UPLOADS_OF_USER_MAX)


def held_by_others(work: Working, row: UploadRow) -> tuple[int, int]:
    """Bytes that the other sessions hold in the bucket, and in all that the same user pays for."""
    (in_bucket, of_payer) = work.db.execute(
        "SELECT ifnull(sum(bytes) FILTER (WHERE bucket_no = ?), 0), ifnull(sum(bytes), 0) FROM uploads"
        " WHERE payer_no = ? AND upload_no != ?", (row.bucket_no, row.payer_no, row.no)).fetchone()
    return in_bucket, of_payer


_PARTS = "SELECT number, size, blake3, etag, stored_ms, manifest, sums FROM upload_parts WHERE upload_no = ?"


def part(work: Working, upload_no: int, number: int) -> PartRow | None:
    row = work.db.execute(_PARTS + " AND number = ?", (upload_no, number)).fetchone()
    return None if row is None else PartRow(*row)


def parts(work: Working, upload_no: int) -> Iterator[PartRow]:
    """All parts by number."""
    for row in work.db.execute(_PARTS + " ORDER BY number", (upload_no,)):
        yield PartRow(*row)


def put_part(work: Working, upload_no: int, row: PartRow) -> None:
    """Add a part or put it in the place of the one with its number, whose chunks the caller has released."""
    work.db.execute("INSERT OR REPLACE INTO upload_parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (upload_no, row.number, row.size, row.blake3, row.etag, row.stored_ms, row.manifest, row.sums))


def take_parts(work: Working, upload_no: int, numbers: list[int], *, are_all: bool) -> None:
    """Remove parts whose references go elsewhere."""
    if are_all:
        work.db.execute("DELETE FROM upload_parts WHERE upload_no = ?", (upload_no,))
        return
    work.db.executemany("DELETE FROM upload_parts WHERE upload_no = ? AND number = ?",
                        [(upload_no, number) for number in numbers])


def end(work: Working, row_no: int) -> None:
    """Take a session away. The parts it still has are freed by `sweep`."""
    work.db.execute("DELETE FROM uploads WHERE upload_no = ?", (row_no,))
    work.db.execute("INSERT INTO ended_uploads VALUES (?)", (row_no,))


def end_expired(work: Working, *, limit: int) -> int:
    """End sessions whose lease is over, oldest end first; returns how many."""
    rows = work.db.execute("SELECT upload_no FROM uploads WHERE expires_ms <= ? ORDER BY expires_ms, upload_no LIMIT ?",
                           (work.clock_ms, limit)).fetchall()
    for (no,) in rows:
        end(work, no)
    return len(rows)


def sweep(work: Working, *, chunks_max: int = SWEEP_CHUNKS_MAX) -> tuple[int, bool]:
    """Free parts of ended sessions. Returns how many, and whether some are left.

    The first one is freed whatever its size, so that sweeping always gets on.
    """
    freed = 0
    chunks = 0
    while True:
        ended = work.db.execute("SELECT upload_no FROM ended_uploads ORDER BY upload_no LIMIT 1").fetchone()
        if ended is None:
            return freed, False
        row = work.db.execute(_PARTS + " ORDER BY number LIMIT 1", ended).fetchone()
        if row is None:
            work.db.execute("DELETE FROM ended_uploads WHERE upload_no = ?", ended)
            continue
        found = PartRow(*row)
        # A part without chunks costs a step too.
        chunks += max(1, found.chunks)
        if freed and chunks > chunks_max:
            return freed, True
        chunk_table.release(work, found.manifest)
        work.db.execute("DELETE FROM upload_parts WHERE upload_no = ? AND number = ?", (*ended, found.number))
        freed += 1


def finished(work: Working, upload_id: bytes) -> FinishedRow | None:
    """What became of a session, if it was completed lately."""
    row = work.db.execute("SELECT path, user_no, fingerprint, facts FROM finished_uploads WHERE upload_id = ?",
                          (upload_id,)).fetchone()
    return None if row is None else FinishedRow(row[0], row[1], row[2], msgpack.unpackb(row[3]))


def remember(work: Working, row: UploadRow, fingerprint: bytes, facts: dict[str, Any]) -> None:
    """Keep the answer to a complete; drops the oldest ones when there are too many."""
    no = work.db.execute("INSERT INTO finished_uploads (upload_id, path, user_no, finished_ms, fingerprint, facts)"
                         " VALUES (?, ?, ?, ?, ?, ?)",
                         (row.upload_id, row.path, row.user_no, work.clock_ms, fingerprint,
                          msgpack.packb(facts))).lastrowid
    if no is not None and no % CUT_BATCH == 0:
        work.db.execute("DELETE FROM finished_uploads WHERE no <= ?", (no - FINISHED_MAX,))
