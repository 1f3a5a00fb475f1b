"""The API's description (OpenAPI 3.1), made from the table of routes: what is not in the table is not in the API.

It tells every status that a route answers, and no `default`: an answer that it does not name is a bug, and
`make schemathesis` looks for one. Which refusals a route has follows from what it is (`refusals_of`); few say more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluffy.base.errors import ERRORS_BY_CODE
from fluffy.core.access.policy import Act
from fluffy.gateways.native.table import Parameter, Route

# Of any request: malformed, too slow, too large, an open door that is full or a cluster that cannot answer now.
ALWAYS = (400, 408, 413, 431, 503)
# Of all that takes a credential.
ASKED = (401, 403)
# Of a change: names that are taken, request ids used twice.
CHANGED = (409,)
# Of a change in the tree: preconditions, locks, conditions that a write cannot have, quotas and full disks.
WRITTEN = (404, 412, 423, 501, 507)
_SCHEMA_OF = {"text": {"type": "string"}, "flag": {"type": "string", "enum": ["", "0", "1"]}}
_RETRY = ("never", "later", "same-id")
_ERROR = {
    "type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "message", "request_id", "retry"],
        "description": "and facts that depend on the code", "properties": {
            "code": {"type": "string", "description": "for programs; docs/API.md lists all"},
            "message": {"type": "string", "description": "for people"}, "request_id": {"type": "string"},
            "retry": {"type": "string", "enum": list(_RETRY)}}}}}
_WORDS = {
    400: "the request is malformed", 401: "no valid credential", 403: "not allowed", 404: "there is no such thing",
    408: "nothing came from the client for too long", 409: "it does not fit what is there",
    410: "the history does not reach back that far", 411: "the length of the body is not said",
    412: "a precondition does not hold", 413: "too large",
    416: "the range is not in the file", 423: "somebody has locked it", 429: "too many attempts; see Retry-After",
    431: "the headers are too large", 501: "not supported", 503: "not now; see Retry-After", 507: "no room"}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
_ABOUT = """A masterless, replicated file store; every node answers every request.

`{path}` stands for the rest of the address, slashes and all: write them as they are. HEAD goes wherever GET does. A PUT
of a file keeps its Content-Type and headers `Fluffy-Meta-NAME`. Errors have one shape and a stable code; a refusal
says what helps under `retry`. docs/API.md tells the rest."""


def openapi_document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document, as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fluffy native API", "version": version, "description": _ABOUT,
                 "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "the node that was asked for this document"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
            "responses": {_refusal_name(status): _refusal(status) for status in _WORDS},
            "headers": {
                "Fluffy-Seq": {"description": "Log position that the answer has seen.", "schema": {"type": "string"}},
                "Fluffy-Request-Id": {"description": "The id of this request, for logs and repetitions.",
                                      "schema": {"type": "string"}},
                "Fluffy-Stale": {"description": "true: answered without a majority; Age says how old.",
                                 "schema": {"type": "string"}}}},
        "security": [{"token": []}]}


def refusals_of(route: Route) -> tuple[int, ...]:
    """The statuses of all failures that a route can answer."""
    found = {*ALWAYS, *route.refuses}
    if route.act is not None:
        found.update(ASKED)
    if "{" in route.pattern or route.query or route.sent is not None:
        found.add(404)  # what the address, a parameter or a field names is not there
    if route.body == "bytes":
        found.add(411)
    if "{path}" in route.pattern:
        found.add(409)  # a folder where a file should be, or the other way round
    if route.method != "GET" and route.act is not None:
        found.update(CHANGED)
        found.update(WRITTEN if route.act in (Act.WRITE, Act.READ) else (404, 412))
    return tuple(sorted(found))


def _operation(route: Route) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                  for name in _path_names(route.pattern)]
    parameters += [_parameter(parameter, "query") for parameter in route.query]
    parameters += [_parameter(parameter, "header") for parameter in (*route.headers, *_headers_of(route))]
    operation: dict[str, Any] = {
        "summary": route.doc, "operationId": _operation_id(route), "tags": [_tag(route)], "parameters": parameters,
        "responses": {str(status): _success(route, status) for status in sorted({route.success, *route.also})}}
    for status in refusals_of(route):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{_refusal_name(status)}"}
    if route.body == "bytes":
        operation["requestBody"] = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    elif route.sent is not None:
        operation["requestBody"] = {"required": bool(route.sent.get("required")),
                                    "content": {"application/json": {"schema": route.sent}}}
    if route.act is None:
        operation["security"] = []
    return operation


def _success(route: Route, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": {304: "as the asker has it", 206: "a part"}.get(status, "done"),
        "headers": {name: {"$ref": f"#/components/headers/{name}"}
                    for name in ("Fluffy-Seq", "Fluffy-Request-Id", "Fluffy-Stale")}}
    if status in (204, 304):
        return answer
    if route.gives:
        # A stream of events is no one value that a schema could be about.
        answer["content"] = {route.gives: {} if route.gives == "text/event-stream" else {"schema": {"type": "string"}}}
    elif route.answer is not None:
        answer["content"] = {"application/json": {"schema": route.answer}}
    return answer


def _refusal(status: int) -> dict[str, Any]:
    codes = sorted({cls.code() for cls in ERRORS_BY_CODE.values() if cls.http_status == status})
    answer: dict[str, Any] = {
        "description": f"{_WORDS[status]}: {', '.join(codes)}",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return answer | {"headers": _RETRY_AFTER} if status in (429, 503) else answer


def _refusal_name(status: int) -> str:
    return f"Refused{status}"


def _headers_of(route: Route) -> tuple[Parameter, ...]:
    """Those that every route of its kind heeds."""
    if route.is_read:
        return (Parameter("Fluffy-Consistency", "text", "strong or local"),
                Parameter("Fluffy-Min-Seq", "number", "wait until this peer has seen this log position"))
    if route.method != "GET":
        return (Parameter("Fluffy-Request-Id", "text", "repeat a request with the same id and it happens once"),)
    return ()


def _path_names(pattern: str) -> list[str]:
    return [segment[1:-1] for segment in pattern.split("/") if segment.startswith("{")]


def _operation_id(route: Route) -> str:
    words = [segment.strip("{}").replace(".", "_") for segment in route.pattern.split("/") if segment]
    return "_".join([route.method.lower(), *words]) or route.method.lower()


def _tag(route: Route) -> str:
    """The part of the API that it belongs to: the word after /v1."""
    words = [word for word in route.pattern.split("/") if word and word != "v1"]
    return words[0] if words else "dashboard"


def _parameter(parameter: Parameter, place: str) -> dict[str, Any]:
    schema = _SCHEMA_OF.get(parameter.kind, {"type": "integer", "minimum": parameter.least})
    return {"name": parameter.name, "in": place, "required": False, "description": parameter.doc, "schema": schema}
