"""Failures in S3's words: its codes, its statuses, its XML."""

from __future__ import annotations

from collections.abc import Mapping

from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    BodyIncomplete,
    BucketNotFound,
    ClientTooSlow,
    Conflict,
    Corruption,
    DigestMismatch,
    DiskFull,
    FileLocked,
    FileNotFound,
    FluffyError,
    FolderNotEmpty,
    HeadersTooLarge,
    NameIllegal,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    Overloaded,
    PartsMissing,
    PreconditionFailed,
    QuotaExceeded,
    RangeIllegal,
    RequestError,
    RequestMalformed,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UploadFinished,
    UploadNotFound,
    VersionNotFound,
)
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node, render

XML_TYPE = "application/xml"
RETRY_AFTER_S = 1
# The first class that fits counts; None: the error's own sentence.
_CODES: Mapping[type[FluffyError], tuple[str, int, str | None]] = {
    BucketNotFound: ("NoSuchBucket", 404, "The specified bucket does not exist"),
    VersionNotFound: ("NoSuchVersion", 404, "The specified version does not exist."),
    UploadNotFound: ("NoSuchUpload", 404, "The specified multipart upload does not exist. The upload ID might be"
                                          " invalid, or the multipart upload might have been aborted or completed."),
    UploadFinished: ("NoSuchUpload", 404, "The specified multipart upload does not exist. The upload ID might be"
                                          " invalid, or the multipart upload might have been aborted or completed."),
    PartsMissing: ("InvalidPart", 400, "One or more of the specified parts could not be found. The part might not have"
                                       " been uploaded, or the specified entity tag might not have matched the part's"
                                       " entity tag."),
    FileNotFound: ("NoSuchKey", 404, "The specified key does not exist."),
    NotFound: ("NoSuchKey", 404, None),
    Unauthenticated: ("AccessDenied", 403, None),
    AccessDenied: ("AccessDenied", 403, None),
    PreconditionFailed: ("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"),
    RangeIllegal: ("InvalidRange", 416, "The requested range is not satisfiable"),
    NameIllegal: ("InvalidArgument", 400, None),
    BodyIncomplete: ("IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length"
                                            " HTTP header"),
    ClientTooSlow: ("RequestTimeout", 400, "Your socket connection to the server was not read from or written to within"
                                           " the timeout period. Idle connections will be closed."),
    DigestMismatch: ("BadDigest", 400, None),
    TooLarge: ("EntityTooLarge", 400, None),
    QuotaExceeded: ("QuotaExceeded", 403, None),
    FolderNotEmpty: ("BucketNotEmpty", 409, "The bucket you tried to delete is not empty"),
    AlreadyExists: ("BucketAlreadyExists", 409, None),
    FileLocked: ("OperationAborted", 409, None),
    Conflict: ("OperationAborted", 409, None),
    NotSupported: ("NotImplemented", 501, None),
    HeadersTooLarge: ("RequestHeaderSectionTooLarge", 400, None),
    RequestMalformed: ("BadRequest", 400, None),
    RequestError: ("InvalidRequest", 400, None),
    Overloaded: ("SlowDown", 503, None),
    DiskFull: ("ServiceUnavailable", 503, None),
    Unavailable: ("ServiceUnavailable", 503, None),
    OutcomeUnknown: ("ServiceUnavailable", 503, None),
    Corruption: ("ServiceUnavailable", 503, None),
}


def s3_error(error: FluffyError) -> S3Error:
    """The same failure, as S3's clients know it."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, PreconditionFailed) and error.facts.get("etag", "") is None:
        return S3Error("NoSuchKey", 404, "The specified key does not exist.")
    for kind in type(error).__mro__:
        known = _CODES.get(kind)
        if known is not None:
            code, status, message = known
            return S3Error(code, status, message or error.message)
    return S3Error("InternalError", 503, error.message)


def answer_of(error: FluffyError, request_id: str, resource: str, bucket: str = "") -> Answer:
    """The answer for a failure that has a code. `bucket`: the one that was addressed."""
    failure = s3_error(error)
    if failure.s3_code == "NoSuchBucket" and bucket:
        failure.facts.setdefault("BucketName", bucket)
    headers: Headers = list(failure.headers)
    if failure.status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER_S)))
    facts: list[Node] = [(name.replace("_", "-"), str(value)) for name, value in failure.facts.items()
                         if value is not None]
    answer = _answer(failure.s3_code, failure.message, failure.status, request_id, resource, facts)
    answer.headers.extend(headers)
    answer.must_close = isinstance(error, Overloaded | RequestMalformed | HeadersTooLarge)
    return answer


def answer_of_bug(request_id: str, resource: str) -> Answer:
    """The answer when the failure has no code: our mistake. The log holds the trace under the same request id."""
    return _answer("InternalError", "We encountered an internal error; the server's log has the details under this"
                                    " request id.", 500, request_id, resource, [])


def _answer(code: str, message: str, status: int, request_id: str, resource: str, facts: list[Node]) -> Answer:
    body = render("Error", [("Code", code), ("Message", message), *facts, ("Resource", resource),
                            ("RequestId", request_id), ("HostId", request_id)], namespace="")
    return Answer(status, [("Content-Type", XML_TYPE)], body)
