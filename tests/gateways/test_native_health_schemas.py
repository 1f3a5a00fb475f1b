"""The API's description of the answers about health is true: real answers have exactly what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fluffy.core.metadata.commands import FEATURE_LEVEL, SetFeatureLevel
from fluffy.gateways.native import schemas_health
from fluffy.gateways.native.openapi import openapi_document
from fluffy.gateways.native.routes import ROUTES
from tests.support.asking import admin_of
from tests.support.jobs import assign_job
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, Door

TYPES = {"integer": int, "string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}


def problems(value: Any, schema: Mapping[str, Any], at: str = "answer") -> Iterator[str]:
    """What does not fit; keys that the schema does not know do not fit either."""
    if "anyOf" in schema:
        found = [list(problems(value, each, at)) for each in schema["anyOf"]]
        yield from [] if [] in found else found[0]
        return
    if type(value) is not TYPES[schema["type"]]:
        yield f"{at} is {value!r}, not {schema['type']}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}"
    elif schema["type"] == "array":
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], f"{at}[{number}]")
    elif schema["type"] == "object" and "properties" in schema:
        yield from [f"{at} lacks {key}" for key in schema["required"] if key not in value]
        for key, item in value.items():
            if key in schema["properties"]:
                yield from problems(item, schema["properties"][key], f"{at}.{key}")
            elif key != "at_least":
                yield f"{at}.{key} is not described"


@pytest.fixture(autouse=True)
async def world(door: Door) -> int:
    door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))
    await door.put("admin/f", b"a" * CHUNK_SIZE + b"b")
    return assign_job(door, "admin/f", 3)


@pytest.mark.parametrize(("target", "schema"), [
    ("/v1/doctor", schemas_health.DOCTOR), ("/v1/doctor?stop=two", schemas_health.DOCTOR),
    ("/v1/explain/admin/f", schemas_health.EXPLANATION), ("/v1/jobs", schemas_health.JOBS),
    ("/v1/jobs/{job}", schemas_health.JOB)])
async def test_answers_are_as_described(door: Door, world: int, target: str, schema: Mapping[str, Any]) -> None:
    await admin_of(door).must("POST", "/v1/admin/scrub?node=two")
    answer = await admin_of(door).must("GET", target.replace("{job}", str(world)))
    assert list(problems(answer, schema)) == []


async def test_a_wrong_answer_would_be_seen(door: Door) -> None:
    answer = await admin_of(door).must("GET", "/v1/doctor")
    assert list(problems({**answer, "healthy": 1, "more": 2}, schemas_health.DOCTOR)) == [
        "answer.healthy is 1, not boolean", "answer.more is not described"]


def test_the_description_has_them() -> None:
    paths = openapi_document(ROUTES, "1")["paths"]
    said = paths["/v1/doctor"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "findings" in said["properties"]
