"""Chunk files: durable, checked on each read, bad ones set aside, nothing left behind after a failure."""

import errno
import os
import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, DiskFailed, DiskFull, RangeIllegal
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.units import KIB, MIB
from fluffy.drivers import chunk_files, chunk_reads, direct_io
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.chunk_quarantine import Quarantine
from fluffy.drivers.folder_sync import FolderSync
from fluffy.wire.chunk_record import BLOCK_BYTES

SIZES = [1, 4095, 4096, 4097, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 12345]


def bytes_of(size, seed=0):
    return random.Random(seed * 1_000_003 + size).randbytes(size)


@pytest.fixture
def store(tmp_path):
    files = ChunkFiles(tmp_path)
    yield files
    files.close()


def put(store, data):
    chunk_id = chunk_id_of(data)
    store.put(chunk_id, xxh3_of(data), memoryview(data))
    return chunk_id


def read_all(store, chunk_id, size):
    out = bytearray(size)
    store.read(chunk_id, 0, memoryview(out))
    return bytes(out)


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 1]))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_is_read_whole_by_any_way(store, size):
    data = bytes_of(size)
    chunk_id = put(store, data)
    assert store.length(chunk_id) == size
    assert store.xxh3(chunk_id) == xxh3_of(data)
    assert read_all(store, chunk_id, size) == data
    file = store.open_verified(chunk_id, 0, size)
    assert os.pread(file.fd, size, file.offset) == data
    file.close()
    file.close()


@pytest.mark.parametrize("size", [MIB, 3 * MIB + 12345])
def test_aligned_memory_is_written_and_read_past_the_page_cache_with_the_same_result(store, size):
    data = bytes_of(size, 7)
    pool = BufferPool(4 * MIB, 2)
    with pool.try_acquire() as source, pool.try_acquire() as target:
        source.view[:size] = data
        store.put(chunk_id_of(data), xxh3_of(data), source.view[:size])
        path = store.path_of(chunk_id_of(data))
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        store.read(chunk_id_of(data), 0, target.view[:size])
        assert target.view[:size] == data
        assert path.stat().st_size % 4096 == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2 * MIB + 99), st.integers(1, 2 * MIB + 100), st.booleans())
def test_any_part_is_read_exactly(store, offset, length, drop_cache):
    data = bytes_of(2 * MIB + 100, 3)
    chunk_id = chunk_id_of(data)
    if not store.path_of(chunk_id).exists():
        put(store, data)
    length = min(length, len(data) - offset)
    if drop_cache:
        fd = os.open(store.path_of(chunk_id), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    with BufferPool(4 * MIB, 1).try_acquire() as buffer:
        store.read(chunk_id, offset, buffer.view[:length])
        assert buffer.view[:length] == data[offset:offset + length]


def test_a_part_outside_the_chunk_is_refused_and_the_chunk_stays(store):
    chunk_id = put(store, bytes_of(5000))
    for offset, length in [(0, 5001), (5000, 1), (4999, 2)]:
        with pytest.raises(RangeIllegal):
            store.read(chunk_id, offset, memoryview(bytearray(length)))
    assert store.length(chunk_id) == 5000


def test_bytes_that_do_not_match_their_hash_are_not_stored(store):
    data = bytes_of(100_000)
    with pytest.raises(ChunkCorrupt):
        store.put(chunk_id_of(data), xxh3_of(data + b"x"), memoryview(data))
    with pytest.raises(ChunkNotFound):
        store.length(chunk_id_of(data))


@pytest.mark.parametrize("size", [5000, 700_000, 2 * MIB + 5])
@pytest.mark.parametrize("where", ["first byte", "last byte", "record"])
def test_a_flipped_bit_is_found_by_every_way_of_reading_and_the_copy_goes_to_quarantine(store, size, where):
    data = bytes_of(size)
    byte_at = 0 if where == "first byte" else size - 1
    ways = {
        "read": lambda chunk_id: read_all(store, chunk_id, size),
        "open_verified": lambda chunk_id: store.open_verified(chunk_id, 0, size),
        "part": lambda chunk_id: store.read(chunk_id, byte_at, memoryview(bytearray(1))),
    }
    for way in ways.values():
        chunk_id = put(store, data)
        path = store.path_of(chunk_id)
        flip(path, {"first byte": 0, "last byte": size - 1, "record": path.stat().st_size - 30}[where])
        with pytest.raises(ChunkCorrupt):
            way(chunk_id)
        assert not path.exists()
        with pytest.raises(ChunkNotFound):
            way(chunk_id)
        time.sleep(0.002)  # names in quarantine carry milliseconds
    bad = store.quarantined()
    assert len(bad) == 3
    assert all(one.chunk_id == chunk_id_of(data) and one.path.exists() and one.reason for one in bad)


def test_a_good_part_of_a_bad_chunk_is_still_served_but_not_the_bad_part(store):
    data = bytes_of(2 * MIB)
    chunk_id = put(store, data)
    flip(store.path_of(chunk_id), MIB + 5)
    out = bytearray(1000)
    store.read(chunk_id, 10, memoryview(out))
    assert out == data[10:1010]
    with pytest.raises(ChunkCorrupt):
        store.read(chunk_id, MIB, memoryview(out))


@pytest.mark.parametrize("keep", [0, 1, 79, 80, 4096, 2 * MIB - 1, 2 * MIB, 2 * MIB + 8])
def test_a_truncated_file_is_found(store, keep):
    chunk_id = put(store, bytes_of(2 * MIB))
    os.truncate(store.path_of(chunk_id), keep)
    with pytest.raises(ChunkCorrupt):
        store.length(chunk_id)
    assert len(store.quarantined()) == 1


def test_one_chunk_under_the_name_of_another_is_found(store):
    one, two = put(store, bytes_of(5000, 1)), put(store, bytes_of(5000, 2))
    os.rename(store.path_of(one), store.path_of(two))
    with pytest.raises(ChunkCorrupt):
        read_all(store, two, 5000)


def test_a_second_put_touches_a_good_copy_and_replaces_a_bad_one(store):
    data = bytes_of(2 * MIB + 7)
    chunk_id = put(store, data)
    path = store.path_of(chunk_id)
    os.utime(path, (1000, 1000))
    inode = path.stat().st_ino
    put(store, data)
    assert path.stat().st_ino == inode and path.stat().st_mtime > time.time() - 60
    flip(path, MIB)
    put(store, data)
    assert read_all(store, chunk_id, len(data)) == data
    assert len(store.quarantined()) == 1


def leftovers(tmp_path):
    return [file for file in (tmp_path / "incoming").rglob("*") if file.is_file() and file.name != "owner"]


@pytest.mark.parametrize("size", [5000, 2 * MIB])
@pytest.mark.parametrize("number,error", [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailed)])
def test_a_full_or_failing_disk_leaves_nothing_behind(store, tmp_path, monkeypatch, size, number, error):
    real = os.pwritev
    calls = []

    def failing(fd, parts, offset):
        calls.append(offset)
        if len(calls) == 1:
            return real(fd, [parts[0][:4096]], offset)  # a part of it still goes in
        raise OSError(number, "planted")

    monkeypatch.setattr(direct_io.os, "pwritev", failing)
    data = bytes_of(size)
    with pytest.raises(error):
        put(store, data)
    monkeypatch.undo()
    assert leftovers(tmp_path) == []
    with pytest.raises(ChunkNotFound):
        store.length(chunk_id_of(data))
    put(store, data)


def test_the_reserve_is_kept_free(tmp_path):
    disk = os.statvfs(tmp_path)
    store = ChunkFiles(tmp_path, reserve_bytes=disk.f_blocks * disk.f_frsize)
    assert store.free_bytes() == 0
    with pytest.raises(DiskFull):
        put(store, bytes_of(10))
    store.close()


def test_a_failing_sync_is_not_an_acknowledgement(store, tmp_path, monkeypatch):
    def failing(fd):
        raise OSError(errno.EIO, "planted")

    monkeypatch.setattr(chunk_files.os, "fdatasync", failing)
    with pytest.raises(DiskFailed):
        put(store, bytes_of(5000))
    assert leftovers(tmp_path) == []


def test_put_returns_only_after_data_and_folder_are_synced_in_that_order(store, monkeypatch):
    story = []
    real_data, real_rename, real_sync = os.fdatasync, os.rename, os.fsync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (story.append("data"), real_data(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (story.append("rename"), real_rename(a, b)))
    monkeypatch.setattr(os, "fsync", lambda fd: (story.append("folder"), real_sync(fd)))
    put(store, bytes_of(5000))
    assert story[-3:] == ["data", "rename", "folder"]
    story.clear()
    put(store, bytes_of(5000))  # already there: a killed predecessor may have left it unsynced
    assert story == ["data", "folder"]


def test_without_fsync_nothing_is_synced(tmp_path, monkeypatch):
    def never(fd):
        raise AssertionError("synced")

    store = ChunkFiles(tmp_path, fsync=False)
    monkeypatch.setattr(os, "fdatasync", never)
    monkeypatch.setattr(os, "fsync", never)
    assert read_all(store, put(store, bytes_of(2 * MIB)), 2 * MIB) == bytes_of(2 * MIB)
    store.close()


def test_unfinished_files_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    alive = ChunkFiles(tmp_path)
    mine = alive._incoming.path / "7"
    mine.write_bytes(b"in work")
    dead = tmp_path / "incoming" / "0123"
    dead.mkdir()
    (dead / "owner").touch()
    (dead / "3").write_bytes(b"half a chunk")
    other = ChunkFiles(tmp_path)
    assert not dead.exists() and mine.exists()
    alive.close()
    other.close()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_delete_spares_what_was_touched_since(store):
    chunk_id = put(store, bytes_of(5000))
    now_ms = int(time.time() * 1000)
    assert store.delete(chunk_id, unless_touched_since_ms=now_ms - 60_000) is False
    assert store.delete(chunk_id, unless_touched_since_ms=now_ms + 60_000) is True
    assert store.delete(chunk_id) is False
    put(store, bytes_of(5000))
    assert store.delete(chunk_id) is True


def test_a_time_far_in_the_future_spares_a_file_only_when_no_end_is_given(store):
    chunk_id = put(store, bytes_of(5000))
    now_ms = int(time.time() * 1000)
    os.utime(store.path_of(chunk_id), ((now_ms + 86_400_000) / 1000,) * 2)
    assert store.delete(chunk_id, now_ms) is False
    assert store.delete(chunk_id, now_ms, now_ms + 90_000_000) is False
    assert store.delete(chunk_id, now_ms, now_ms + 600_000) is True


def test_a_put_and_a_sweep_at_once_never_lose_an_acknowledged_chunk(store):
    data = bytes_of(5000)
    chunk_id = put(store, data)
    path = store.path_of(chunk_id)
    stop = threading.Event()

    def sweep():
        while not stop.is_set():
            store.delete(chunk_id, unless_touched_since_ms=int(time.time() * 1000) - 5000)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for _ in range(200):
            if path.exists():
                os.utime(path, (1000, 1000))
            put(store, data)
            assert path.exists()
    finally:
        stop.set()
        sweeper.join()


def test_scan_gives_every_good_chunk_once_and_sets_bad_ones_aside(store):
    sizes = {put(store, bytes_of(size, 5)): size for size in range(1000, 1040)}
    bad = next(iter(sizes))
    os.truncate(store.path_of(bad), 500)
    (store.path_of(bad).parent / "stray").write_bytes(b"?")
    found = {chunk.chunk_id: chunk for chunk in store.scan()}
    assert set(found) == set(sizes) - {bad}
    assert all(chunk.length == sizes[chunk_id] for chunk_id, chunk in found.items())
    assert all(abs(chunk.modified_ms - time.time() * 1000) < 60_000 for chunk in found.values())
    assert [one.chunk_id for one in store.quarantined()] == [bad]


def test_a_chunk_that_is_removed_while_it_is_read_is_read_to_its_end(store, monkeypatch):
    data = bytes_of(3 * MIB)
    chunk_id = put(store, data)
    monkeypatch.setattr(chunk_reads, "_read_cached", lambda *arguments: store.delete(chunk_id) and False)
    with BufferPool(4 * MIB, 1).try_acquire() as buffer:
        store.read(chunk_id, 0, buffer.view[:3 * MIB])
        assert buffer.view[:3 * MIB] == data
    with pytest.raises(ChunkNotFound):
        store.length(chunk_id)


def test_an_unreadable_sector_sends_the_copy_to_quarantine_but_a_lack_of_memory_does_not(store, monkeypatch):
    chunk_id = put(store, bytes_of(5000))
    for number, error, stays in [(errno.ENOMEM, DiskFailed, True), (errno.EIO, ChunkCorrupt, False)]:
        def failing(fd, parts, offset, flags=0, number=number):
            raise OSError(number, "planted")

        with monkeypatch.context() as patch:
            patch.setattr(os, "preadv", failing)
            with pytest.raises(error):
                read_all(store, chunk_id, 5000)
        assert store.path_of(chunk_id).exists() is stays


def test_concurrent_folder_syncs_are_shared(tmp_path, monkeypatch):
    sync = FolderSync()
    entered, gate = threading.Event(), threading.Event()
    real = os.fsync

    def slow(fd):
        entered.set()
        assert gate.wait(10)
        real(fd)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=sync.sync, args=(tmp_path,)) for _ in range(20)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while sync._turns[tmp_path].users < 20:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert sync.syncs == 2  # the one that ran, and one for all who came meanwhile
    assert sync._turns == {}


def test_each_waiter_of_a_failed_folder_sync_hears_of_it_or_syncs_itself(tmp_path, monkeypatch):
    sync = FolderSync()
    outcomes = []
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "planted")))

    def run():
        try:
            sync.sync(tmp_path)
            outcomes.append("fine")
        except OSError:
            outcomes.append("failed")

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["failed"] * 5


def test_many_threads_storing_the_same_chunk_agree(store):
    data = bytes_of(2 * MIB)
    threads = [threading.Thread(target=put, args=(store, data)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_all(store, chunk_id_of(data), len(data)) == data
    assert store.quarantined() == []


def test_a_bad_copy_is_set_aside_even_when_its_reason_cannot_be_written(store, monkeypatch, caplog):
    def full(self, text):
        raise OSError(errno.ENOSPC, "planted")

    monkeypatch.setattr(Path, "write_text", full)
    chunk_id = put(store, bytes_of(5000))
    flip(store.path_of(chunk_id), 3)
    with pytest.raises(ChunkCorrupt):
        read_all(store, chunk_id, 5000)
    (bad,) = store.quarantined()
    assert bad.chunk_id == chunk_id and bad.reason == "not recorded"
    assert [record.message for record in caplog.records] == ["quarantine.reason_lost"]


def test_quarantine_keeps_the_newest_of_many(tmp_path):
    quarantine = Quarantine(tmp_path / "quarantine", kept_max=3)
    for number in range(6):
        file = tmp_path / "bad"
        file.write_bytes(b"x" * KIB)
        quarantine.take(file, chunk_id_of(b"%d" % number), "planted", number)
    assert [one.at_ms for one in quarantine.list()] == [3, 4, 5]
    assert len(list((tmp_path / "quarantine").iterdir())) == 6
