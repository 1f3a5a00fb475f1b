"""What holds for every route: made from the one table, so that a new row is tested by being there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluffy.base.ids import UserNo
from fluffy.core.metadata.model import User
from fluffy.gateways.native.openapi import openapi_document
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Route, Table
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import Door
from tests.support.raw_http import RawAnswer, RawClient, head_of

# Health, and how somebody becomes known; the dashboard's own files hold nothing of the cluster.
OPEN = {"GET /healthz", "GET /readyz", "POST /v1/login", "GET /", "GET /dashboard/{version}/{name}", "POST /v1/session",
        "GET /v1/session"}
CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "API.md"


def example(route: Route) -> str:
    return re.sub(r"\{\w+\}", "x", route.pattern)


async def ask(door: Door, method: str, target: str, token: str | None, **headers: str) -> RawAnswer:
    async with await RawClient.connect(door.host, door.port) as client:
        await client.send(head_of(method, target, token, **headers))
        return await client.answer(has_body=method != "HEAD")


@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_nothing_but_health_checks_answers_without_a_credential(door: Door, token: str | None) -> None:
    open_routes = []
    for route in ROUTES:
        answer = await ask(door, route.method, example(route), token)
        if f"{route.method} {route.pattern}" in OPEN:
            assert answer.status in (200, 400, 404), f"{route.method} {route.pattern}"
            open_routes.append(f"{route.method} {route.pattern}")
        else:
            assert answer.status == 401, f"{route.method} {route.pattern}"
            assert answer.error["code"] == "Unauthenticated" and "www-authenticate" in answer.headers
    assert set(open_routes) == OPEN


async def test_strangers_cannot_make_the_cluster_work(door: Door) -> None:
    before = door.desk.gate.barriers
    for _ in range(50):
        assert (await ask(door, "GET", "/v1/files/admin/f", "nonsense")).status == 401
    assert door.desk.gate.barriers - before <= 5


@pytest.mark.parametrize("target", ["/dashboard", "/nothing", "/v1/files/admin/../x", "/v1/files/%zz", "*", "/v1"])
async def test_a_stranger_does_not_learn_which_addresses_exist(door: Door, target: str) -> None:
    assert (await ask(door, "GET", target, None)).status == 401


async def test_every_route_of_the_contract_answers(door: Door) -> None:
    for route in ROUTES:
        answer = await ask(door, route.method, example(route), ADMIN_TOKEN, Content_Length="0")
        assert answer.status != 404 or answer.error["code"] != "NotFound", f"{route.method} {route.pattern}"
        assert answer.status != 500
        assert "fluffy-seq" in answer.headers


async def test_every_failure_names_its_request(door: Door) -> None:
    answer = await ask(door, "GET", "/v1/files/admin/none", ADMIN_TOKEN, Fluffy_Request_Id="mine-1")
    assert answer.error["request_id"] == "mine-1" == answer.headers["fluffy-request-id"]
    answer = await ask(door, "GET", "/v1/files/admin/none", ADMIN_TOKEN)
    assert len(answer.error["request_id"]) == 16


def test_no_two_rows_say_the_same_and_each_is_found() -> None:
    table = Table(ROUTES)
    for route in ROUTES:
        assert table.match(route.method, example(route)).route is route
    assert len({(route.method, route.pattern) for route in ROUTES}) == len(ROUTES)


def test_a_tail_takes_slashes_and_a_name_takes_none() -> None:
    table = Table(ROUTES)
    assert table.match("GET", "/v1/files/a/b%20c/d").params == {"path": "a/b c/d"}
    assert table.match("POST", "/v1/admin/nodes/n%20o/drain").params == {"name": "n o"}
    assert table.match("HEAD", "/v1/files/a/b").route.method == "GET"


def test_the_description_has_every_route_and_nothing_else() -> None:
    document = openapi_document(ROUTES, "1")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.pattern) for route in ROUTES}
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    for route in ROUTES:
        operation = document["paths"][route.pattern][route.method.lower()]
        assert operation["summary"] == route.doc
        assert {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"} == set(
            route.query_names)
        assert (operation.get("security") == []) is (route.act is None)


def test_the_contract_in_the_docs_names_every_built_route() -> None:
    text = CONTRACT.read_text()
    missing = [route.pattern for route in ROUTES if route.pattern.removesuffix("/{path}") not in text]
    assert not missing


async def test_an_operator_s_route_is_closed_to_others(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.desk.tokens, "user_of", lambda token_hash, seq: User(UserNo(9), "bob", "user"))
    answer = await ask(door, "POST", "/v1/admin/checkpoint", "bobs")
    assert (answer.status, answer.error["code"]) == (403, "AccessDenied")
    for method, target in (("GET", "/v1/dirs/admin"), ("GET", "/v1/files/admin/f"), ("PUT", "/v1/files/admin/f"),
                           ("DELETE", "/v1/files/admin/f"), ("GET", "/v1/info/admin/f"), ("PUT", "/v1/dirs/admin/d"),
                           ("DELETE", "/v1/dirs/admin"), ("GET", "/v1/files?owner=admin")):
        answer = await ask(door, method, target, "bobs", Content_Length="0")
        assert (answer.status, answer.error["code"]) == (403, "AccessDenied"), (method, target)
    assert (await ask(door, "GET", "/v1/status", "bobs")).status == 200
