"""What strangers' programs send to a supernode: the right status each time, no bug, and the door stays open."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fluffy.gateways.supernode.routes import ROUTES
from fluffy.services.federation import follower as following
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import OPERATOR, SupernodeDoor, supernode_door

# (method, target, status). As somebody whom both clusters know.
TARGETS = [
    *(("GET", f"/v1/search?{query}", 400) for query in (
        "", "limit=10", "q=x&limit=0", "q=x&limit=-1", "q=x&limit=1.5", "q=x&limit=1e9", "q=x&limit=abc", "q=x&limit=",
        "q=x&limit=%C2%B2", "q=x&limit=9999999999999999999999", "q=x&after=1:5:x", "q=x&after=%00", "q=x&after=AAAA",
        "q=x&after=%F0%9F%93%84", "q=x&what=1", "q=x&q=y", "q=%FF", "q=%00", "q=%0A", "q=a/b", "q=%22open", "q=x%5C",
        "q=[a", "q=" + "a" * 257, "q=x&type=%0D%0A", "q=x&tag==v", "q=x&min_size=-1", "q=x&min_size=abc",
        "q=x&min_size=9&max_size=1", "q=x&min_size=1e400",
        "q=x&min_size=99999999999999999999999999999", "q=x&min_size=1YiB", "q=x&since=never", "q=x&since=2026-99-99",
        "q=x&since=99999999999999", "q=x&until=0001-01-01T00:00:00-23:59x", "q=x&fresh=maybe", "q=x&fresh=1&after=AAAA",
        "&".join(f"q{number}=x" for number in range(40)))),
    *(("GET", f"/v1/search?{query}", 200) for query in (
        "q=x&limit=1000000000", "q=x&after=", "q=x&min_size=9999999TiB", "q=x&max_size=99999999999TiB",
        "q=x&since=0001-01-01", "q=x&until=9999-12-31", "q=%F0%9F%93%84%F0%9F%93%84", "q=%25", "q=_", "q=%22%25_%22",
        "owner=%27;DROP", "tag=a%26b=c", "q=x&cluster=")),
    ("GET", "/v1/search?q=x&cluster=gamma", 404), ("GET", "/v1/search?q=x&cluster=alpha,%2E%2E", 404),
    *(("GET", f"/v1/catalog/{path}", status) for path, status in (
        ("gamma/", 404), ("alpha/none", 404), ("alpha//admin", 200), ("alpha/../beta", 400), ("alpha/%2E%2E/x", 400),
        ("alpha/a%2Fb", 400), ("alpha/%00", 400), ("alpha/%FF", 400), ("alpha/%ED%A0%80", 400), ("alpha/%zz", 400),
        ("alpha/" + "n" * 2_000, 400), ("alpha?limit=0", 400), ("alpha?limit=-1", 400), ("alpha?after=%FF", 400),
        ("alpha?limit=1000000000&after=%F0%9F%93%84", 200), ("alpha/admin?what", 400), ("", 404), ("%2E", 404))),
    *(("GET", f"/v1/files/{path}", status) for path, status in (
        ("alpha", 400), ("alpha/", 400), ("alpha/admin", 400), ("gamma/admin/x", 404), ("@best/admin/none", 404),
        ("@worst/admin/x", 404), ("alpha/admin/none?proxy=1", 404), ("alpha/admin/f?generation=abc", 400),
        ("alpha/admin/f?generation=-1&proxy=1", 400), ("alpha/admin/f?generation=99999999999999999999&proxy=1", 400),
        ("alpha/admin/f?generation=%27&proxy=1", 400), ("alpha/admin/f?generation=7&proxy=1", 404),
        ("alpha/admin/f?proxy=2", 400), ("alpha/admin/f?download=x", 400), ("alpha/admin/a%2Fb", 400),
        ("alpha/admin/" + "n" * 1_100, 400))),
    *(("PUT", f"/v1/files/{path}", status) for path, status in (
        ("alpha/admin/x?copies=0", 400), ("@best/admin/x?copies=-1", 400), ("@best/admin/x?copies=two", 400),
        ("alpha/admin/x?copies=2", 400), ("alpha/admin?proxy=1", 400), ("alpha/admin/%00?proxy=1", 400),
        ("gamma/admin/x?proxy=1", 404))),
    ("DELETE", "/v1/files/alpha/admin/none", 404), ("DELETE", "/v1/files/@best/admin/none", 404),
    ("DELETE", "/v1/files/alpha/admin/f?purge=perhaps", 400), ("DELETE", "/v1/federation/clusters/alpha", 403),
    ("GET", "/v1/federation/dead-letters?limit=0", 403), ("POST", "/v1/search?q=x", 405), ("BREW", "/v1/search", 400),
    ("GET", "/v1/nothing", 404), ("GET", "//", 404), ("GET", "/v1/../v1/search?q=x", 404)]
HEADERS = [
    ("Fluffy-Tokens: alpha", 400), ("Fluffy-Tokens: =x", 400), ("Fluffy-Tokens: alpha=\u00e9", 400),
    ("Fluffy-Tokens: alpha=" + "x" * 5_000, 400),
    ("Fluffy-Tokens: " + ",".join(f"a{number}=b" for number in range(70)), 400),
    ("Fluffy-Tokens: ,,,", 200), ("Fluffy-Tokens: gamma=x, gamma=y", 200), ("Fluffy-Request-Id: \u00e9", 200),
    ("Fluffy-Request-Id: " + "x" * 4_000, 200), ("Cookie: " + "c=d; " * 500, 200), ("X-Long: " + "y" * 70_000, 431),
    ("Range: bytes=-", 200), ("If-None-Match: \"", 200), ("Accept-Encoding: \x01", 400), ("traceparent: zz", 200),
    ("Host: twice", 400), ("Content-Length: 5\r\nContent-Length: 6", 400), ("Content-Length: -1", 400)]
JOINS = [b"", b"[]", b"{", b"\xff", b"null", b'{"name": 5}', b'{"name": "x", "peers": "http://y", "token": "t"}',
         b'{"name": "x", "peers": ["ftp://y"], "token": "t"}', b'{"name": "x", "peers": [], "token": "t"}',
         b'{"name": "../x", "peers": ["http://y"], "token": "t"}', b'{"name": "x", "peers": ["http://y"], "token": 5}',
         b'{"name": "x", "peers": ["http://y"], "token": "a\\nb"}', b'{"name": "x", "more": 1}', b"[" * 100_000,
         b'{"name": NaN}', b'{"name": "x", "peers": [' + b'"http://y",' * 70 + b'"http://y"], "token": "t"}']


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupernodeDoor]:
    monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    async with supernode_door(tmp_path, "alpha", "beta") as running:
        await running.clusters["alpha"].admin.must("PUT", "/v1/files/admin/f", b"text")
        await running.level()
        yield running


async def raw(door: SupernodeDoor, method: str, target: str, *headers: str, token: str = ADMIN_TOKEN, body: bytes = b"",
              ) -> tuple[int, bytes]:
    """One request byte by byte; status 0: the connection just ended."""
    address = urlsplit(door.url)
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", f"Authorization: Bearer {token}", *headers]
    if method in ("PUT", "POST") and not any(line.startswith("Content-Length") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(10):
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            answer = await reader.read()
    finally:
        writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if head else 0, text


async def test_every_odd_request_has_its_status_and_none_is_a_bug(door: SupernodeDoor,
                                                                 caplog: pytest.LogCaptureFixture) -> None:
    wrong = []
    for method, target, status in TARGETS:
        told, text = await raw(door, method, target)
        if told != status or (told >= 400 and b'"error"' not in text):
            wrong.append((method, target[:80], told, status, text[:200]))
    for header, status in HEADERS:
        told, text = await raw(door, "GET", "/v1/search?q=x", header)
        if told != status:
            wrong.append(("GET", header[:60], told, status, text[:200]))
    for body in JOINS:
        told, text = await raw(door, "POST", "/v1/federation/clusters", token=OPERATOR, body=body)
        if told != 400:
            wrong.append(("POST", repr(body[:60]), told, 400, text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert (await door.ask("GET", "/v1/search?q=f", ADMIN_TOKEN)).status == 200


async def test_random_targets_never_are_a_bug(door: SupernodeDoor) -> None:
    rng = random.Random(5)
    pieces = ["alpha", "beta", "@best", "admin", "f", "..", ".", "", "%00", "%ff", "%2f", "%25", "%F0%9F%93%84",
              "a" * 300, "'", "\"", "*", "[", "?", "=", "&", "limit=", "after=", "q=", "0", "-1", "1e9", "null", "true",
              "NaN", ";", "cluster=", "fresh=", "min_size=", "since=", "type=", "tag=", "proxy=", "copies=", "\\"]
    for _ in range(300):
        route = rng.choice([route for route in ROUTES if route.pattern.startswith("/v1")])
        target = route.pattern.split("{")[0] + "/".join(rng.choices(pieces, k=rng.randrange(4)))
        target += "?" + "&".join("".join(rng.choices(pieces, k=rng.randrange(1, 4))) for _ in range(rng.randrange(4)))
        target = target.replace('"', "%22").replace("\\", "%5C")
        for token in (ADMIN_TOKEN, OPERATOR):
            status, text = await raw(door, route.method, target, token=token)
            assert status not in (0, 500), (route.method, target, text)
            if status >= 400:
                assert json.loads(text)["error"]["code"], (route.method, target)
