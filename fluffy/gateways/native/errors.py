"""Failures as HTTP answers: one JSON shape for all, as docs/API.md section 2 promises.

    {"error": {"code": "FileNotFound", "message": "…", "request_id": "…", "retry": "never", …facts}}
"""

from __future__ import annotations

from fluffy.base.errors import FluffyError, Overloaded, QuorumLost
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.exchange import json_answer

# A new leader is there within two seconds; a full gateway has room again as soon as a request ends.
RETRY_AFTER_S = 1
RETRY_AFTER_QUORUM_LOST_S = 5
_RESERVED = frozenset({"code", "message", "request_id", "retry"})


def error_json(error: FluffyError, request_id: str) -> dict[str, object]:
    """What stands under `error`."""
    facts = {name: fact for name, fact in error.facts.items() if name not in _RESERVED}
    # Which copy was asked is the nodes' own business: for a client another try, here or at another node, is later.
    retry = "later" if error.retry == "other-replica" else error.retry
    return {"code": error.code(), "message": error.message, "request_id": request_id, "retry": retry, **facts}


def answer_of(error: FluffyError, request_id: str) -> Answer:
    """The answer for a failure that has a code."""
    headers: Headers = []
    if error.http_status == 503:
        wait_s = RETRY_AFTER_QUORUM_LOST_S if isinstance(error, QuorumLost) else RETRY_AFTER_S
        headers.append(("Retry-After", str(wait_s)))
    if "retry_after_s" in error.facts:
        headers.append(("Retry-After", str(error.facts["retry_after_s"])))
    if error.http_status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="fluffy"'))
    if "allow" in error.facts:
        headers.append(("Allow", str(error.facts["allow"])))
    if "content_range" in error.facts:
        headers.append(("Content-Range", str(error.facts["content_range"])))
    answer = json_answer({"error": error_json(error, request_id)}, error.http_status, headers)
    answer.must_close = isinstance(error, Overloaded)
    return answer


def answer_of_bug(request_id: str) -> Answer:
    """The answer when the failure has no code: our mistake. The log holds the trace under the same request id."""
    return json_answer({"error": {
        "code": "InternalError", "request_id": request_id, "retry": "later",
        "message": "this is a bug of the server; its log has the details under this request id"}}, 500)
