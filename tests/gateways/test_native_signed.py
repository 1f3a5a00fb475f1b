"""Signed URLs through the native door: one request for whoever has the address, and nothing else."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from fluffy.core.metadata.commands_people import ChangeUser, GiveBucket, RemoveGrant, RemoveUser
from fluffy.services.signed_urls import UrlSigner
from tests.support.asking import Asker, Told, grant, stranger_of, user_of
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, CLUSTER_SECRET, Door

FILE = "/alice/ü ä+&#?.txt"
BODY = bytes(range(256)) * (CHUNK_SIZE // 128)


@pytest.fixture
async def alice(door: Door) -> Asker:
    alice = user_of(door, "alice")
    await alice.must("PUT", f"/v1/files{quote(FILE)}", b"first")
    await alice.must("PUT", f"/v1/files{quote(FILE)}", BODY)
    return alice


async def sign(who: Asker, method: str = "GET", path: str = FILE, **more: Any) -> str:
    told = await who.must("POST", "/v1/sign", {"path": path, "method": method, **more})
    assert told["url"] == who.door.url + told["target"] and told["method"] == method and told["path"] == path
    return str(told["target"])


async def knock(door: Door, method: str, target: str, body: bytes | None = None, **headers: str) -> Told:
    return await stranger_of(door).ask(method, target, body, **headers)


async def test_a_signed_url_reads_one_file_whole_and_in_ranges(door: Door, alice: Asker) -> None:
    target = await sign(alice)
    told = await knock(door, "GET", target)
    assert (told.status, told.body, told.headers["cache-control"]) == (200, BODY, "private, no-cache")
    told = await knock(door, "GET", target, Range="bytes=70000-70009")
    assert (told.status, told.body) == (206, BODY[70000:70010])
    old = await sign(alice, generation=1, download=True)
    told = await knock(door, "GET", old)
    assert (told.status, told.body) == (200, b"first") and "attachment" in told.headers["content-disposition"]
    told = await knock(door, "HEAD", await sign(alice, "HEAD"))
    assert (told.status, told.headers["content-length"]) == (200, str(len(BODY)))


async def test_a_signed_put_writes_as_its_signer(door: Door, alice: Asker) -> None:
    target = await sign(alice, "PUT", "/alice/inbox/new")
    told = await knock(door, "PUT", target, b"from outside", Fluffy_Request_Id="r1")
    assert told.status == 201
    assert (await knock(door, "PUT", target, b"from outside", Fluffy_Request_Id="r1")).value == told.value
    assert (await alice.must("GET", "/v1/info/alice/inbox/new"))["owner"] == "alice"
    told = await alice.ask("PUT", "/v1/files/alice/mine", b"x", Fluffy_Request_Id="r1")
    assert told.status == 201, "the holder of a URL does not meet the signer's own requests"


async def test_it_is_for_exactly_that_method_and_file(door: Door, alice: Asker) -> None:
    target = await sign(alice)
    for method in ("HEAD", "PUT", "POST", "PATCH", "DELETE"):
        told = await knock(door, method, target, b"x" if method in ("PUT", "POST", "PATCH") else None)
        assert told.status == 403, method
    for method in ("GET", "DELETE"):
        assert (await knock(door, method, await sign(alice, "PUT"))).status == 403
    signature = target.partition("?")[2]
    for other in ("/v1/files/alice/other", "/v1/files/alice", "/v1/files/", f"/v1/info{quote(FILE)}", "/v1/dirs/alice",
                  "/v1/whoami", "/nothing", "/v1/tokens", "/v1/files?owner=alice&", f"/v1/files{quote(FILE)}/"):
        told = await knock(door, "GET", other + ("" if other.endswith("&") else "?") + signature)
        assert (told.status, told.code) == (403, "AccessDenied"), other


async def test_no_character_of_it_can_be_changed(door: Door, alice: Asker) -> None:
    target = await sign(alice, generation=1)
    before = door.desk.gate.barriers
    begin = target.index("?") + 1
    for at in [*range(begin, len(target)), *range(len("/v1/files/"), begin - 1)]:
        changed = target[:at] + ("A" if target[at] != "A" else "B") + target[at + 1:]
        told = await knock(door, "GET", changed)
        assert told.status in (401, 403) or (told.status, told.code) == (400, "NameIllegal"), changed
    for changed in (target[:-1], target + "A", target + "&download=1", target.replace("generation=1", "generation=2"),
                    target.replace("generation=1&", ""), target.replace("?", "?download=1&"), target + "%20",
                    target.replace("signed=", "signed=0"), re.sub(r"signed=\d+", "signed=9999999999999", target),
                    re.sub(r"signed=.*", "signed=", target), re.sub(r"\.(\d+)\.", ".1.", target)):
        assert (await knock(door, "GET", changed)).status in (401, 403), changed
    assert door.desk.gate.barriers - before <= 1, "what does not hold costs the cluster nothing"
    assert (await knock(door, "GET", target)).status == 200


async def test_another_cluster_s_signature_does_not_count(door: Door, alice: Asker) -> None:
    assert door.desk.data is not None
    target = await sign(alice)
    object.__setattr__(door.desk.data.people, "signer", UrlSigner(b"another secret"))
    assert (await knock(door, "GET", target)).status == 403
    object.__setattr__(door.desk.data.people, "signer", UrlSigner(CLUSTER_SECRET))
    assert (await knock(door, "GET", target)).status == 200, "another gateway of the same cluster"


class LaterClock:
    """The door's clock, ahead."""

    def __init__(self, door: Door, ahead_ms: int) -> None:
        self._clock = door.desk.clock
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._ahead_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()


async def test_it_ends_with_its_time(door: Door, alice: Asker) -> None:
    target = await sign(alice, ttl_s=60)
    door.desk.clock = LaterClock(door, 59_000)
    assert (await knock(door, "GET", target)).status == 200
    door.desk.clock = LaterClock(door, 2_000)
    told = await knock(door, "GET", target)
    assert (told.status, told.code) == (403, "AccessDenied") and "expired" in told.error["message"]


async def test_it_ends_with_its_signer_and_with_the_right(door: Door, alice: Asker) -> None:
    bob = user_of(door, "bob")
    grant(door, "alice", "bob", "write")
    reading, writing = await sign(bob), await sign(bob, "PUT")
    assert (await knock(door, "GET", reading)).status == 200
    grant(door, "alice", "bob", "read")
    assert (await knock(door, "PUT", writing, b"x")).status == 403
    assert (await knock(door, "GET", reading)).status == 200
    door.cluster.log.apply(RemoveGrant(header(), "alice", "bob"))
    assert (await knock(door, "GET", reading)).status == 403
    assert (await bob.ask("POST", "/v1/sign", {"path": FILE})).status == 403
    hers = await sign(alice)
    door.cluster.log.apply(ChangeUser(header(), "alice", disabled=True))
    assert (await knock(door, "GET", hers)).status == 403
    door.cluster.log.apply(ChangeUser(header(), "alice", disabled=False))
    assert (await knock(door, "GET", hers)).status == 200
    door.cluster.log.apply(GiveBucket(header(), "alice", "bob"))
    door.cluster.log.apply(RemoveUser(header(), "alice"))
    assert (await knock(door, "GET", hers)).status == 403


async def test_it_ends_with_an_admin_who_signed_it(door: Door, alice: Asker) -> None:
    target = await sign(user_of(door, "second", "admin"))
    assert (await knock(door, "GET", target)).status == 200
    door.cluster.log.apply(ChangeUser(header(), "second", disabled=True))
    assert (await knock(door, "GET", target)).status == 403


@pytest.mark.parametrize(("body", "code"), [
    ({}, "QuerySyntax"), ({"path": "/alice"}, "NameIllegal"), ({"path": FILE, "method": "DELETE"}, "QuerySyntax"),
    ({"path": FILE, "ttl_s": 0}, "QuerySyntax"), ({"path": FILE, "ttl_s": 8 * 86_400}, "QuerySyntax"),
    ({"path": FILE, "method": "PUT", "generation": 1}, "QuerySyntax")])
async def test_a_wrong_wish_for_a_signature_is_refused(alice: Asker, body: object, code: str) -> None:
    told = await alice.ask("POST", "/v1/sign", body)
    assert (told.status, told.code) == (400, code)
