"""Doctor and explain over HTTP, with planted states: of nodes, of copies, of what the asker may know."""

from __future__ import annotations

from typing import Any

import pytest

from fluffy.base.errors import QuorumLost
from fluffy.base.ids import NodeNo
from fluffy.base.units import GIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, NodeState, PublishPlacement, PutFile, SetFeatureLevel
from tests.support.asking import user_of
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, Door


@pytest.fixture(autouse=True)
def newest_level(door: Door) -> None:
    door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))


def publish(door: Door, **states: str) -> None:
    """The placement map with these nodes in these states, the others up."""
    current = door.cluster.reader.read(queries.placement_map)
    names = {record.node_no: record.name for record in door.cluster.reader.read(queries.node_records)}
    door.cluster.log.apply(PublishPlacement(header(), door.cluster.log.term, current.epoch + 1, tuple(
        NodeState(node.node_no, states.get(names[node.node_no], "up"), node.zone, 10) for node in current.nodes)))


def plant(door: Door, path: str, *holders: tuple[int, ...]) -> None:
    """A file of chunks that exist only in the catalog."""
    chunks = tuple((f"{path}{number}".encode().ljust(32, b"."), 10) for number in range(len(holders)))
    door.cluster.log.apply(PutFile(
        header(), path, 10 * len(holders), bytes(32), "e", "a/b", {}, {}, None, chunks,
        tuple(tuple(NodeNo(no) for no in nodes) for nodes in holders)))


async def ask(door: Door, target: str, token: str | None = None) -> tuple[int, dict[str, Any]]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with door.client.get(door.url + target, headers=headers) as answer:
        return answer.status, await answer.json()


async def codes(door: Door) -> dict[str, str]:
    status, document = await ask(door, "/v1/doctor")
    assert status == 200
    return {finding["code"]: finding["severity"] for finding in document["findings"]}


async def test_a_cluster_in_order_is_healthy(door: Door) -> None:
    status, document = await ask(door, "/v1/doctor")
    assert (status, document["healthy"], document["findings"], document["stop"]) == (200, True, [], None)
    assert [node["name"] for node in document["nodes"]] == ["one", "two", "three"]
    assert all(node["answers"] and node["free_bytes"] == 60 * GIB for node in document["nodes"])


@pytest.mark.parametrize(("facts", "code"), [
    ({"free_bytes": GIB}, "disk-full"), ({"fsync": 0}, "fsync-off"), ({"clock_ms": 5_000}, "clock-skew"),
    ({"quarantined": 3}, "quarantine"), ({"version": "0.0.1"}, "versions-differ"), ({"seq": -1}, None)])
async def test_what_a_node_says_of_itself_becomes_a_finding(door: Door, facts: dict[str, int | str],
                                                            code: str | None) -> None:
    door.nodes.facts[NodeNo(2)] = facts
    found = await codes(door)
    found.pop("disks-uneven", None)
    assert set(found) == ({code} if code else set())


async def test_a_node_of_an_older_version_is_not_asked_what_it_does_not_know(door: Door) -> None:
    door.nodes.facts[NodeNo(2)] = {"level": 2}
    _, document = await ask(door, "/v1/doctor")
    assert document["nodes"][1] | {"version": None} == {
        **document["nodes"][1], "version": None, "level": 2, "total_bytes": None, "behind": None}
    assert [finding["code"] for finding in document["findings"]] == ["versions-differ"]


async def test_silent_and_down_nodes_and_what_they_held(door: Door) -> None:
    plant(door, "admin/a", (1, 2), (1, 2, 3))
    door.nodes.silent.add(NodeNo(3))
    assert (await codes(door)).keys() >= {"node-unreachable", "chunks-short"}
    publish(door, two="down", three="down")
    found = await codes(door)
    assert found["chunks-endangered"] == "critical" and found["node-down"] == "warning"
    publish(door, one="down", two="down")
    _, document = await ask(door, "/v1/doctor")
    assert document["copies"]["away"] == 1 and document["unreadable"]["names"] == ["/admin/a"]


async def test_without_a_majority_the_doctor_still_answers(door: Door) -> None:
    door.cluster.log.refuse_with = QuorumLost()
    await door.desk.pulse.ask()
    assert (await codes(door))["no-majority"] == "critical"


async def test_what_stopping_a_node_would_cost(door: Door) -> None:
    plant(door, "admin/only", (2, 3))
    plant(door, "admin/both", (1, 2, 3))
    _, document = await ask(door, "/v1/doctor?stop=two")
    stop = document["stop"]
    assert (stop["chunks_without_copy"], stop["chunks_with_one_copy"], stop["held_chunks"]) == (0, 1, 2)
    publish(door, three="down")
    _, document = await ask(door, "/v1/doctor?stop=two")
    stop = document["stop"]
    assert not stop["safe"] and stop["without_copy"]["files"] == 1
    assert stop["without_copy"]["names"] == ["/admin/only"]
    assert any("1 file would have no copy: /admin/only" in line for line in stop["lines"])


async def test_a_node_that_is_not_there_cannot_be_stopped(door: Door) -> None:
    status, document = await ask(door, "/v1/doctor?stop=nine")
    assert status == 404 and "one, two, three" in document["error"]["message"]


async def test_files_of_others_are_counted_but_not_named(door: Door) -> None:
    bob = user_of(door, "bob")
    plant(door, "admin/secret", (2, 3))
    plant(door, "bob/own", (2, 3))
    publish(door, two="down", three="down")
    _, document = await ask(door, "/v1/doctor", bob.token)
    assert document["unreadable"]["files"] == 2 and document["unreadable"]["names"] == ["/bob/own"]
    assert "secret" not in str(document)


# -- explain


async def test_each_copy_of_a_file_is_explained(door: Door) -> None:
    await door.put("admin/f", b"x" * (2 * CHUNK_SIZE + 5))
    status, document = await ask(door, "/v1/explain/admin/f")
    assert (status, document["chunks"], document["explained"], document["after"]) == (200, 3, 3, None)
    assert document["covered"] == {"short": 3}
    groups = document["groups"]
    assert sum(group["chunks"] for group in groups) == 3
    for group in groups:
        assert [copy["node"] for copy in group["copies"]] == ["one", "two"]
        assert all(copy["state"] == "up" and copy["zone"] in "ab" and "rank" in copy["why"] for copy in group["copies"])
        assert [copy["node"] for copy in group["lacking"]] == ["three"]


async def test_one_chunk_can_be_asked_for(door: Door) -> None:
    plant(door, "admin/f", (1, 2, 3), (1, 2), (2, 3))
    _, document = await ask(door, "/v1/explain/admin/f?chunk=1")
    assert (document["chunks"], document["explained"]) == (3, 1)
    assert document["groups"][0]["spans"] == [[1, 1]]
    status, document = await ask(door, "/v1/explain/admin/f?chunk=3")
    assert status == 416 and "3 chunks" in document["error"]["message"]


async def test_a_file_of_ten_thousand_chunks_stays_readable(door: Door) -> None:
    plant(door, "admin/big", *((1, 2, 3) if number % 2 else (1, 2) for number in range(11_000)))
    _, document = await ask(door, "/v1/explain/admin/big")
    assert (document["chunks"], document["explained"], document["after"]) == (11_000, 10_000, 10_000)
    assert len(document["groups"]) == 2 and len(str(document)) < 20_000
    assert [group["covered"] for group in document["groups"]] == ["short", "whole"]
    assert document["groups"][0]["spans_more"] > 0
    _, document = await ask(door, "/v1/explain/admin/big?after=10000&limit=1")
    assert (document["explained"], document["after"]) == (1, 10_001)


async def test_states_of_nodes_show_in_the_copies(door: Door) -> None:
    plant(door, "admin/f", (1, 2, 3))
    publish(door, two="down", three="draining")
    _, document = await ask(door, "/v1/explain/admin/f")
    [group] = document["groups"]
    assert [copy["state"] for copy in group["copies"]] == ["up", "down", "draining"]
    assert (group["living"], group["wanted"], group["covered"]) == (2, 3, "short")


async def test_small_files_folders_and_nothing(door: Door) -> None:
    await door.put("admin/small", b"x")
    _, document = await ask(door, "/v1/explain/admin/small")
    assert document["inline"] and document["chunks"] == 0 and document["groups"] == []
    assert (await ask(door, "/v1/explain/admin"))[0] in (400, 409)
    assert (await ask(door, "/v1/explain/admin/none"))[0] == 404
