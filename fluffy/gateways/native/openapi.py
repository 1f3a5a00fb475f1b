"""The API's description (OpenAPI 3.1), made from the table of routes: what is not in the table is not in the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluffy.gateways.native.table import Parameter, Route

_SCHEMA_OF = {"text": {"type": "string"}, "number": {"type": "integer", "minimum": 0},
              "flag": {"type": "string", "enum": ["", "0", "1"]}}
_ERROR = {
    "type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "message", "request_id", "retry"], "properties": {
            "code": {"type": "string"}, "message": {"type": "string"}, "request_id": {"type": "string"},
            "retry": {"type": "string", "enum": ["never", "later", "same-id", "other-replica"]}}}}}


def openapi_document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document, as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fluffy native API", "version": version,
                 "description": "A masterless, replicated file store. Errors have one shape; see components."},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
            "headers": {
                "Fluffy-Seq": {"description": "Log position that the answer has seen.", "schema": {"type": "integer"}},
                "Fluffy-Stale": {"description": "true: answered without a majority; Age says how old.",
                                 "schema": {"type": "string"}}}},
        "security": [{"token": []}]}


def _operation(route: Route) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                  for name in _path_names(route.pattern)]
    parameters += [_query_parameter(parameter) for parameter in route.query]
    if route.is_read:
        parameters += [_header("Fluffy-Consistency", "strong or local"),
                       _header("Fluffy-Min-Seq", "wait until this peer has seen this log position")]
    elif route.method != "GET":
        parameters.append(_header("Fluffy-Request-Id", "repeat a request with the same id and it happens once"))
    operation: dict[str, Any] = {
        "summary": route.doc, "operationId": _operation_id(route), "parameters": parameters,
        "responses": {str(route.success): {"description": "done"}, "default": {
            "description": "refused or failed",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}}}
    if route.answer is not None:
        operation["responses"][str(route.success)]["content"] = {"application/json": {"schema": route.answer}}
    if route.body == "bytes":
        operation["requestBody"] = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    elif route.body == "json":
        operation["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}}
    if route.act is None:
        operation["security"] = []
    if not route.is_built:
        operation["responses"] = {"501": {"description": "not built in this version"}}
    return operation


def _path_names(pattern: str) -> list[str]:
    return [segment[1:-1] for segment in pattern.split("/") if segment.startswith("{")]


def _operation_id(route: Route) -> str:
    words = [segment.strip("{}").replace(".", "_") for segment in route.pattern.split("/") if segment]
    return "_".join([route.method.lower(), *words]) or route.method.lower()


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.name, "in": "query", "required": False, "description": parameter.doc,
            "schema": _SCHEMA_OF[parameter.kind]}


def _header(name: str, doc: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": doc, "schema": {"type": "string"}}
