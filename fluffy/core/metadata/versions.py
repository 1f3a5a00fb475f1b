"""Versions of files: immutable rows, retired when replaced or deleted, freed when no rule keeps them any more.

Freeing a version of a large file touches thousands of chunks, so it is never done where a version is condemned:
condemned rows get `expires_ms` 0, and every later change frees a few (`sweep`), as does the leader's ExpireVersions.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.frozen import quickly_made
from fluffy.base.ids import UserNo
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import changes, chunk_table, tree
from fluffy.core.metadata.bucket_rules import Keeping
from fluffy.core.metadata.working import Working

CONDEMNED_MS = 0
# Of a version that only says that the object was deleted (object_history.py); no door gives it to anything else.
MARKER_ETAG = "delete-marker"
# A version of a 100 GiB file has 12,800 chunks, about 0.1 s to free; the log must not pause longer in one command.
SWEEP_CHUNKS_MAX = 4_096
# What one update pays: more than the one version it may condemn, so a backlog shrinks.
SWEEP_VERSIONS_BY_UPDATE = 2
SWEEP_CHUNKS_BY_UPDATE = 64
# A purge frees most files whole at once.
SWEEP_VERSIONS_BY_PURGE = 128


@quickly_made
@dataclass(frozen=True, slots=True)
class Content:
    """What a version says of its file, as in the columns of `versions`: etag, meta and tags are packed."""

    size: int
    blake3: bytes
    etag: str | bytes
    content_type: str
    meta: bytes | None
    tags: bytes | None
    manifest: bytes | None
    inline: bytes | None
    meta_version: int = 0

    @property
    def chunks(self) -> int:
        return 0 if self.manifest is None else len(self.manifest) // 8


def add(work: Working, content: Content, *, file_no: int, generation: int, owner_no: int) -> int:
    """Store a version; its chunks are counted already. Returns its number."""
    version_no = work.next_no()
    work.db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?, ?, ?)",
                    (version_no, file_no, generation, content.size, content.blake3, content.etag,
                     content.content_type, owner_no, work.clock_ms, content.meta_version, content.meta, content.tags,
                     content.manifest, content.inline))
    return version_no


def content_of(work: Working, version_no: int) -> Content:
    """What a version that exists holds."""
    return Content(*work.db.execute(
        "SELECT size, blake3, etag, content_type, meta, tags, manifest, inline, meta_version FROM versions"
        " WHERE version_no = ?", (version_no,)).fetchone())


def share(work: Working, content: Content, keeping: Keeping) -> None:
    """Count the chunks of one more version with this content."""
    if content.manifest is not None:
        chunk_table.retain(work, content.manifest, wanted=keeping.replication)


def retire(work: Working, version_no: int, keeping: Keeping) -> None:
    """The version is not current any more; the bucket's rules of now decide how long it is kept."""
    # At least 1: 0 would mean condemned.
    retired_ms = max(1, work.clock_ms)
    work.db.execute("UPDATE versions SET retired_ms = ?, expires_ms = ? WHERE version_no = ?",
                    (retired_ms, retired_ms + keeping.trash_days * DAY_MS, version_no))


def condemn(work: Working, file_no: int, *, generation_max: int) -> None:
    """Let retired versions of a file up to a generation be freed now."""
    work.db.execute("UPDATE versions SET expires_ms = 0 WHERE file_no = ? AND generation <= ?"
                    " AND retired_ms IS NOT NULL AND expires_ms > 0", (file_no, generation_max))


def keep_few(work: Working, file_no: int, generation: int, keeping: Keeping) -> None:
    """Condemn what `versions_max` does not keep beside the new generation, and pay for freeing it bit by bit."""
    if generation > keeping.versions_max:
        row = work.db.execute("SELECT generation FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL"
                              " AND expires_ms > 0 ORDER BY generation DESC LIMIT 1 OFFSET ?",
                              (file_no, keeping.versions_max - 1)).fetchone()
        if row is not None:
            condemn(work, file_no, generation_max=row[0])
    sweep(work, expires_ms_max=CONDEMNED_MS, versions_max=SWEEP_VERSIONS_BY_UPDATE, chunks_max=SWEEP_CHUNKS_BY_UPDATE)


def kept_generation(work: Working, file_no: int) -> tuple[int, int] | None:
    """(version number, generation) of the newest retired version of a file that is not condemned."""
    row = work.db.execute("SELECT version_no, generation FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL"
                          " AND expires_ms > 0 AND etag IS NOT ? ORDER BY generation DESC LIMIT 1",
                          (file_no, MARKER_ETAG)).fetchone()
    return None if row is None else (row[0], row[1])


def sweep(work: Working, *, expires_ms_max: int, versions_max: int, chunks_max: int) -> tuple[int, bool]:
    """Free versions kept until `expires_ms_max` at most, oldest first, within both bounds.

    Returns how many, and whether a bound (not the end of the work) stopped it. The first one is freed whatever its
    size, so that sweeping always gets on.
    """
    rows = work.db.execute(
        "SELECT version_no, file_no, owner_no, ifnull(length(manifest), 0) FROM versions WHERE expires_ms IS NOT NULL"
        " AND expires_ms <= ? ORDER BY expires_ms, version_no LIMIT ?", (expires_ms_max, versions_max)).fetchall()
    freed = 0
    chunks = 0
    for version_no, file_no, owner_no, manifest_bytes in rows:
        chunks += manifest_bytes // 8
        if freed and chunks > chunks_max:
            break
        if manifest_bytes:
            row = work.db.execute("SELECT manifest FROM versions WHERE version_no = ?", (version_no,)).fetchone()
            chunk_table.release(work, row[0])
        work.db.execute("DELETE FROM versions WHERE version_no = ?", (version_no,))
        freed += 1
        _forget_if_last(work, file_no, owner_no)
    return freed, len(rows) == versions_max or freed < len(rows)


def _forget_if_last(work: Working, file_no: int, owner_no: UserNo) -> None:
    """Drop the tomb of a deleted file whose last version was freed."""
    row = work.db.execute("SELECT parent, key, generation FROM tombs WHERE no = ?", (file_no,)).fetchone()
    if row is None or work.db.execute("SELECT 1 FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL LIMIT 1",
                                      (file_no,)).fetchone():
        return
    parent, key, generation = row
    folder = work.folders.get(parent)
    path = tree.path_in(work, folder, key)
    tree.drop_tomb(work, folder, key, tree.Tomb(file_no, generation))
    changes.record(work, changes.FILE_PURGED, path, generation=generation, size=0, owner_no=owner_no)


def number_of(work: Working, file_no: int, current_no: int, current_generation: int, generation: int) -> int | None:
    """The number of a kept version of a file that exists; generation 0: the current one."""
    if generation in (0, current_generation):
        return current_no
    return kept_number(work, file_no, generation)


def kept_number(work: Working, file_no: int, generation: int) -> int | None:
    """The number of a retired version that is not condemned."""
    row = work.db.execute("SELECT version_no FROM versions WHERE file_no = ? AND generation = ?"
                          " AND retired_ms IS NOT NULL AND expires_ms > 0 AND etag IS NOT ?",
                          (file_no, generation, MARKER_ETAG)).fetchone()
    return None if row is None else int(row[0])
