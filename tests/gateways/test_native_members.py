"""Machines that come, are emptied, go and are replaced, over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from fluffy.base.errors import FrameCorrupt, PreconditionFailed, RequestMalformed, Unauthenticated
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MINUTE_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import PutFile
from fluffy.core.metadata.commands_members import RetireNode, SetVoters, WelcomeDisk
from fluffy.wire.handshake import derive_key
from fluffy.wire.joining import (
    PURPOSE,
    RETURN_HEADER,
    JoinAnswer,
    JoinQuestion,
    KnownNode,
    Newcomer,
    _sealed,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    new_nonce,
)
from tests.support.local_log import header
from tests.support.native_door import CLUSTER_SECRET, Door

KEY = derive_key(CLUSTER_SECRET, PURPOSE)
FOUR = Newcomer("four", "disk-of-four", "d", "10.0.0.4", 7104, 7204, 7304, 7404)


def question(door: Door, node: Newcomer = FOUR, cluster: str = "test", age_ms: int = 0) -> JoinQuestion:
    return JoinQuestion(node, cluster, door.desk.clock.now_ms() - age_ms, new_nonce())


async def ask(door: Door, asked: JoinQuestion, key: bytes = KEY) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as stranger, stranger.post(
            door.url + "/v1/join", data=encode_question(asked, key)) as answer:
        return answer.status, await answer.read()


def code_of(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


async def test_a_machine_with_the_secret_becomes_a_member_and_learns_who_the_others_are(door: Door) -> None:
    asked = question(door)
    status, body = await ask(door, asked)
    assert status == 200
    found = decode_answer(body, asked.nonce, KEY)
    assert found.node_no == 4 and sorted(found.voters) == ["one", "three", "two"]
    assert [node.name for node in found.nodes] == ["one", "two", "three", "four"]
    assert found.cluster_uuid == door.cluster.genesis.cluster_uuid
    assert door.cluster.reader.read(queries.node_records)[3].host == "10.0.0.4"


async def test_who_asks_to_return_is_let_in_under_a_known_name_only_and_when_an_admin_said_so(
        door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_again(node: Newcomer) -> tuple[int, bytes]:
        async with aiohttp.ClientSession() as stranger, stranger.post(
                door.url + "/v1/join", data=encode_question(question(door, node), KEY),
                headers={RETURN_HEADER: "1"}) as answer:
            return answer.status, await answer.read()

    status, body = await ask_again(FOUR)
    assert status == 409 and b"four is not a member" in body and b"--join" in body
    assert len(door.cluster.reader.read(queries.node_records)) == 3
    status, body = await ask_again(replace(FOUR, name="two"))
    assert status == 409 and b"recover two" in body
    door.cluster.log.apply(WelcomeDisk(header(), "two", MINUTE_MS))
    status, body = await ask_again(replace(FOUR, name="two"))
    assert status == 412 and b"old disk of two is still in use" in body
    # The old one leaves first; then nobody has the name, and it is welcome still.
    monkeypatch.setattr(queries, "is_disk_expected", lambda db, name: name == "four")
    assert (await ask_again(FOUR))[0] == 200


async def test_without_the_secret_nobody_joins_and_nobody_answers(door: Door) -> None:
    wrong = derive_key(b"another", PURPOSE)
    status, body = await ask(door, question(door), wrong)
    assert (status, code_of(body)) == (401, "Unauthenticated") and b"copy the file" in body
    assert len(door.cluster.reader.read(queries.node_records)) == 3
    answer = JoinAnswer(4, "uuid", {}, ())
    with pytest.raises(Unauthenticated):
        decode_answer(encode_answer(answer, "n", wrong), "n", KEY)
    with pytest.raises(Unauthenticated):
        decode_answer(encode_answer(answer, "an older question's", KEY), "n", KEY)


async def test_a_stranger_s_nested_question_is_malformed_and_no_bug(door: Door) -> None:
    deep = b'{"node":' + b"[" * 900 + b"]" * 900 + b',"proof":"x"}'
    deeper = b'{"node":' + b"[" * 7_000 + b"]" * 7_000 + b',"proof":"x"}'
    async with aiohttp.ClientSession() as stranger:
        for body in (deep, deeper):
            async with stranger.post(door.url + "/v1/join", data=body) as answer:
                assert answer.status in (400, 401), await answer.read()
    assert not door.bugs


async def test_a_question_with_a_good_proof_that_lacks_something_is_malformed(door: Door) -> None:
    """Of another version, say: it is the asker's mistake, and asking again later changes nothing."""
    good = json.loads(encode_question(question(door), KEY))
    good.pop("proof")
    for broken in ({**good, "node": {}}, {**good, "at_ms": "now"}, {"node": good["node"]}):
        async with aiohttp.ClientSession() as stranger, stranger.post(
                door.url + "/v1/join", data=_sealed(broken, KEY, b"question")) as answer:
            assert (answer.status, code_of(await answer.read())) == (400, "RequestMalformed")
    assert not door.bugs


def test_nesting_beyond_the_stack_is_malformed() -> None:
    node: list[Any] = []
    for _ in range(200_000):
        node = [node]
    with pytest.raises(RequestMalformed):
        decode_question({"node": node, "proof": "x"}, KEY, 0)
    while node:  # a deep list is taken apart from outside
        node = node.pop()


async def test_old_questions_and_other_clusters_are_refused(door: Door) -> None:
    status, body = await ask(door, question(door, age_ms=11 * MINUTE_MS))
    assert (status, code_of(body)) == (412, "PreconditionFailed") and b"clock" in body
    status, body = await ask(door, question(door, cluster="beta"))
    assert status == 412 and b"beta" in body
    status, body = await ask(door, question(door, replace(FOUR, name="two")))
    assert status == 409 and b"recover two" in body


def test_garbage_is_refused_and_nothing_else_is_raised() -> None:
    asked = JoinQuestion(FOUR, "test", 1000, "n")
    good = json.loads(encode_question(asked, KEY))
    assert decode_question(good, KEY, 1000) == asked
    with pytest.raises(PreconditionFailed):
        decode_question(good, KEY, 1000 + 20 * MINUTE_MS)
    for broken in ({}, {"proof": 7}, {**good, "at_ms": 5}, {**good, "more": 1}):
        with pytest.raises(Unauthenticated):
            decode_question(broken, KEY, 1000)
    for data in (b"", b"[]", b"7", b"{", b"[" * 100_000):
        with pytest.raises((FrameCorrupt, Unauthenticated)):
            decode_answer(data, "n", KEY)
    whole = JoinAnswer(1, "u", {"one": "d"}, (KnownNode("one", "d", "h", 1),))
    assert decode_answer(encode_answer(whole, "n", KEY), "n", KEY) == whole


def put(door: Door, number: int, nodes: tuple[int, ...]) -> None:
    chunk = ChunkId(bytes([number]) * 32)
    door.cluster.log.apply(PutFile(header(), f"admin/{number}", 5000, b"h" * 32, "e", "", {}, {}, None,
                                   ((chunk, 5000),), (tuple(NodeNo(no) for no in nodes),)))


async def drain_of(door: Door, **body: Any) -> dict[str, Any]:
    async with door.client.post(door.url + "/v1/admin/nodes/two/drain", json=body) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_draining_tells_how_far_it_is_and_when_it_is_safe(door: Door) -> None:
    await ask(door, question(door))
    put(door, 1, (1, 2, 3))
    told = await drain_of(door)
    assert told["draining"] and not told["safe"] and told["waiting"] == 1
    assert "only 2 other nodes" in told["verdict"], "four is not up yet"
    await _four_is_up(door)
    async with door.client.get(door.url + "/v1/admin/nodes/two/drain") as answer:
        assert "1 chunks" in (await answer.json())["verdict"]
    put(door, 1, (1, 3, 4))
    async with door.client.get(door.url + "/v1/admin/nodes/two/drain") as answer:
        told = await answer.json()
    assert told["safe"] and told["verdict"].startswith("safe to stop")
    assert not (await drain_of(door, cancel=True))["draining"]


async def _four_is_up(door: Door) -> None:
    db = door.cluster.log.db
    db.execute("INSERT OR REPLACE INTO placement VALUES (4, 'up', 'd', 1)")


async def test_a_node_that_is_needed_is_not_removed_and_an_emptied_one_is(door: Door) -> None:
    put(door, 1, (1, 2, 3))
    async with door.client.delete(door.url + "/v1/admin/nodes/two") as answer:
        assert answer.status == 412 and "not safe" in await answer.text()
    async with door.client.delete(door.url + "/v1/admin/nodes/two?force=1") as answer:
        assert answer.status == 412 and "is alive" in await answer.text()


async def test_a_forced_removal_says_what_it_costs_and_can_be_asked_again(door: Door,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluffy.gateways.native.members.REMOVED_WAIT_S", 0.1)
    put(door, 1, (1, 2, 3))
    door.cluster.log.db.execute("UPDATE placement SET state = 'down' WHERE node_no = 2")
    async with door.client.delete(door.url + "/v1/admin/nodes/two?force=1") as answer:
        assert answer.status == 202
        assert await answer.json() == {"node": "two", "removed": False, "short_of_copies": 1, "lost_chunks": 0}
    log = door.cluster.log
    voters = {name: disk for name, disk in queries.voters(log.db).items() if name != "two"}
    log.apply(SetVoters(header(), log.term, tuple(voters.items())))
    log.apply(RetireNode(header(), log.term, NodeNo(2)))
    async with door.client.delete(door.url + "/v1/admin/nodes/two?force=1") as answer:
        assert (answer.status, await answer.json()) == (200, {"node": "two", "removed": True})
    async with door.client.delete(door.url + "/v1/admin/nodes/nobody") as answer:
        assert answer.status == 404


async def test_recover_lets_a_living_node_look_and_a_new_disk_take_the_place_of_a_dead_one(door: Door) -> None:
    async with door.client.post(door.url + "/v1/admin/recover/one") as answer:
        told = await answer.json()
    assert answer.status == 200 and told["alive"]
    door.cluster.log.db.execute("UPDATE placement SET state = 'down' WHERE node_no = 2")
    async with door.client.post(door.url + "/v1/admin/recover/two") as answer:
        told = await answer.json()
    assert not told["alive"] and "--join 127.0.0.1:7101" in told["does"]
    status, body = await ask(door, question(door, replace(FOUR, name="two")))
    assert (status, code_of(body)) == (503, "NotReady")


async def test_a_node_restarts_itself_only(door: Door) -> None:
    async with door.client.post(door.url + "/v1/admin/nodes/one/restart") as answer:
        assert answer.status == 202 and (await answer.json())["restarting"]
    async with door.client.post(door.url + "/v1/admin/nodes/two/restart") as answer:
        assert answer.status == 412 and "http://127.0.0.1:7102" in await answer.text()
