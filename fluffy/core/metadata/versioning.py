"""Which versions of a bucket have ids over S3.

A bucket's document `versioning` is `Enabled` or `Suspended`; without it, deletions go to the trash and old generations
are nobody's business over S3. While it is enabled every new version bears STAMP in its metadata and so has an id of its
own. One without is S3's `null` version: of those only the newest counts.
"""

from __future__ import annotations

from dataclasses import replace

from fluffy.core.metadata.folder_cache import NOT_READ, Folder
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.own_meta import STAMP
from fluffy.core.metadata.packing import pack_texts, unpack_texts
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working

ENABLED = b"Enabled"
SUSPENDED = b"Suspended"


def is_stamped(meta: bytes | None) -> bool:
    return meta is not None and STAMP.encode() in meta and STAMP in unpack_texts(meta)


def stamped(work: Working, bucket: Folder, content: Content) -> Content:
    """The content as a new version in the bucket keeps it: with the stamp where versions have ids, else without."""
    is_enabled = versioning_of(work, bucket) == ENABLED
    if not is_enabled and not is_stamped(content.meta):
        return content
    meta = {name: text for name, text in unpack_texts(content.meta).items() if name != STAMP}
    return replace(content, meta=pack_texts({**meta, STAMP: "1"} if is_enabled else meta))


def told(work: Working, place: Place, stored: Accepted) -> Accepted:
    """What a store answered, and in a bucket whose versions have ids also `version_no` (0: it is the `null` one)."""
    if place.bucket is None or versioning_of(work, place.bucket) is None:
        return stored
    version_no, meta = work.db.execute(
        "SELECT version_no, v.meta FROM versions v JOIN entries USING (version_no) WHERE parent = ? AND key = ?",
        (place.folder.no, place.name)).fetchone()
    return Accepted(stored.seq, {**stored.facts, "version_no": version_no if is_stamped(meta) else 0})


def versioning_of(work: Working, bucket: Folder) -> bytes | None:
    """ENABLED, SUSPENDED, or None: never said."""
    if bucket.versioning is NOT_READ:
        row = work.db.execute("SELECT body FROM bucket_documents WHERE bucket_no = ? AND name = 'versioning'",
                              (bucket.no,)).fetchone()
        bucket.versioning = None if row is None else bytes(row[0])
    return bucket.versioning


