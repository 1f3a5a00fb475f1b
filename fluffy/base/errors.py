"""Failures of the world and refusals, as exceptions with a stable code, a retry class and a sentence.

    FluffyError
    ├─ RequestError    never retry      NameIllegal, QuerySyntax, RangeIllegal, DigestMismatch, AccessDenied, …
    ├─ NotFound        never retry      BucketNotFound, FolderNotFound, FileNotFound, ChunkNotFound
    ├─ Conflict        read, then retry PreconditionFailed, FolderNotEmpty, FileLocked, IsFolder, …
    ├─ Unavailable     retry later      NoLeader, QuorumLost, Overloaded, PeerUnreachable, DeadlineExceeded, …
    ├─ OutcomeUnknown  same request id  ProposalLost (it may or may not have happened)
    ├─ Corruption      other replica    ChunkCorrupt, FrameCorrupt, TransferCorrupt
    ├─ LocalFileFailed never retry      LocalFileExists (the client's own disk)
    └─ StartRefused    by an operator   ConfigIllegal, IdentityMismatch, FeatureTooNew, JournalCorrupt

Another machine's error is data: translate it with `error_for`, never re-raise it as ours. `http_status` is the one
number that every HTTP door needs; the S3 door adds its own codes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Retry = Literal["never", "later", "same-id", "other-replica"]


class FluffyError(Exception):
    """A sentence a user can act on, plus facts (JSON values) for programs."""

    http_status: ClassVar[int] = 500
    retry: ClassVar[Retry] = "never"
    sentence: ClassVar[str] = "the request failed"

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        self.message = message or type(self).sentence
        self.facts = facts
        super().__init__(self.message)

    @classmethod
    def code(cls) -> str:
        return cls.__name__


class RequestError(FluffyError):
    http_status = 400


class NameIllegal(RequestError):
    sentence = "the path is not allowed"


class IntoItself(RequestError):
    sentence = "a folder cannot be moved or copied into itself, nor anything onto itself or what it lies in"


class QuerySyntax(RequestError):
    sentence = "a parameter of the request is not understood"


class DigestMismatch(RequestError):
    sentence = "the bytes that arrived do not match the hash that was promised; nothing was stored"


class BodyIncomplete(RequestError):
    sentence = "the body ended before its announced length; nothing was stored"


class BackupDamaged(RequestError):
    sentence = "the backup is damaged; use another one"


class RangeIllegal(RequestError):
    http_status = 416
    sentence = "the range lies outside the file"


class LengthRequired(RequestError):
    http_status = 411
    sentence = "say how long the body is: Content-Length, 0 for an empty file, or Transfer-Encoding: chunked"


class TooLarge(RequestError):
    http_status = 413
    sentence = "the request is larger than this door accepts"


class RequestMalformed(RequestError):
    sentence = "this is not a valid HTTP request"


class MethodNotAllowed(RequestError):
    http_status = 405
    sentence = "that address does not know this method"


class ClientTooSlow(RequestError):
    http_status = 408
    sentence = "nothing came from the client for too long; nothing was stored"


class HeadersTooLarge(RequestError):
    http_status = 431
    sentence = "the request's headers are larger than this door accepts"


class Unauthenticated(RequestError):
    http_status = 401
    sentence = "no valid credential: send 'Authorization: Bearer TOKEN'"


class TooManyAttempts(RequestError):
    http_status = 429
    sentence = "too many wrong passwords for this user; wait some minutes"


class AccessDenied(RequestError):
    http_status = 403
    sentence = "you are not allowed to do this"


class NotSupported(RequestError):
    http_status = 501
    sentence = "this server does not support that yet"


class NotFound(FluffyError):
    http_status = 404
    sentence = "there is nothing there"


class BucketNotFound(NotFound):
    sentence = "there is no such bucket"


class FolderNotFound(NotFound):
    sentence = "there is no such folder"


class VersionNotFound(NotFound):
    sentence = "that generation of the file is not kept (any more)"


class FileNotFound(NotFound):
    sentence = "there is no such file"


class ChunkNotFound(NotFound):
    sentence = "this node does not hold that chunk"


class HistoryCut(NotFound):
    http_status = 410
    sentence = "the change feed does not reach back that far any more; list the files afresh and go on from there"


class UserNotFound(NotFound):
    sentence = "there is no such user"


class KeyNotFound(NotFound):
    sentence = "the user has no such access key"


class TokenNotFound(NotFound):
    sentence = "the user has no such token"


class GrantNotFound(NotFound):
    sentence = "there is no such grant"


class LockNotFound(NotFound):
    sentence = "no lock of yours has that token (any more); take the lock again"


class UploadNotFound(NotFound):
    sentence = "there is no such upload (any more): it was ended, or its time was over; begin it again"


class ClusterNotFound(NotFound):
    sentence = "the supernode has joined no cluster of that name"


class NodeNotFound(NotFound):
    sentence = "there is no such node"


class JobNotFound(NotFound):
    sentence = "there is no such job (any more): it is done, or was not needed"


class Conflict(FluffyError):
    http_status = 409
    sentence = "the request does not fit the present state; read it and try again"


class PreconditionFailed(Conflict):
    http_status = 412
    sentence = "the file is not in the state that the request demanded"


class FolderNotEmpty(Conflict):
    sentence = "the folder is not empty"


class IsFolder(Conflict):
    sentence = "a folder stands at that path"


class IsFile(Conflict):
    sentence = "a file stands at that path, or where a folder of the path should be"


class AlreadyExists(Conflict):
    sentence = "there is already something at that path"


class RebuildRefused(Conflict):
    sentence = "a backup can only be restored into an empty cluster"


class FileLocked(Conflict):
    http_status = 423
    sentence = "somebody holds a lock on the file"


class LockLost(Conflict):
    http_status = 412
    sentence = "the lock whose token the write brought has ended or does not cover the path; nothing was changed"


class QuotaExceeded(Conflict):
    http_status = 507
    sentence = "the quota leaves no room for this"


class UserOwnsFiles(Conflict):
    sentence = "the user owns buckets that are not empty; say who gets them, or empty them first"


class LastAdmin(Conflict):
    sentence = "this is the last admin who can log in; make another one first"


class UploadExpired(Conflict):
    sentence = "the upload took longer than an upload may; send the file again, on a faster line or in smaller parts"


class UploadFinished(Conflict):
    sentence = "the upload is complete already; begin another one to change the file"


class PartsMissing(Conflict):
    sentence = "the parts are not those that make up the file; send what is missing, then complete again"


class RequestIdReused(Conflict):
    sentence = "this request id was already used for a different request; choose a new one"


class ChunksMissing(Conflict):
    sentence = "the write relied on chunk copies that are no longer there; send the bytes again"


class TermStale(Conflict):
    sentence = "the decision was made under an older leader and does not count any more"


class Unavailable(FluffyError):
    http_status = 503
    retry = "later"
    sentence = "the cluster cannot do this now; try again shortly"


class NoLeader(Unavailable):
    sentence = "the cluster is choosing a leader; try again in a second"


class QuorumLost(Unavailable):
    sentence = "fewer than a majority of the nodes are alive, so nothing can be written; reading still works"


class NotReady(Unavailable):
    sentence = "this node is still starting or catching up; try another peer"


class Rebuilding(Unavailable):
    sentence = "the files of this cluster are being restored; changes are possible again when that is done"


class Overloaded(Unavailable):
    sentence = "this node has as many requests as it can hold; try again shortly or ask another peer"


class PeerUnreachable(Unavailable):
    sentence = "another node does not answer"


class DeadlineExceeded(Unavailable):
    sentence = "the request took longer than its deadline"


class NotEnoughCopies(Unavailable):
    sentence = "the bytes could not be stored on enough nodes"


class DiskFull(Unavailable):
    http_status = 507
    sentence = "no node has room for these bytes; delete files or add a node"


class DiskFailed(Unavailable):
    sentence = "a disk reports that it cannot read or write; look at that machine"


class CatalogFailed(Unavailable):
    sentence = "the supernode's catalog cannot be read or written now"


class ClusterUnreachable(Unavailable):
    sentence = "that cluster does not answer the supernode now"


class OutcomeUnknown(FluffyError):
    http_status = 503
    retry = "same-id"
    sentence = "it is not known whether this happened; repeat it with the same request id"


class ProposalLost(OutcomeUnknown):
    sentence = "the answer of the cluster was lost; repeat the request with the same request id"


class Corruption(FluffyError):
    http_status = 503
    retry = "other-replica"
    sentence = "stored bytes do not match their hash"


class ChunkCorrupt(Corruption):
    sentence = "this copy of the chunk does not match its hash"


class AllCopiesBad(Corruption):
    sentence = "no good copy of a part of this file can be reached now"


class FrameCorrupt(Corruption):
    sentence = "a message between nodes was damaged or not ours"


class IndexCorrupt(Corruption):
    sentence = "the search index on this node is damaged; it is built anew"


class TransferCorrupt(Corruption):
    sentence = "the bytes that arrived do not match the file's hash; nothing was kept"


class LocalFileFailed(FluffyError):
    """The client's own disk, never the cluster's."""

    http_status = 400
    sentence = "the local file cannot be read or written"


class LocalFileExists(LocalFileFailed):
    sentence = "the local file exists already; say --force to replace it"


class StartRefused(FluffyError):
    sentence = "the process refuses to start"


class ConfigIllegal(StartRefused):
    sentence = "the configuration is not usable"


class IdentityMismatch(StartRefused):
    sentence = "this folder belongs to another node or another cluster"


class FeatureTooNew(StartRefused):
    sentence = "the cluster uses features that this version of the program does not know; upgrade this node"


class JournalCorrupt(StartRefused):
    sentence = "the log on this disk is damaged; admit the node again with an empty folder"


def _all_errors(cls: type[FluffyError]) -> dict[str, type[FluffyError]]:
    found = {cls.code(): cls}
    for child in cls.__subclasses__():
        found.update(_all_errors(child))
    return found


ERRORS_BY_CODE = _all_errors(FluffyError)


def error_for(code: str, message: str | None = None, **facts: Any) -> FluffyError:
    """The exception of a code that came from `core` (a `Rejected`) or from another machine.

    An unknown code (a newer peer's) becomes plain `Unavailable`, so that callers retry elsewhere.
    """
    cls = ERRORS_BY_CODE.get(code, Unavailable)
    return cls(message, **facts)
