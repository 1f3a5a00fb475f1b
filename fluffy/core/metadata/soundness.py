"""Whether a state that somebody brings is one that the state machine could have made: everything leads somewhere.

Not a recount of everything (the tests have that), but of what would stop the state machine when it is not so. Scans:
for whoever reads a backup, not for the log process.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from fluffy.core.metadata.packing import unpack_manifest

# Enough to see what kind of damage it is.
PROBLEMS_TOLD_MAX = 20

# What must not exist -> a query that finds it.
_FORBIDDEN: tuple[tuple[str, str], ...] = (
    ("a file or folder in a folder that does not exist",
     "SELECT e.key FROM entries e LEFT JOIN folders f ON f.folder_no = e.parent WHERE f.folder_no IS NULL"),
    ("a file without its current version",
     "SELECT e.key FROM entries e LEFT JOIN versions v USING (version_no) WHERE e.version_no != 0"
     " AND (v.version_no IS NULL OR v.file_no != e.no OR v.retired_ms IS NOT NULL)"),
    ("a folder that is listed and does not exist",
     "SELECT e.key FROM entries e LEFT JOIN folders f ON f.folder_no = e.no WHERE e.version_no = 0"
     " AND (f.folder_no IS NULL OR f.parent != e.parent OR f.key != e.key OR f.removed)"),
    ("a folder in a folder that does not exist",
     "SELECT f.key FROM folders f LEFT JOIN folders p ON p.folder_no = f.parent WHERE p.folder_no IS NULL"),
    ("something in the trash of a folder that does not exist",
     "SELECT t.key FROM tombs t LEFT JOIN folders f ON f.folder_no = t.parent WHERE f.folder_no IS NULL"),
    ("a folder whose count of entries is wrong",
     "SELECT f.key FROM folders f WHERE f.entries != (SELECT count(*) FROM entries e WHERE e.parent = f.folder_no)"),
    ("a folder whose count of trash is wrong",
     "SELECT f.key FROM folders f WHERE f.tombs != (SELECT count(*) FROM tombs t WHERE t.parent = f.folder_no)"),
    ("a part of an upload that does not exist",
     "SELECT p.upload_no FROM upload_parts p WHERE p.upload_no NOT IN (SELECT upload_no FROM uploads)"
     " AND p.upload_no NOT IN (SELECT upload_no FROM ended_uploads)"),
    ("a number above the last one given",
     "SELECT max(no) FROM (SELECT max(version_no) AS no FROM versions UNION ALL SELECT max(chunk_no) FROM chunks"
     " UNION ALL SELECT max(folder_no) FROM folders), state HAVING max(no) > max(last_no)"),
)


def unsound(db: sqlite3.Connection) -> list[str]:
    """Sentences about what is wrong, a bounded number; empty when nothing is."""
    problems: list[str] = []
    for what, query in _FORBIDDEN:
        row = db.execute(query + " LIMIT 1").fetchone()
        if row is not None:
            problems.append(f"{what}: {row[0]}")
    problems += _wrong_references(db)
    return problems[:PROBLEMS_TOLD_MAX]


def _wrong_references(db: sqlite3.Connection) -> list[str]:
    """Chunks whose references are counted wrongly, and manifests that lead nowhere."""
    refs: Counter[int] = Counter()
    for query in ("SELECT manifest FROM versions WHERE manifest IS NOT NULL", "SELECT manifest FROM upload_parts"):
        for (manifest,) in db.execute(query):
            refs.update(unpack_manifest(manifest))
    wrong = 0
    for chunk_no, counted in db.execute("SELECT chunk_no, refs FROM chunks"):
        wrong += refs.pop(chunk_no, 0) != counted
    problems = [f"{wrong} chunks whose references are counted wrongly"] if wrong else []
    return problems + ([f"{len(refs)} references to chunks that are not there"] if refs else [])
