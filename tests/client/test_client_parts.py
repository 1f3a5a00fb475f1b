"""Large uploads in parts against a real door: cut, cancelled, gone on with, by another peer, with other bytes."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from fluffy.base.errors import (
    FileLocked,
    FluffyError,
    LocalFileFailed,
    PreconditionFailed,
    QuotaExceeded,
    RequestIdReused,
)
from fluffy.base.units import KIB
from fluffy.client import AsyncFluffy
from fluffy.client import parts as parts_module
from fluffy.client.resume import Resumes
from fluffy.core.metadata.commands_people import SetQuota
from fluffy.core.metadata.commands_uploads import AbortUpload
from fluffy.services import part_uploads
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.local_log import ADMIN_TOKEN, header
from tests.support.metadata_recount import check_state
from tests.support.native_door import Door, running_door

PART = 128 * KIB
COUNT = 16
DATA = os.urandom((COUNT - 1) * PART + 12_345)
# What requests weigh beside their bodies: heads, JSON, status.
HEADS = 64 * KIB
PATH = "/admin/big"


class Watcher:
    """An Observer that notes what can be gone on with."""

    def __init__(self) -> None:
        self.resumables: list[tuple[str, int, int]] = []

    def retrying(self, error: FluffyError, wait_s: float) -> None:
        return

    def stale(self, age_s: int) -> None:
        return

    def resumable(self, path: str, done_bytes: int, total_bytes: int) -> None:
        self.resumables.append((path, done_bytes, total_bytes))


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(parts_module, "PARTS_FROM_BYTES", 256 * KIB)
    monkeypatch.setattr(part_uploads, "PART_SIZE_MIN", PART)
    async with running_door(tmp_path / "node") as running:
        yield running


@pytest.fixture
async def proxy(door: Door) -> AsyncIterator[CuttingProxy]:
    async with cutting_proxy(door.host, door.port) as running:
        yield running


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
async def client(proxy: CuttingProxy, watcher: Watcher, tmp_path: Path) -> AsyncIterator[AsyncFluffy]:
    async with client_of(tmp_path, proxy.address, watcher=watcher) as made:
        yield made


@asynccontextmanager
async def client_of(tmp_path: Path, *peers: str, watcher: Watcher | None = None) -> AsyncIterator[AsyncFluffy]:
    async with AsyncFluffy(peers, ADMIN_TOKEN, patience_s=5.0, observer=watcher,
                           state_folder=tmp_path / "state") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(DATA)
    return path


def records(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "state" / "uploads"
    return sorted(folder.iterdir()) if folder.exists() else []


def rewrite(file: Path, data: bytes | bytearray) -> None:
    file.write_bytes(data)


def held(door: Door) -> tuple[int, int]:
    """Sessions, and parts that still take room."""
    db = door.cluster.log.db
    return tuple(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("uploads", "upload_parts"))


async def stored(door: Door, path: str = PATH) -> bytes:
    return (await door.get(path.lstrip("/")))[1]


async def cancelled_in_the_middle(client: AsyncFluffy, proxy: CuttingProxy, source: object,
                                  after_bytes: int = len(DATA) // 2) -> None:
    """An upload that is cancelled, as by Ctrl-C, when so many bytes are sent."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.put(PATH, source))  # type: ignore[arg-type]
        await proxy.wait_for_bytes(proxy.up_bytes + after_bytes)
        task.cancel()


@pytest.mark.parametrize("make", [lambda path: path, lambda path: DATA, lambda path: io.BytesIO(DATA),
                                  lambda path: path.open("rb")], ids=["path", "bytes", "stream", "file"])
async def test_a_large_source_goes_in_parts_and_arrives_whole(
        door: Door, client: AsyncFluffy, file: Path, tmp_path: Path, make: Callable[[Path], object]) -> None:
    told: list[tuple[int, int | None]] = []
    source = make(file)
    result = await client.put(PATH, source, meta={"who": "me"}, tags={"k": "v"}, content_type="a/b",  # type: ignore
                              progress=lambda done, total: told.append((done, total)))
    if isinstance(source, io.IOBase):
        source.close()
    assert (result.size, result.blake3, result.generation) == (len(DATA), blake3(DATA).hexdigest(), 1)
    assert await stored(door) == DATA
    info = await client.info(PATH)
    assert (info.content_type, info.document["meta"], info.document["tags"]) == ("a/b", {"who": "me"}, {"k": "v"})
    assert told[-1] == (len(DATA), len(DATA)) and [done for done, _ in told] == sorted(done for done, _ in told)
    assert door.chunks.writing_most > 1, "several parts at once"
    assert records(tmp_path) == [] and held(door) == (0, 0)


async def test_connections_that_are_cut_cost_a_part_each(door: Door, client: AsyncFluffy, proxy: CuttingProxy,
                                                         file: Path) -> None:
    proxy.cut_after = [PART // 2, 3 * PART, 1000, 2 * PART + 77, PART]
    result = await client.put(PATH, file)
    assert (result.generation, await stored(door)) == (1, DATA)
    assert proxy.cuts == 5
    assert proxy.up_bytes <= len(DATA) + proxy.cuts * PART + HEADS


async def test_an_upload_goes_on_at_another_peer(door: Door, proxy: CuttingProxy, file: Path,
                                                 tmp_path: Path) -> None:
    async with (cutting_proxy(door.host, door.port) as second,
                client_of(tmp_path, proxy.address, second.address) as client):
        async with asyncio.TaskGroup() as group:
            put = group.create_task(client.put(PATH, file))
            await proxy.wait_for_bytes(len(DATA) // 2)
            proxy.dead = True
            proxy.cut_all()
        assert put.result().generation == 1 and await stored(door) == DATA
        assert second.up_bytes > len(DATA) // 4
        assert proxy.up_bytes + second.up_bytes <= len(DATA) + parts_module.STREAMS * PART + HEADS


@pytest.mark.parametrize("make", [lambda path: path, lambda path: DATA], ids=["path", "bytes"])
async def test_a_cancelled_upload_leaves_a_record_and_the_next_one_sends_the_rest(
        door: Door, client: AsyncFluffy, proxy: CuttingProxy, watcher: Watcher, file: Path, tmp_path: Path,
        make: Callable[[Path], object]) -> None:
    await cancelled_in_the_middle(client, proxy, make(file))
    [(path, done, total)] = watcher.resumables
    assert path == PATH and 0 < done <= total == len(DATA)
    [record] = records(tmp_path)
    assert record.stat().st_mode & 0o777 == 0o600 and record.parent.stat().st_mode & 0o777 == 0o700
    assert ADMIN_TOKEN not in record.read_text()
    assert "admin/big" not in [row[0] for row in door.cluster.log.db.execute("SELECT key FROM entries")]
    before = proxy.up_bytes
    async with client_of(tmp_path, proxy.address) as another:
        told: list[int] = []
        result = await another.put(PATH, make(file), progress=lambda done, total: told.append(done))  # type: ignore
    assert (result.generation, await stored(door)) == (1, DATA)
    assert proxy.up_bytes - before < len(DATA) * 3 // 4, "what was there was not sent again"
    assert proxy.up_bytes <= len(DATA) + parts_module.STREAMS * PART + 2 * HEADS
    assert told[-1] == len(DATA)
    assert records(tmp_path) == [] and held(door) == (0, 0)


async def test_bytes_that_changed_here_since_are_sent_anew_even_if_the_times_are_the_same(
        door: Door, client: AsyncFluffy, proxy: CuttingProxy, file: Path) -> None:
    times = os.stat(file)
    await cancelled_in_the_middle(client, proxy, file)
    changed = bytearray(DATA)
    changed[PART + 5] ^= 0xFF
    rewrite(file, changed)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = await client.put(PATH, file)
    assert await stored(door) == bytes(changed) and result.blake3 == blake3(changed).hexdigest()


async def test_another_version_of_the_local_file_is_another_upload(door: Door, client: AsyncFluffy,
                                                                   proxy: CuttingProxy, file: Path) -> None:
    await cancelled_in_the_middle(client, proxy, file)
    rewrite(file, DATA[::-1])
    await client.put(PATH, file)
    assert await stored(door) == DATA[::-1]
    assert held(door)[0] == 1, "the old session ends by its lease"


async def test_a_file_that_changes_while_it_is_read_is_refused_and_leaves_nothing(
        door: Door, client: AsyncFluffy, file: Path, tmp_path: Path) -> None:
    def change(done: int, total: int | None) -> None:
        if done > len(DATA) // 2:
            os.utime(file, (1, 1))
    with pytest.raises(LocalFileFailed, match="changed"):
        await client.put(PATH, file, progress=change)
    assert held(door) == (0, 0) and door.files() == 0 and records(tmp_path) == []


async def test_a_complete_whose_answer_and_whose_client_were_lost_is_found_not_repeated(
        door: Door, client: AsyncFluffy, proxy: CuttingProxy, file: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Resumes, "drop", lambda self, key: None)  # as if the client had died just before
        assert (await client.put(PATH, file)).generation == 1
    before = proxy.up_bytes
    assert (await client.put(PATH, file)).generation == 1, "this was that upload"
    assert proxy.up_bytes - before < HEADS and records(tmp_path) == []
    assert (await client.put(PATH, file)).generation == 2, "and this is a new one"


async def test_an_old_record_of_a_finished_upload_does_not_hide_that_the_file_has_changed(
        door: Door, client: AsyncFluffy, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Resumes, "drop", lambda self, key: None)
        await client.put(PATH, file)
    await client.put(PATH, b"somebody else's")
    assert (await client.put(PATH, file)).generation == 3
    assert await stored(door) == DATA


async def test_one_request_id_is_one_upload_for_ever(door: Door, client: AsyncFluffy, proxy: CuttingProxy,
                                                     file: Path) -> None:
    for _ in range(2):
        assert (await client.put(PATH, file, request_id="mine")).generation == 1
    await client.put(PATH, b"newer")
    assert (await client.put(PATH, file, request_id="mine")).generation == 1, "the first answer, and nothing changed"
    assert await stored(door) == b"newer"
    with pytest.raises(RequestIdReused):
        await client.put(PATH, bytes(len(DATA)), request_id="mine")


async def test_an_upload_that_somebody_ended_begins_anew(door: Door, client: AsyncFluffy, proxy: CuttingProxy,
                                                         file: Path) -> None:
    async with asyncio.TaskGroup() as group:
        put = group.create_task(client.put(PATH, file))
        await proxy.wait_for_bytes(len(DATA) // 2)
        [(upload_id,)] = door.cluster.log.db.execute("SELECT upload_id FROM uploads").fetchall()
        door.cluster.log.apply(AbortUpload(header(), upload_id))
    assert put.result().generation == 1 and await stored(door) == DATA
    assert held(door) == (0, 0)


async def test_two_clients_with_the_same_upload_make_one_file(door: Door, client: AsyncFluffy, proxy: CuttingProxy,
                                                              file: Path, tmp_path: Path) -> None:
    await cancelled_in_the_middle(client, proxy, file, len(DATA) // 4)
    async with client_of(tmp_path, proxy.address) as second:
        results = await asyncio.gather(client.put(PATH, file), second.put(PATH, file))
    assert await stored(door) == DATA
    assert {result.blake3 for result in results} == {blake3(DATA).hexdigest()}
    check_state(door.cluster.log.db)


async def test_a_quota_exceeded_in_the_middle_refuses_the_upload_and_nothing_stays(
        door: Door, client: AsyncFluffy, proxy: CuttingProxy, file: Path, tmp_path: Path) -> None:
    door.cluster.log.apply(SetQuota(header(), "bucket", "admin", len(DATA) // 2, None))
    with pytest.raises(QuotaExceeded):
        await client.put(PATH, file)
    assert proxy.up_bytes < HEADS, "the announced size decides before anything is sent"
    door.cluster.log.apply(SetQuota(header(), "bucket", "admin", None, None))
    async with asyncio.TaskGroup() as group:
        put = group.create_task(refused(client, file, QuotaExceeded))
        await proxy.wait_for_bytes(len(DATA) // 2)
        door.cluster.log.apply(SetQuota(header(), "bucket", "admin", len(DATA) // 2, None))
    assert put.result() == "QuotaExceeded"
    assert held(door) == (0, 0) and door.files() == 0 and records(tmp_path) == []
    check_state(door.cluster.log.db)


async def refused(client: AsyncFluffy, file: Path, error: type[FluffyError], **options: str) -> str:
    with pytest.raises(error) as caught:
        await client.put(PATH, file, **options)  # type: ignore[arg-type]
    return caught.value.code()


async def test_a_condition_that_fails_at_the_end_ends_the_session(door: Door, client: AsyncFluffy,
                                                                  proxy: CuttingProxy, file: Path,
                                                                  tmp_path: Path) -> None:
    etag = (await client.put(PATH, b"old")).etag
    async with asyncio.TaskGroup() as group:
        put = group.create_task(refused(client, file, PreconditionFailed, if_match=etag))
        await proxy.wait_for_bytes(len(DATA) // 2)
        group.create_task(door.put("admin/big", b"changed meanwhile"))
    assert put.result() == "PreconditionFailed" and await stored(door) == b"changed meanwhile"
    assert held(door) == (0, 0) and records(tmp_path) == []


async def test_a_locked_file_can_be_uploaded_when_the_lock_is_gone(door: Door, client: AsyncFluffy, proxy: CuttingProxy,
                                                                   file: Path) -> None:
    async with client.lock(PATH) as lock:
        assert await refused(client, file, FileLocked) == "FileLocked"
        assert (await client.put(PATH, file, lock=lock)).generation == 1
        async with asyncio.TaskGroup() as group:
            put = group.create_task(refused(client, file, FileLocked, lock="somebody else's"))
        assert put.result() == "FileLocked"
    before = proxy.up_bytes
    assert (await client.put(PATH, file)).generation == 2
    assert proxy.up_bytes - before >= len(DATA)


@pytest.mark.parametrize("spoil", ["garbage", "read-only", "other session"])
async def test_a_record_that_is_no_use_costs_no_more_than_a_new_beginning(
        door: Door, client: AsyncFluffy, proxy: CuttingProxy, file: Path, tmp_path: Path, spoil: str) -> None:
    await cancelled_in_the_middle(client, proxy, file)
    [record] = records(tmp_path)
    match spoil:
        case "garbage":
            record.write_bytes(b"\xff{")
        case "read-only":
            (tmp_path / "state").rename(tmp_path / "gone")
            (tmp_path / "state").write_bytes(b"a file where the folder should be")
        case "other session":
            record.write_text(record.read_text().replace('"upload_id": "', '"upload_id": "00'))
    assert (await client.put(PATH, file)).generation == 1
    assert await stored(door) == DATA


async def test_a_file_whose_hash_nobody_knows_is_read_like_any_other(door: Door, client: AsyncFluffy,
                                                                     tmp_path: Path) -> None:
    async with door.client.post(f"{door.url}/v1/uploads", json={"path": PATH}) as answer:
        upload = (await answer.json())["id"]
    for number in range(1, 4):
        async with door.client.put(f"{door.url}/v1/uploads/{upload}/parts/{number}",
                                   data=DATA[(number - 1) * 100_001:number * 100_001]) as answer:
            assert answer.status == 200
    async with door.client.post(f"{door.url}/v1/uploads/{upload}/complete", json={}) as answer:
        assert (await answer.json())["blake3"] is None
    whole = DATA[:300_003]
    assert await client.get(PATH) == whole
    assert await client.get(PATH, offset=100_000, length=3) == whole[100_000:100_003]
    assert (await client.info(PATH)).blake3 == "" and (await client.head(PATH)).blake3 is None
    fetched = await client.download(PATH, tmp_path / "out")
    assert fetched.local.read_bytes() == whole
    assert (await client.copy(PATH, "/admin/copy")) is not None
    assert await stored(door, "/admin/copy") == whole
