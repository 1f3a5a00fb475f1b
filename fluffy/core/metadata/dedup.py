"""Exactly once: the window in which a repeated request gets its first answer (promise P4).

The window is part of the state, so it survives restarts and changes of leader, and every node answers alike. It is a
table that only grows at its right edge and is cut at its left; the lookup by request id is a dictionary in memory,
because a random index would dirty one page for every command (measured: 4 KiB of write-ahead log each).
"""

from __future__ import annotations

from dataclasses import fields
from hashlib import blake2b

import msgpack

from fluffy.base.checks import invariant
from fluffy.base.errors import RequestIdReused
from fluffy.base.ids import RequestId
from fluffy.base.units import DAY_MS
from fluffy.core.metadata.commands import (
    COMMAND_KINDS,
    AddToken,
    Command,
    DeleteFile,
    ExpireVersions,
    ForgetChunks,
    Genesis,
    MakeFolder,
    PublishPlacement,
    PutFile,
    RemoveFolder,
    ReplicasChanged,
    SetFeatureLevel,
)
from fluffy.core.metadata.commands_jobs import AssignJobs, FinishJobs
from fluffy.core.metadata.commands_people import AddUser, ChangeUser, ReleaseLock, RenewLock, ReportRefusals
from fluffy.core.metadata.commands_tree import PatchFile
from fluffy.core.metadata.commands_uploads import BeginUpload, PutPart
from fluffy.core.metadata.outcome_codec import decode_outcome, encode_outcome
from fluffy.core.metadata.outcomes import Outcome
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.working import Working

# 50 s at 4,000 commands a second, longer than any client retries; about 25 MB of memory and 25 MB of table.
REQUESTS_MAX = 200_000
REQUESTS_AGE_MAX_MS = DAY_MS
# The left edge is cut once for so many requests.
EVICT_BATCH = 1_024
FINGERPRINT_BYTES = 8
# To make one takes longer than what it hashes.
_HASHERS = {kind: blake2b(digest_size=FINGERPRINT_BYTES, person=b"%d" % kind) for kind in COMMAND_KINDS}
invariant(EVICT_BATCH * 10 <= REQUESTS_MAX, "the window is never cut to a small part of itself")


class RequestWindow:
    """The window of one open state. `lookup` before a command, `remember` after it."""

    def __init__(self, work: Working) -> None:
        self._work = work
        self._no_by_id: dict[bytes, int] = {
            request_id: no for no, request_id in work.db.execute("SELECT no, request_id FROM requests ORDER BY no")}
        first = work.db.execute("SELECT min(no) FROM requests").fetchone()[0]
        self._first_no: int = work.request_no + 1 if first is None else first
        self._unwritten: dict[int, tuple[int, bytes, int, bytes, bytes]] = {}  # rows by their number

    def lookup(self, command: Command) -> Outcome | None:
        """The first answer to this request; Rejected when its id was used for another one; None: it is new."""
        no = self._no_by_id.get(command.header.request_id)
        if no is None:
            return None
        row = self._unwritten.get(no) or self._work.db.execute("SELECT * FROM requests WHERE no = ?", (no,)).fetchone()
        *_, fingerprint, outcome = row
        if fingerprint != fingerprint_of(command):
            return refused(RequestIdReused)
        return decode_outcome(outcome)

    def remember(self, command: Command, outcome: Outcome) -> None:
        """Keep the answer; drops the oldest ones when the window is too long or they are too old."""
        work = self._work
        work.request_no += 1
        request_id: RequestId = command.header.request_id
        self._unwritten[work.request_no] = (
            work.request_no, request_id, work.clock_ms, fingerprint_of(command), encode_outcome(outcome))
        self._no_by_id[request_id] = work.request_no
        if work.request_no % EVICT_BATCH == 0:
            self._evict()

    def flush(self) -> None:
        """Write the rows of the answers that are only in memory, all by one statement. Before the commit."""
        if self._unwritten:
            self._work.db.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", self._unwritten.values())
            self._unwritten.clear()

    def _evict(self) -> None:
        """Which ones go depends on numbers and log time only, so every node drops the same at the same command."""
        self.flush()
        work = self._work
        young = work.db.execute("SELECT no FROM requests WHERE at_ms > ? ORDER BY no LIMIT 1",
                                (work.clock_ms - REQUESTS_AGE_MAX_MS,)).fetchone()
        keep_from = max(work.request_no - REQUESTS_MAX + 1, young[0])
        if keep_from <= self._first_no:
            return
        for (request_id,) in work.db.execute("SELECT request_id FROM requests WHERE no < ?", (keep_from,)):
            del self._no_by_id[request_id]
        work.db.execute("DELETE FROM requests WHERE no < ?", (keep_from,))
        self._first_no = keep_from


def fingerprint_of(command: Command) -> bytes:
    """What the request is about: a repeated request has the same kind, target and content."""
    hasher = _HASHERS[command.KIND].copy()
    hasher.update(_target(command))
    return hasher.digest()


def _target(command: Command) -> bytes:
    if isinstance(command, PutFile):  # before the others: `match` takes its time, and most commands are puts
        return command.blake3 + _bytes(command.path)
    match command:
        case DeleteFile(path=path, purge=purge):
            return b"%d" % purge + _bytes(path)
        case MakeFolder(path=path) | RemoveFolder(path=path):
            return _bytes(path)
        case Genesis(cluster_uuid=cluster_uuid):
            return _bytes(cluster_uuid)
        case PublishPlacement(term=term, epoch=epoch):
            return b"%d %d" % (term, epoch)
        case ReplicasChanged(added=added, removed=removed):
            return b"".join(b"%b+%d" % pair for pair in added) + b"".join(b"%b-%d" % pair for pair in removed)
        case ForgetChunks(chunk_ids=chunk_ids):
            return b"".join(chunk_ids)
        case ExpireVersions(term=term):
            return b"%d" % term
        case SetFeatureLevel(level=level):
            return b"%d" % level
        case AddToken(user=user, token_hash=token_hash):
            return token_hash + _bytes(user)
        case PatchFile(path=path, intent=intent):
            return intent + _bytes(path)
        # A repeated request brings a name made anew; and a part's copies may be elsewhere.
        case BeginUpload(path=path, size=size, content_type=content_type, meta=meta, tags=tags):
            return _bytes(repr((path, size, content_type, meta, tags)))
        case PutPart(upload_id=upload_id, number=number, blake3=blake3):
            return blake3 + b"%d " % number + upload_id
        # A repeated request brings the same password with another salt, and may bring a lock's token made anew.
        case AddUser(name=name, role=role):
            return _bytes(f"{role} {name}")
        case ChangeUser(name=name, role=role, disabled=disabled):
            return _bytes(f"{role} {disabled} {name}")
        case RenewLock(lock=lock) | ReleaseLock(lock=lock, path=""):
            return lock
        case AssignJobs(jobs=jobs):
            return _bytes(repr(jobs))
        case FinishJobs(results=results):
            return _bytes(repr(results))
        case ReportRefusals(refusals=refusals):
            return _bytes(repr(refusals))
    return _all_fields(command)


def _all_fields(command: Command) -> bytes:
    """The whole request, without the lock under which it is made: a lock may be taken again between two attempts."""
    values = [getattr(command, field.name) for field in fields(command) if field.name not in ("header", "lock")]
    packed: bytes = msgpack.packb(values, unicode_errors="surrogatepass")
    return packed


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
