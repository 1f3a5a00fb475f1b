"""Which function applies which command of the S3 door; key pairs and what buckets say of themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    KeyNotFound,
    RequestError,
    TooLarge,
    UserNotFound,
)
from fluffy.base.ids import UserNo
from fluffy.base.units import KIB
from fluffy.core.metadata import apply_objects, audit, objects
from fluffy.core.metadata.commands_s3 import (
    AddKey,
    CopyObject,
    DeleteObjects,
    PutObject,
    RemoveKey,
    SetBucketDocument,
)
from fluffy.core.metadata.folder_cache import NOT_READ
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import find_user, is_operator, refuse_bucket_admin, refused
from fluffy.core.metadata.working import Working

# What clients and their configuration files take; it stands in every signature.
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_.-]{3,128}\Z", re.ASCII)
# A secret of at most 128 characters, its nonce and its seal.
SEALED_BYTES_MAX = 256
KEYS_OF_USER_MAX = 100
KEYS_MAX = 100_000
DOCUMENT_BYTES_MAX = 64 * KIB
DOCUMENTS_OF_BUCKET_MAX = 32
_DOCUMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)


def add_key(work: Working, command: AddKey) -> Outcome:
    """Give a user one more key pair; the same one again is success."""
    user_no = _account(work, command.header.user_no, command.user)
    if isinstance(user_no, Rejected):
        return user_no
    if _ACCESS_KEY.match(command.access_key) is None:
        return refused(RequestError, "an access key has 3 to 128 letters, digits, dots, dashes or underscores")
    if not 0 < len(command.sealed) <= SEALED_BYTES_MAX or not (command.label == "" or is_name(command.label)):
        return refused(RequestError, "a key pair needs a sealed secret and a short label")
    held = work.db.execute("SELECT user_no, sealed FROM s3_keys WHERE access_key = ?",
                           (command.access_key,)).fetchone()
    if held is not None:
        if tuple(held) == (user_no, command.sealed):
            return Accepted(work.seq)
        return refused(AlreadyExists, "that access key is taken; choose another one, or remove it first")
    (everybodys,) = work.db.execute("SELECT count(*) FROM s3_keys").fetchone()
    (own,) = work.db.execute("SELECT count(*) FROM s3_keys WHERE user_no = ?", (user_no,)).fetchone()
    if everybodys >= KEYS_MAX or own >= KEYS_OF_USER_MAX:
        return refused(TooLarge, f"a user has at most {KEYS_OF_USER_MAX} keys, all together {KEYS_MAX:,}; remove some")
    work.db.execute("INSERT INTO s3_keys VALUES (?, ?, ?, ?, ?)",
                    (command.access_key, user_no, command.sealed, command.label, work.clock_ms))
    work.seq += 1
    audit.record(work, command.header.user_no, "add-key", command.user, command.access_key)
    return Accepted(work.seq)


def remove_key(work: Working, command: RemoveKey) -> Outcome:
    """End a key pair."""
    user_no = _account(work, command.header.user_no, command.user)
    if isinstance(user_no, Rejected):
        return user_no
    if _ACCESS_KEY.match(command.access_key) is None or not work.db.execute(
            "DELETE FROM s3_keys WHERE user_no = ? AND access_key = ?", (user_no, command.access_key)).rowcount:
        return refused(KeyNotFound)
    work.seq += 1
    audit.record(work, command.header.user_no, "remove-key", command.user, command.access_key)
    return Accepted(work.seq)


def _account(work: Working, asker_no: UserNo, name: str) -> UserNo | Rejected:
    """The user whose keys they are, when the asker may touch them."""
    asker = work.user(asker_no)
    is_self = asker is not None and asker.name == name and not asker.disabled
    if not is_self and not is_operator(work, asker_no):
        return refused(AccessDenied)
    user_no = find_user(work, name)
    return refused(UserNotFound, user=name if is_name(name) else "") if user_no is None else user_no


def set_bucket_document(work: Working, command: SetBucketDocument) -> Outcome:
    """Keep a document of a bucket, or take it away. By its admins."""
    bucket = objects.bucket_at(work, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    refusal = refuse_bucket_admin(work, command.header.user_no, bucket)
    if refusal is not None:
        return refusal
    if _DOCUMENT_NAME.match(command.name) is None:
        return refused(RequestError, "that is no name of a bucket's document")
    if command.body is None:
        work.db.execute("DELETE FROM bucket_documents WHERE bucket_no = ? AND name = ?", (bucket.no, command.name))
    else:
        (kept,) = work.db.execute("SELECT count(*) FROM bucket_documents WHERE bucket_no = ? AND name != ?",
                                  (bucket.no, command.name)).fetchone()
        if len(command.body) > DOCUMENT_BYTES_MAX or kept >= DOCUMENTS_OF_BUCKET_MAX:
            return refused(TooLarge, f"what a bucket says of itself has at most {DOCUMENT_BYTES_MAX} bytes")
        work.db.execute("INSERT OR REPLACE INTO bucket_documents VALUES (?, ?, ?)",
                        (bucket.no, command.name, command.body))
    bucket.versioning = NOT_READ
    work.seq += 1
    audit.record(work, command.header.user_no, "bucket-document", command.bucket,
                 command.name if command.body is not None else f"{command.name} removed")
    return Accepted(work.seq)


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    PutObject.KIND: apply_objects.put_object,
    DeleteObjects.KIND: apply_objects.delete_objects,
    CopyObject.KIND: apply_objects.copy_object,
    AddKey.KIND: add_key,
    RemoveKey.KIND: remove_key,
    SetBucketDocument.KIND: set_bucket_document,
}
