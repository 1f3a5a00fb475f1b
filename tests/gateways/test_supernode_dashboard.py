"""The supernode's dashboard: its page, and sessions that are a cluster's token in a careful cookie."""

from __future__ import annotations

import json

from fluffy.gateways.dashboard import assets
from tests.gateways.test_supernode_door import door as door  # the same clusters
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import SupernodeDoor


async def logged_in(door: SupernodeDoor) -> tuple[str, str]:
    told = await door.ask("POST", "/v1/session", None, json.dumps({"token": ADMIN_TOKEN}).encode())
    assert told.status == 201, told.body
    cookie, *attributes = told.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
    return cookie, told.value["csrf"]


async def test_the_page_is_there_and_careful(door: SupernodeDoor) -> None:
    told = await door.ask("GET", "/")
    assert told.status == 200 and b"/supernode.js" in told.body and b"<title>Fluffy supernode</title>" in told.body
    assert told.headers["content-security-policy"] == assets.POLICY
    assert (await door.ask("GET", f"/dashboard/{assets.version()}/supernode.js")).status == 200


async def test_a_cookie_opens_what_its_token_opens(door: SupernodeDoor) -> None:
    cookie, _ = await logged_in(door)
    clusters = await door.must("GET", "/v1/clusters", sent={"Cookie": cookie})
    assert {one["name"] for one in clusters["clusters"]} == set(door.clusters)
    assert (await door.must("GET", "/v1/session", sent={"Cookie": cookie}))["user"] == "admin"
    assert await door.must("GET", "/v1/session") == {"user": None}
    wrong = await door.ask("POST", "/v1/session", None, b'{"token": "nonsense"}')
    assert wrong.status == 401 and "set-cookie" not in wrong.headers


async def test_a_supernode_at_another_port_has_a_cookie_of_its_own(door: SupernodeDoor) -> None:
    cookie, _ = await logged_in(door)
    name, _, token = cookie.partition("=")
    assert name == f"fluffy_supernode_{door.url.rpartition(':')[2]}"
    both = {"Cookie": f"fluffy_supernode_1={token}x; {cookie}"}
    assert (await door.must("GET", "/v1/session", sent=both))["user"] == "admin"
    assert await door.must("GET", "/v1/session", sent={"Cookie": f"fluffy_supernode_1={token}"}) == {"user": None}


async def test_changes_take_the_csrf_token_and_no_other_page_may_ask(door: SupernodeDoor) -> None:
    cookie, csrf = await logged_in(door)
    sent = {"Cookie": cookie}
    target = f"/v1/files/{min(door.clusters)}/admin/by-cookie?proxy=1"
    assert (await door.ask("PUT", target, None, b"x", sent=sent)).status == 403
    for more in ({"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Dest": "script"}):
        assert (await door.ask("GET", "/v1/clusters", sent={**sent, **more})).status == 403
    assert (await door.ask("PUT", target, None, b"x", sent={**sent, "Fluffy-Csrf": csrf})).status in (200, 201)
    assert (await door.ask("DELETE", "/v1/session", sent={**sent, "Fluffy-Csrf": csrf})).status == 200
