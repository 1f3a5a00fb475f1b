"""What else a listing can tell of files: hash, metadata, tags. For programs that compare whole trees."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.base.paths import RemotePath
from fluffy.core.metadata.model import Page
from fluffy.core.metadata.packing import unpack_texts
from fluffy.core.metadata.queries_files import find_folder

# SQLite takes 32,766 parameters; a page of a listing has at most 1,000 names.
NAMES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Labels:
    """Of one current version. `blake3` is empty when the whole file's is not known (it was changed in parts)."""

    generation: int
    blake3: bytes
    meta: dict[str, str]
    tags: dict[str, str]


def labels_of(db: sqlite3.Connection, folder: RemotePath, page: Page) -> dict[str, Labels]:
    """The labels of the page's files, by name; what has gone since the page was read is not in it."""
    folder_no = find_folder(db, folder.segments)
    names = [entry.name for entry in page.entries if entry.kind == "file"]
    found: dict[str, Labels] = {}
    for begin in range(0, len(names) if folder_no is not None else 0, NAMES_MAX):
        some = names[begin:begin + NAMES_MAX]
        rows = db.execute(
            "SELECT e.key, v.generation, v.blake3, v.meta, v.tags FROM entries e JOIN versions v USING (version_no)"
            f" WHERE e.parent = ? AND e.key IN ({', '.join('?' * len(some))})", (folder_no, *some))
        for key, generation, blake3, meta, tags in rows:
            found[key] = Labels(generation, blake3, unpack_texts(meta), unpack_texts(tags))
    return found
