"""The API's description is valid, whole, and the one that every answer of these tests is held against.

That real answers are as described is looked at by `tests/support/asking.py`, for every request of these rooms' tests;
`make schemathesis` tries what nobody thought of.
"""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from fluffy.gateways.native.openapi import openapi_document, refusals_of
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Route
from tests.support.asking import admin_of
from tests.support.described import document, faults
from tests.support.native_door import Door


def test_the_description_is_valid_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(document()).iter_errors()) == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_every_route_says_what_it_takes_and_gives(route: Route) -> None:
    """If this fails for a new route: give its row `answer` or `gives`, and `sent` for a JSON body (table.py)."""
    assert (route.answer is None) is (bool(route.gives) or route.success == 204)
    assert (route.sent is not None) is (route.body == "json")


def test_every_operation_has_its_parameters_statuses_and_errors() -> None:
    for route in ROUTES:
        operation = document()["paths"][route.pattern][route.method.lower()]
        names = [parameter["name"] for parameter in operation["parameters"]]
        assert len(set(names)) == len(names)
        assert {*route.query_names, *(header.name for header in route.headers)} <= set(names)
        successes = {str(status) for status in (route.success, *route.also)}
        assert set(operation["responses"]) == successes | {str(status) for status in refusals_of(route)}
        assert ("requestBody" in operation) is (route.body != "none")


async def test_a_node_serves_it(door: Door) -> None:
    served = await admin_of(door).must("GET", "/v1/openapi.json")
    assert served["paths"] == json.loads(json.dumps(openapi_document(ROUTES, "any")["paths"]))


@pytest.mark.parametrize(("status", "body", "fault"), [
    (200, {"status": "alive", "node": 1}, "GET /healthz: 200: $.node: 1 is not of type 'string'"),
    (200, {"status": "alive"}, "GET /healthz: 200: $: 'node' is a required property"),
    (200, {"status": "alive", "node": "one", "more": 1}, "GET /healthz: 200: $: Additional properties are not allowed "
     "('more' was unexpected)"),
    (404, {}, "GET /healthz: 404 is not described"),
    (503, {"error": {"code": "NotReady"}}, "GET /healthz: 503: $.error: 'message' is a required property")])
def test_a_wrong_answer_would_be_seen(status: int, body: object, fault: str) -> None:
    assert fault in faults("GET", "/healthz", status, "application/json; charset=utf-8", json.dumps(body).encode())


def test_a_wrong_media_type_would_be_seen() -> None:
    found = faults("GET", "/healthz", 200, "text/html", b"<p>")
    assert found == ["GET /healthz: 200 is text/html, not application/json"]
