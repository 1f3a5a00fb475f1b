"""The dashboard: its files, sessions of browsers and what other pages cannot do with them, the live stream."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fluffy.core.health.checks_nodes import FREE_CRITICAL_PERCENT
from fluffy.core.metadata.commands_people import ChangeUser
from fluffy.gateways.dashboard import assets
from fluffy.gateways.native import live
from fluffy.gateways.native.cookies import cluster_cookie
from fluffy.gateways.native.limits import Slots
from fluffy.services.refusals import RefusalReporter
from tests.support.asking import Asker, Told, admin_of, stranger_of, user_of
from tests.support.local_log import ADMIN_TOKEN, header
from tests.support.native_door import Door, running_door

FORBIDDEN = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", ".srcdoc",
             "setAttribute(\"style\"", "DOMParser", "createContextualFragment")


def ours() -> dict[str, str]:
    return {name: data.decode() for name, data in assets.assets().items() if name.endswith((".js", ".html"))}


async def logged_in(door: Door, **who: str) -> tuple[Told, str, str]:
    """The answer, the cookie as a browser sends it, the CSRF token."""
    told = await stranger_of(door).ask("POST", "/v1/session", who or {"token": ADMIN_TOKEN})
    assert told.status == 201, told.body
    return told, told.headers["set-cookie"].partition(";")[0], told.value["csrf"]


# The files

async def test_the_page_names_files_that_are_there_and_nothing_is_inline(door: Door) -> None:
    told = await stranger_of(door).ask("GET", "/")
    page = told.body.decode()
    assert told.status == 200 and told.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/[^"]*)"', page)
    assert len(named) >= 5 and "{" not in page and "<title>Fluffy</title>" in page
    for target in named:
        file = await stranger_of(door).ask("GET", target)
        assert file.status == 200 and file.headers["cache-control"].endswith("immutable"), target
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.headers["content-type"] == assets.TYPES[target.rpartition(".")[2]]
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page)


async def test_browsers_are_told_to_run_nothing_else(door: Door) -> None:
    for target in ("/", f"/dashboard/{assets.version()}/app.js"):
        headers = (await stranger_of(door).ask("GET", target)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
        assert "frame-ancestors 'none'" in policy and headers["x-frame-options"] == "DENY"
        assert "trusted-types 'none'" in policy and headers["referrer-policy"] == "no-referrer"


async def test_a_file_is_not_sent_again(door: Door) -> None:
    stranger = stranger_of(door)
    for target in ("/", f"/dashboard/{assets.version()}/dom.js"):
        first = await stranger.ask("GET", target)
        again = await stranger.ask("GET", target, If_None_Match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert (await stranger.ask("GET", target, If_None_Match='"other"')).body == first.body


async def test_while_nodes_are_upgraded_another_version_s_page_still_gets_files(door: Door) -> None:
    told = await stranger_of(door).ask("GET", "/dashboard/0123456789abcdef/app.js")
    assert told.status == 200 and told.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["none.js", "page.html", "..%5cassets.py", "assets.py"])
async def test_nothing_else_is_a_file_of_the_dashboard(door: Door, name: str) -> None:
    assert (await stranger_of(door).ask("GET", f"/dashboard/{assets.version()}/{name}")).status in (400, 404)


def test_every_module_imports_what_is_there_and_only_from_beside_it() -> None:
    imported: set[str] = set()
    for name, text in ours().items():
        for target in re.findall(r'(?:from|import)\s*\(?\s*"([^"]+)"', text):
            assert target.startswith("./") and target[2:] in assets.assets(), f"{name} imports {target}"
            imported.add(target[2:])
    for name, text in ours().items():
        for wanted, names in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', text):
            for one in wanted.split(","):
                if one.strip():
                    word = one.strip().partition(" as ")[0]
                    pattern = rf"export (?:async )?(?:function|const|class|let) {re.escape(word)}\b"
                    assert re.search(pattern, ours()[names]), f"{name} imports {word} from {names}"


def test_names_can_never_be_markup() -> None:
    for name, text in ours().items():
        assert [word for word in FORBIDDEN if word in text] == [], name


def test_a_disk_is_full_when_the_doctor_says_so() -> None:
    assert f"FREE_CRITICAL_PERCENT = {FREE_CRITICAL_PERCENT};" in ours()["health.js"]


def test_what_is_not_ours_comes_with_its_licence() -> None:
    assert b"Bootstrap" in assets.assets()["bootstrap.min.css"][:200]
    assert b"MIT License" in assets.assets()["bootstrap.LICENSE.txt"]
    assert b"@import" not in assets.assets()["bootstrap.min.css"]


# Sessions

async def test_a_session_is_a_token_of_its_own_in_a_careful_cookie(door: Door) -> None:
    told, cookie, csrf = await logged_in(door)
    attributes = told.headers["set-cookie"].split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes) and "no-store" in told.headers["cache-control"]
    assert ADMIN_TOKEN not in cookie and cookie.partition("=")[2] not in told.body.decode()
    session = await stranger_of(door).must("GET", "/v1/session", Cookie=cookie)
    assert (session["user"], session["role"], session["csrf"]) == ("admin", "admin", csrf)
    assert (await stranger_of(door).must("GET", "/v1/whoami", Cookie=f"a=b; {cookie}; c=d"))["user"] == "admin"


async def test_a_password_opens_a_session_and_a_wrong_one_does_not(door: Door) -> None:
    await admin_of(door).must("POST", "/v1/admin/users", {"name": "bob", "password": "a good password"})
    told, cookie, _ = await logged_in(door, user="bob", password="a good password")
    assert told.value["role"] == "user"
    for body in ({"user": "bob", "password": "wrong"}, {"token": "wrong"}):
        refused = await stranger_of(door).ask("POST", "/v1/session", body)
        assert (refused.status, refused.code) == (401, "Unauthenticated") and "set-cookie" not in refused.headers
    assert (await stranger_of(door).ask("GET", "/v1/dirs/bob", Cookie=cookie)).status == 200
    assert (await stranger_of(door).ask("GET", "/v1/admin/users", Cookie=cookie)).status == 403


async def test_opening_the_page_is_no_refusal_for_the_audit_log(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(RefusalReporter, "note", lambda self, **facts: noted.append(facts["act"]))
    nonsense = f"{door.desk.session_cookie()}=nonsense"
    for cookie in ("", nonsense):
        assert await stranger_of(door).must("GET", "/v1/session", Cookie=cookie) == {"user": None}
    assert noted == []
    assert (await stranger_of(door).ask("GET", "/v1/status", Cookie=nonsense)).status == 401
    assert noted == ["authenticate"]


async def test_two_clusters_at_one_host_name_leave_each_other_s_sessions_alone(door: Door, tmp_path: Path) -> None:
    """Cookies know no ports: the browser sends both clusters' to both."""
    browser = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with running_door(tmp_path / "other", name="other") as other, browser:
        for one in (door, other):
            async with browser.post(f"{one.url}/v1/session", json={"token": ADMIN_TOKEN}) as told:
                assert told.status == 201
        csrf = {}
        for one, cluster in ((door, "test"), (other, "other")):
            async with browser.get(f"{one.url}/v1/session") as told:
                session = await told.json()
            assert (session["user"], session["cluster"]) == ("admin", cluster)
            csrf[cluster] = session["csrf"]
        assert csrf["test"] != csrf["other"]
        async with browser.delete(f"{other.url}/v1/session", headers={"Fluffy-Csrf": csrf["test"]}) as told:
            assert told.status == 403, "nor does the page of one change anything in the other"
        async with browser.delete(f"{door.url}/v1/session", headers={"Fluffy-Csrf": csrf["test"]}) as told:
            assert told.status == 200
        async with browser.get(f"{other.url}/v1/status") as told:
            assert told.status == 200
        async with browser.get(f"{door.url}/v1/status") as told:
            assert told.status == 401


async def test_all_nodes_of_a_cluster_take_its_sessions(door: Door) -> None:
    _, cookie, _ = await logged_in(door)
    assert cookie.partition("=")[0] == cluster_cookie(door.cluster.genesis.cluster_uuid)


async def test_logging_out_ends_the_session_and_nothing_else(door: Door) -> None:
    _, cookie, csrf = await logged_in(door)
    _, other, _ = await logged_in(door)
    gone = await stranger_of(door).ask("DELETE", "/v1/session", Cookie=cookie, Fluffy_Csrf=csrf)
    assert gone.status == 200 and "Max-Age=0" in gone.headers["set-cookie"]
    assert (await stranger_of(door).ask("GET", "/v1/status", Cookie=cookie)).status == 401
    assert (await stranger_of(door).ask("GET", "/v1/status", Cookie=other)).status == 200
    assert (await admin_of(door).ask("GET", "/v1/status")).status == 200


@pytest.mark.parametrize("csrf", ["", "0" * 32, "ü"])
async def test_a_change_by_cookie_takes_the_csrf_token(door: Door, csrf: str) -> None:
    _, cookie, right = await logged_in(door)
    stranger = stranger_of(door)
    for method, target in (("PUT", "/v1/files/admin/f"), ("DELETE", "/v1/files/admin/f"), ("POST", "/v1/tokens"),
                           ("POST", "/v1/admin/checkpoint"), ("DELETE", "/v1/session")):
        refused = await stranger.ask(method, target, b"", Cookie=cookie, Fluffy_Csrf=csrf)
        assert (refused.status, refused.code) == (403, "AccessDenied"), (method, target)
    assert door.files() == 0
    assert (await stranger.ask("PUT", "/v1/files/admin/f", b"x", Cookie=cookie, Fluffy_Csrf=right)).status == 201
    assert (await admin_of(door).ask("PUT", "/v1/files/admin/g", b"x", Cookie=cookie)).status == 201, "by token"


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
    {"Origin": "null"}, {"Sec-Fetch-Dest": "script", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Dest": "serviceworker"}], ids=str)
async def test_other_pages_and_scripts_cannot_use_the_cookie(door: Door, headers: dict[str, str]) -> None:
    _, cookie, csrf = await logged_in(door)
    await admin_of(door).must("PUT", "/v1/files/admin/f.js", b"alert(1)")
    sent = {name.replace("-", "_"): value for name, value in headers.items()}
    for method, target in (("GET", "/v1/files/admin/f.js"), ("PUT", "/v1/files/admin/f")):
        refused = await stranger_of(door).ask(method, target, Cookie=cookie, Fluffy_Csrf=csrf, **sent)
        assert (refused.status, refused.code) == (403, "AccessDenied")
    if "Sec-Fetch-Dest" not in headers:
        refused = await stranger_of(door).ask("POST", "/v1/session", {"token": ADMIN_TOKEN}, **sent)
        assert refused.status == 403, "nor log somebody in"


async def test_our_own_page_can(door: Door) -> None:
    _, cookie, csrf = await logged_in(door)
    told = await stranger_of(door).ask(
        "PUT", "/v1/files/admin/f", b"x", Cookie=cookie, Fluffy_Csrf=csrf, Sec_Fetch_Site="same-origin",
        Sec_Fetch_Dest="empty", Origin=door.url)
    assert told.status == 201
    shown = await stranger_of(door).ask("GET", "/v1/files/admin/f", Cookie=cookie, Sec_Fetch_Dest="image",
                                        Sec_Fetch_Site="same-origin")
    assert shown.body == b"x" and shown.headers["content-security-policy"] == "sandbox"


async def test_a_disabled_user_s_session_is_over(door: Door) -> None:
    user_of(door, "bob")
    _, cookie, _ = await logged_in(door, token="bob")
    door.cluster.log.apply(ChangeUser(header(), "bob", disabled=True))
    assert (await stranger_of(door).ask("GET", "/v1/status", Cookie=cookie)).status == 401


# The live stream

async def events_of(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, dict[str, Any]]]:
    """So many events; less when the stream ends."""
    events, kind = [], ""
    async with asyncio.timeout(10):
        while len(events) < count and (line := (await answer.content.readline()).decode().rstrip("\n")) is not None:
            if answer.content.at_eof() and not line:
                break
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                events.append((kind, json.loads(value)))
    return events


async def test_the_stream_says_what_the_addresses_would_answer(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.02)
    _, cookie, _ = await logged_in(door)
    async with aiohttp.ClientSession(headers={"Cookie": cookie}) as client, client.get(f"{door.url}/v1/live") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = dict(await events_of(answer, 3))
        assert set(events) == {"status", "jobs", "nodes"}
        assert events["status"]["cluster"]["name"] == "test" and events["status"]["user"]["name"] == "admin"
        assert set(events["jobs"]) >= {"repair", "queues", "jobs"}
        told = events["nodes"]["nodes"][0]["told"]
        assert told["total_bytes"] > told["free_bytes"] > 0
        await admin_of(door).must("PUT", "/v1/files/admin/f", b"x")
        (name, status), = await events_of(answer, 1)
        assert name == "status" and status["usage"]["files"] == 1, "what is new is told, and nothing else"


async def test_the_stream_ends_with_the_session(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.02)
    _, cookie, csrf = await logged_in(door)
    async with aiohttp.ClientSession(headers={"Cookie": cookie}) as client, client.get(f"{door.url}/v1/live") as answer:
        await events_of(answer, 3)
        assert (await stranger_of(door).ask("DELETE", "/v1/session", Cookie=cookie, Fluffy_Csrf=csrf)).status == 200
        name, last = (await events_of(answer, 100))[-1]
        assert name == "error" and last["error"]["code"] == "Unauthenticated"
    for _ in range(500):
        if not door.desk.watching.taken:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("its place is kept")


async def test_only_so_many_may_watch(door: Door) -> None:
    door.desk.watching = Slots(1, "open dashboards")
    async with door.client.get(f"{door.url}/v1/live") as first:
        assert first.status == 200
        assert (await admin_of(door).ask("GET", "/v1/live")).code == "Overloaded"


async def test_a_node_that_does_not_answer_tells_nothing(door: Door) -> None:
    admin: Asker = admin_of(door)
    nodes = {node["name"]: node for node in (await admin.must("GET", "/v1/nodes?ask=1"))["nodes"]}
    assert nodes["one"]["told"]["load"] is None, "an older node does not tell its load"
    door.nodes.facts = {no: {"load_permille": 1500, "users_sent_bytes": 7} for no in (1, 2, 3)}  # type: ignore[dict-item]
    told = {node["name"]: node["told"] for node in (await admin.must("GET", "/v1/nodes?ask=1"))["nodes"]}
    assert told["one"]["load"] == 1.5 and told["one"]["sent_bytes"] == 7
    assert "told" not in (await admin.must("GET", "/v1/nodes"))["nodes"][0]
