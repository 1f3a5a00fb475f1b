"""Whether an answer is as the API's description says: its status, its media type, and every field of its JSON.

Stricter than for clients, to whom answers may grow: here a field that is not described is a fault of the description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from fluffy.base.errors import FluffyError
from fluffy.gateways.native.exchange import split_target
from fluffy.gateways.native.openapi import openapi_document
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Table

TABLE = Table(ROUTES)


@cache
def document() -> dict[str, Any]:
    """As clients get it: through JSON."""
    found: dict[str, Any] = json.loads(json.dumps(openapi_document(ROUTES, "test")))
    return found


def faults(method: str, target: str, status: int, content_type: str, body: bytes) -> list[str]:
    """What the description does not say of this answer; nothing about addresses that it does not know."""
    try:
        route = TABLE.match(method, split_target(target)[0]).route
    except FluffyError:
        return []
    where = f"{route.method} {route.pattern}: {status}"
    said = document()["paths"][route.pattern][route.method.lower()]["responses"].get(str(status))
    if said is None:
        return [f"{where} is not described"]
    content = _resolved(said).get("content", {})
    if not content or not body:
        return [] if not body else [f"{where} has a body"]
    media = content_type.partition(";")[0]
    if media not in content and "*/*" not in content:
        return [] if media == "text/event-stream" else [f"{where} is {media}, not {', '.join(content)}"]
    if media != "application/json" or media not in content:
        return []
    return [f"{where}: {error.json_path}: {error.message[:300]}"
            for error in _validator(route.pattern, route.method.lower(), str(status)).iter_errors(json.loads(body))]


def _resolved(said: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in said:
        found: Mapping[str, Any] = document()["components"]["responses"][said["$ref"].rpartition("/")[2]]
        return found
    return said


@cache
def _validator(pattern: str, method: str, status: str) -> Draft202012Validator:
    said = _resolved(document()["paths"][pattern][method]["responses"][status])
    schema = said["content"]["application/json"]["schema"]
    if "$ref" in schema:  # an error, whose facts are its own
        return Draft202012Validator(document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return Draft202012Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    """The same, with objects that have no more than the described fields."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    return {**closed, "additionalProperties": False} if "properties" in schema and (
        "additionalProperties" not in schema) else closed
