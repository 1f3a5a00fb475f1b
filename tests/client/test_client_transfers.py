"""Uploads and downloads over connections that break, peers that die, and bytes that are wrong."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluffy.base.errors import (
    FileNotFound,
    LocalFileExists,
    LocalFileFailed,
    NameIllegal,
    PeerUnreachable,
    ProposalLost,
    TransferCorrupt,
    Unauthenticated,
)
from fluffy.client import AsyncFluffy
from fluffy.client import download as download_module
from fluffy.client import retry as retry_module
from fluffy.client import transport as transport_module
from tests.client.faulty_peer import FaultyPeer, refusal, serving

MIB = 1024 * 1024
BIG = os.urandom(3 * MIB + 17)


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    file = tmp_path / "big.bin"
    file.write_bytes(BIG)
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
async def test_what_was_put_comes_back(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(data)
    assert (await client.put("/admin/a", data)).size == size
    assert (await client.put("/admin/b", source)).size == size
    assert (await client.put("/admin/c", io.BytesIO(data))).size == size
    for name in "abc":
        assert peer.files[f"/admin/{name}"] == data
        assert await client.get(f"/admin/{name}") == data
        fetched = await client.download(f"/admin/{name}", tmp_path / name)
        assert fetched.local.read_bytes() == data
        assert not [file for file in os.listdir(tmp_path) if file.endswith(".fluffy-part")]


async def test_awkward_names_arrive_as_they_are(peer: FaultyPeer, client: AsyncFluffy) -> None:
    for name in ("ü 日本.txt", "100%", "a?b#c&d=e+f", "it's \"quoted\"", "%41", "ends in dot.", "\U0001f600"):
        await client.put(f"/admin/{name}", name.encode())
        assert peer.files[f"/admin/{name}"] == name.encode()
        assert await client.get(f"/admin/{name}") == name.encode()


async def test_an_illegal_path_is_refused_before_anything_is_sent(peer: FaultyPeer, client: AsyncFluffy) -> None:
    for path in ("/admin/../x", "/admin/a//b", "/admin/a\x00b", "/onlybucket", "/admin/" + "x" * 2000, "/admin/x/"):
        with pytest.raises(NameIllegal):
            await client.put(path, b"x")
    assert not peer.seen["PUT"]


@pytest.mark.parametrize("cut", [1, 100_000, 2 * MIB])
async def test_an_upload_that_is_cut_happens_once(peer: FaultyPeer, client: AsyncFluffy, big_file: Path,
                                                  cut: int) -> None:
    peer.faults.cut_uploads_after = [cut, cut]
    stored = await client.put("/admin/big", big_file)
    assert peer.files["/admin/big"] == BIG
    assert stored.generation == 1
    assert len(peer.request_ids) >= 3
    assert len(set(peer.request_ids)) == 1


async def test_an_upload_whose_answer_is_lost_happens_once(peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.faults.lose_answers = 2
    stored = await client.put("/admin/x", b"once")
    assert stored.generation == 1
    assert peer.generations["/admin/x"] == 1
    assert len(set(peer.request_ids)) == 1


async def test_a_write_whose_fate_stays_unknown_says_so(peer: FaultyPeer) -> None:
    peer.faults.lose_answers = 10_000
    async with AsyncFluffy(peer.url, "good-token", patience_s=0.5) as client:
        with pytest.raises(ProposalLost):
            await client.put("/admin/x", b"once")
    assert peer.generations["/admin/x"] == 1


async def test_a_stream_that_cannot_be_read_twice_is_not_repeated(peer: FaultyPeer, client: AsyncFluffy) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield BIG[:100_000]
            await asyncio.sleep(0)
    peer.faults.cut_uploads_after = [150_000]
    with pytest.raises(ProposalLost):
        await client.put("/admin/x", blocks())
    assert len(peer.request_ids) == 1
    assert (await client.put("/admin/x", blocks())).size == 3_000_000


async def test_a_refusal_for_now_is_waited_out(peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.faults.refuse = [(503, refusal("NoLeader", "later"), {"Retry-After": "1"}),
                          (503, refusal("ProposalLost", "same-id"), {})]
    began = asyncio.get_running_loop().time()
    assert (await client.put("/admin/x", b"x")).generation == 1
    assert asyncio.get_running_loop().time() - began >= 1.0
    assert len(set(peer.request_ids)) == 1


async def test_a_final_refusal_is_not_repeated(peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.faults.refuse = [(403, refusal("AccessDenied", "never"), {})] * 2
    for _ in range(2):
        with pytest.raises(Exception, match="AccessDenied on purpose"):
            await client.put("/admin/x", b"x")
    assert peer.seen["PUT"] == 2


async def test_a_dead_first_peer_costs_nothing_but_a_try(peer: FaultyPeer) -> None:
    dead = f"127.0.0.1:{free_port()}"
    async with AsyncFluffy([dead, peer.url], "good-token", patience_s=5.0) as client:
        await client.put("/admin/x", b"x")
        assert client.peer == peer.url
        assert await client.get("/admin/x") == b"x"


async def test_a_peer_that_is_not_ready_is_left_for_another(peer: FaultyPeer, second: FaultyPeer) -> None:
    peer.faults.refuse = [(503, refusal("NotReady", "later"), {"Retry-After": "5"})]
    second.files["/admin/x"] = b"there"
    async with AsyncFluffy([peer.url, second.url], "good-token", patience_s=5.0) as client:
        began = asyncio.get_running_loop().time()
        assert await client.get("/admin/x") == b"there"
        assert asyncio.get_running_loop().time() - began < 2.0


async def test_the_other_peers_are_learned_from_the_first(peer: FaultyPeer, second: FaultyPeer) -> None:
    peer.others = [second]
    second.files = peer.files
    peer.files["/admin/x"] = b"there"
    async with AsyncFluffy(peer.url, "good-token", patience_s=5.0) as client:
        assert await client.get("/admin/x") == b"there"
        assert client.peers == (peer.url, second.url)
        peer.faults.refuse = [(503, refusal("Overloaded", "later"), {})]
        assert await client.get("/admin/x") == b"there"
        assert client.peer == second.url


async def test_no_peer_at_all_is_said_with_all_their_names() -> None:
    ports = [free_port(), free_port()]
    async with AsyncFluffy([f"127.0.0.1:{port}" for port in ports], "good-token", patience_s=0.3) as client:
        with pytest.raises(PeerUnreachable) as caught:
            await client.get("/admin/x")
    assert all(str(port) in caught.value.message for port in ports)


async def test_a_wrong_token_is_refused_at_once(peer: FaultyPeer) -> None:
    async with AsyncFluffy(peer.url, "bad-token") as client:
        with pytest.raises(Unauthenticated):
            await client.get("/admin/x")
    assert peer.seen["GET"] == 1


@pytest.mark.parametrize("cuts", [[0], [1], [MIB, MIB, 5], [3 * MIB]])
async def test_a_download_that_is_cut_goes_on(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path,
                                              cuts: list[int]) -> None:
    peer.files["/admin/big"] = BIG
    peer.faults.cut_downloads_after = list(cuts)
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in peer.ranges]
    assert starts == sorted(starts)
    assert not cuts[0] or starts, "it asked for the rest only"
    peer.faults.cut_downloads_after = list(cuts)
    assert await client.get("/admin/big") == BIG


async def test_a_download_goes_on_at_another_peer(peer: FaultyPeer, second: FaultyPeer, tmp_path: Path) -> None:
    peer.files["/admin/big"] = second.files["/admin/big"] = BIG
    peer.faults.cut_downloads_after = [MIB]
    async with AsyncFluffy([peer.url, second.url], "good-token", patience_s=5.0) as client:
        await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG
    assert len(second.ranges) == 1


async def test_a_file_that_changes_during_the_download_comes_whole(peer: FaultyPeer, client: AsyncFluffy,
                                                                   tmp_path: Path) -> None:
    newer = os.urandom(2 * MIB)
    peer.files["/admin/big"] = BIG
    peer.faults.cut_downloads_after = [MIB]

    def change(done: int, total: int | None) -> None:
        peer.files["/admin/big"] = newer
    await client.download("/admin/big", tmp_path, progress=change)
    assert (tmp_path / "big").read_bytes() == newer


async def test_an_old_part_is_gone_on_with(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path) -> None:
    peer.files["/admin/big"] = BIG
    (tmp_path / "big.fluffy-part").write_bytes(BIG[:MIB])
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG
    assert peer.ranges == [f"bytes={MIB}-"]
    assert not (tmp_path / "big.fluffy-part").exists()


async def test_a_whole_part_needs_no_download(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path) -> None:
    peer.files["/admin/big"] = BIG
    (tmp_path / "big.fluffy-part").write_bytes(BIG)
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG
    assert not peer.seen["GET"]


@pytest.mark.parametrize("old", [b"x" * MIB, b"x" * (4 * MIB)])
async def test_a_part_of_something_else_does_no_harm(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path,
                                                     old: bytes) -> None:
    peer.files["/admin/big"] = BIG
    (tmp_path / "big.fluffy-part").write_bytes(old)
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG


async def test_a_part_older_than_the_version_is_not_used(peer: FaultyPeer, client: AsyncFluffy,
                                                         tmp_path: Path) -> None:
    peer.files["/admin/big"] = BIG
    part = tmp_path / "big.fluffy-part"
    part.write_bytes(BIG[:MIB])
    os.utime(part, (0, 0))
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG
    assert peer.ranges == []


@pytest.mark.parametrize("say_hash", [True, False])
async def test_a_damaged_download_is_never_handed_over(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path,
                                                       say_hash: bool) -> None:
    peer.files["/admin/big"] = BIG
    peer.faults.say_hash = say_hash
    peer.faults.damage_downloads = 1
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG, "the second try was good"
    peer.faults.damage_downloads = 1000
    with pytest.raises(TransferCorrupt):
        await client.download("/admin/big", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "other.fluffy-part").exists()
    peer.faults.damage_downloads = 1000
    with pytest.raises(TransferCorrupt):
        await client.get("/admin/big")
    assert peer.seen["GET"] <= 2 + 2 * download_module.DAMAGED_MAX + 8


async def test_wrong_bytes_stored_are_noticed(peer: FaultyPeer, client: AsyncFluffy, big_file: Path) -> None:
    peer.answers["fixed"] = {"path": "/admin/x", "generation": 1, "size": 3, "etag": "e", "blake3": "00" * 32}
    with pytest.raises(TransferCorrupt):
        await client.put("/admin/x", big_file, request_id="fixed")


async def test_cancelling_a_download_leaves_a_part_to_go_on_from(peer: FaultyPeer, client: AsyncFluffy,
                                                                 tmp_path: Path) -> None:
    peer.files["/admin/big"] = BIG
    peer.faults.cut_downloads_after = [2 * MIB]
    peer.faults.refuse = []
    started = asyncio.Event()

    def progress(done: int, total: int | None) -> None:
        peer.faults.refuse = [(503, refusal("NoLeader", "later"), {"Retry-After": "3"})] * 5
        started.set()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.download("/admin/big", tmp_path, progress=progress))
        await started.wait()
        await asyncio.sleep(0.2)
        task.cancel()
    part = tmp_path / "big.fluffy-part"
    assert not (tmp_path / "big").exists()
    kept = part.read_bytes()
    assert 0 < len(kept) <= 2 * MIB
    assert BIG.startswith(kept)
    peer.faults.refuse = []
    await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG


async def test_a_local_file_is_not_replaced_without_a_word(peer: FaultyPeer, client: AsyncFluffy,
                                                           tmp_path: Path) -> None:
    peer.files["/admin/x"] = b"remote"
    (tmp_path / "x").write_bytes(b"local")
    with pytest.raises(LocalFileExists):
        await client.download("/admin/x", tmp_path)
    assert (tmp_path / "x").read_bytes() == b"local"
    await client.download("/admin/x", tmp_path, overwrite=True)
    assert (tmp_path / "x").read_bytes() == b"remote"
    await client.download("/admin/x", tmp_path)  # the very bytes are there: nothing to do


async def test_two_downloads_of_one_name_do_not_mix(peer: FaultyPeer, client: AsyncFluffy, tmp_path: Path) -> None:
    peer.files["/admin/x"] = b"remote"
    with (tmp_path / "x.fluffy-part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LocalFileFailed, match="another download"):
            await client.download("/admin/x", tmp_path)


async def test_a_missing_file_leaves_nothing_behind(client: AsyncFluffy, tmp_path: Path) -> None:
    with pytest.raises(FileNotFound):
        await client.download("/admin/none", tmp_path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFound):
        await client.head("/admin/none")


async def test_a_peer_that_stalls_is_left(peer: FaultyPeer, second: FaultyPeer, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "STALL_S", 0.3)
    monkeypatch.setattr(transport_module, "STALL_TICK_S", 0.01)
    peer.files["/admin/big"] = second.files["/admin/big"] = BIG

    async def stall(*_: object) -> None:
        await asyncio.sleep(30)
    peer.get = stall  # type: ignore[method-assign, assignment]
    async with AsyncFluffy([peer.url, second.url], "good-token", patience_s=5.0) as client:
        await client.download("/admin/big", tmp_path)
    assert (tmp_path / "big").read_bytes() == BIG


async def test_a_source_that_changes_between_two_tries_is_refused(peer: FaultyPeer, client: AsyncFluffy,
                                                                  big_file: Path) -> None:
    peer.faults.cut_uploads_after = [2 * MIB]

    def change(done: int, total: int | None) -> None:
        if done > MIB and peer.faults.cut_uploads_after == []:
            os.utime(big_file, (1, 1))
    with pytest.raises(LocalFileFailed, match="changed"):
        await client.put("/admin/x", big_file, progress=change)
    assert "/admin/x" not in peer.files


async def test_missing_local_files_and_folders_are_named(client: AsyncFluffy, tmp_path: Path) -> None:
    with pytest.raises(LocalFileFailed, match="nowhere"):
        await client.put("/admin/x", tmp_path / "nowhere")
    with pytest.raises(LocalFileFailed, match="folder"):
        await client.put("/admin/x", tmp_path)


async def test_parts_of_a_file_can_be_had(peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.files["/admin/x"] = b"0123456789"
    assert await client.get("/admin/x", offset=3, length=4) == b"3456"
    assert await client.get("/admin/x", offset=8) == b"89"
    assert await client.get("/admin/x", offset=8, length=0) == b""


async def test_a_frozen_peer_is_left_for_another(peer: FaultyPeer, second: FaultyPeer, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "ANSWER_FIRST_S", 0.3)
    second.files["/admin/x"] = b"there"
    small = tmp_path / "small"
    small.write_bytes(b"small")

    async def freeze(request: object) -> None:
        await asyncio.sleep(30)
    peer.handle = freeze  # type: ignore[method-assign, assignment]
    for number, call in enumerate(["get", "put", "mkdir"]):
        async with serving(peer), AsyncFluffy([peer.url, second.url], "good-token", patience_s=5.0) as client:
            calls = {"get": lambda: client.get("/admin/x"), "put": lambda: client.put("/admin/y", small),
                     "mkdir": lambda: client.mkdir("/admin/folder")}
            began = asyncio.get_running_loop().time()
            await calls[call]()
            assert 0.2 < asyncio.get_running_loop().time() - began < 3.0, number
            assert client.peer == second.url
