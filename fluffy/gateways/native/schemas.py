"""The vocabulary in which requests and answers are described: JSON Schemas (2020-12) for the API's description.

Answers may grow: a field that is not described is no error for a client. Bodies of requests may not: an unknown field
is refused, so `body` closes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

NUMBER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
FLAG: Schema = {"type": "boolean"}
SECONDS: Schema = {"type": "number", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECT: Schema = {"type": "object"}


def thing(**fields: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def with_optional(base: Schema, **fields: Schema) -> Schema:
    """The same object, that may have these too."""
    return {**base, "properties": {**base["properties"], **fields}}


def with_more(base: Schema, **fields: Schema) -> Schema:
    """The same object, that has these too."""
    return {**base, "properties": {**base["properties"], **fields}, "required": [*base["required"], *fields]}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def either(*schemas: Schema) -> Schema:
    """One of several forms."""
    return {"anyOf": list(schemas)}


def body(needs: Mapping[str, Schema] | None = None, **may: Schema) -> Schema:
    """The JSON object that a request brings: `needs` must be there, the others may; nothing else."""
    needs = needs or {}
    return {"type": "object", "properties": {**needs, **may}, "required": list(needs), "additionalProperties": False}
