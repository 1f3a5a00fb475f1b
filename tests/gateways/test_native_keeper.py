"""What admins say to the keepers through the native door."""

from __future__ import annotations

import pytest

from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.core.metadata.queries_keeper import repair_mode
from fluffy.drivers.chunk_files import ChunkFiles
from tests.support.asking import Asker, admin_of
from tests.support.native_door import Door


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def test_the_mode_of_repair_is_chosen_for_all_nodes_and_given_back(door: Door, admin: Asker) -> None:
    await admin.must("PUT", "/v1/admin/repair", {"mode": "quiet"})
    assert door.cluster.reader.read(repair_mode) == "quiet"
    await admin.must("PUT", "/v1/admin/repair", {"mode": None})
    assert door.cluster.reader.read(repair_mode) is None
    for body in ({"mode": "loud"}, {}, {"mode": 3}, {"speed": "fast"}):
        assert (await admin.ask("PUT", "/v1/admin/repair", body)).status == 400


async def test_bad_copies_are_listed_and_purged(door: Door, admin: Asker) -> None:
    store = ChunkFiles(door.cluster.node_dir, fsync=False)
    ids = []
    for data in (b"one" * 100, b"two" * 100):
        ids.append(chunk_id_of(data))
        store.put(ids[-1], xxh3_of(data), memoryview(data))
        store.quarantine(ids[-1], "it lies")
    listed = await admin.must("GET", "/v1/admin/quarantine")
    assert listed["node"] == "one"
    assert {line["chunk"] for line in listed["quarantine"]} == {chunk_id.hex() for chunk_id in ids}
    assert all(line["reason"] == "it lies" and line["bytes"] > 300 for line in listed["quarantine"])
    assert (await admin.must("DELETE", f"/v1/admin/quarantine?chunk={ids[0].hex()}"))["purged"] == 1
    assert [line["chunk"] for line in (await admin.must("GET", "/v1/admin/quarantine"))["quarantine"]] == [ids[1].hex()]
    assert (await admin.must("DELETE", "/v1/admin/quarantine"))["purged"] == 1
    assert list((door.cluster.node_dir / "quarantine").iterdir()) == []
    for wrong in ("zz", "ab", "../../etc/passwd"):
        assert (await admin.ask("DELETE", f"/v1/admin/quarantine?chunk={wrong}")).status == 400


async def test_the_word_of_the_keeper_is_part_of_the_status(door: Door, admin: Asker) -> None:
    assert (await admin.must("GET", "/v1/status"))["keeper"] is None
    door.desk.keeper_word = lambda: {"mode": "quiet"}
    assert (await admin.must("GET", "/v1/status"))["keeper"] == {"mode": "quiet"}


async def test_times_of_small_requests_for_files_are_told_to_the_keeper(door: Door, admin: Asker) -> None:
    for number in range(5):
        await admin.ask("GET", f"/v1/files/admin/no{number}")
    await admin.ask("GET", "/v1/status")
    times = door.desk.user_times.turn()
    assert times.requests == 5 and times.p99_ms > 0
