"""Uploads in parts: the largest ones, rules that change meanwhile, and bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from fluffy.base.ids import ChunkId, UserNo
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS, MIB
from fluffy.core.metadata import queries, upload_table
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.commands_people import AddUser, GiveBucket, SetGrant, SetQuota
from fluffy.core.metadata.commands_tree import Move, SetBucketRules
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, ExpireUploads, PutPart
from fluffy.core.metadata.file_body import FILE_CHUNKS_MAX
from fluffy.wire.log_entries import encode_command, encode_group, group_bytes
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, CLUSTER, chunk, forget, nodes, put, put_chunks
from tests.support.metadata_recount import check_state

UPLOAD = b"u" * 16
PART_SIZE = 8 * MIB
ADMIN = UserNo(1)


@pytest.fixture
def state() -> Iterator[MemoryState]:
    with closing(MemoryState(genesis_command(at_ms=0, write_quorum=2))) as memory:
        yield memory
        check_state(memory.db)


def begin(path: str = "admin/big", *, upload: bytes = UPLOAD, user: UserNo = ADMIN, at_ms: int = AT_MS,
          size: int | None = None, lease_ms: int = DAY_MS) -> BeginUpload:
    return BeginUpload(header(user, at_ms), upload, path, lease_ms, PART_SIZE, size, "a/b", {}, {})


def part(number: int, *numbers: int, upload: bytes = UPLOAD, user: UserNo = ADMIN, at_ms: int = AT_MS,
         length: int = PART_SIZE) -> PutPart:
    """A part of the chunks with these numbers; its hash is made of its own."""
    return PutPart(header(user, at_ms), upload, number, length * len(numbers), number.to_bytes(32, "big"), "",
                   tuple((chunk(no), length) for no in numbers), tuple(nodes(1, 2) for _ in numbers))


def complete(*, upload: bytes = UPLOAD, user: UserNo = ADMIN, at_ms: int = AT_MS,
             parts: tuple[tuple[int, bytes], ...] = ()) -> CompleteUpload:
    return CompleteUpload(header(user, at_ms), upload, parts)


def chunks_of(state: MemoryState, path: str = "admin/big") -> tuple[ChunkId, ...]:
    found = queries.file_version(state.db, parse_path(path))
    assert found is not None
    return tuple(ref.chunk_id for ref in found.chunks)


def test_ten_thousand_parts_of_80_gib_are_completed_by_one_small_command_at_once(state: MemoryState) -> None:
    state.accept(begin(size=10_000 * PART_SIZE))
    for start in range(1, 10_001, 500):
        state.run(*(part(number, number) for number in range(start, start + 500)))
    command = complete(parts=tuple((number, number.to_bytes(32, "big")) for number in range(1, 10_001)))
    assert group_bytes([encode_command(command)]) < 450_000
    assert encode_group([encode_command(command)])
    rows = state.db.execute("SELECT count(*), sum(refs) FROM chunks").fetchone()
    began_s = time.process_time()
    facts = state.accept(command).facts
    assert time.process_time() - began_s < 0.5, "the log stands still meanwhile; measured: 0.03 s"
    assert (facts["size"], facts["chunks"], facts["blake3"]) == (10_000 * PART_SIZE, 10_000, b"")
    assert facts["etag"].endswith("-10000")
    assert state.db.execute("SELECT count(*), sum(refs) FROM chunks").fetchone() == rows
    assert chunks_of(state) == tuple(chunk(number) for number in range(1, 10_001))


def test_a_session_never_holds_more_chunks_than_a_file_may_have(state: MemoryState) -> None:
    state.accept(begin())
    half = FILE_CHUNKS_MAX // 2
    state.accept(part(1, *range(half)))
    state.accept(part(2, *range(half)))
    assert state.reject(part(3, 1)).code == "TooLarge"
    state.accept(part(2, *range(half - 1)))
    state.accept(part(3, 1))
    assert state.accept(complete()).facts["chunks"] == FILE_CHUNKS_MAX


def test_what_nobody_named_and_what_was_ended_is_freed_bit_by_bit(state: MemoryState) -> None:
    state.accept(begin())
    for number in range(1, 12):
        state.accept(part(number, *range(1_000 * number, 1_000 * number + 500)))
    state.accept(complete(parts=((1, b""), (2, b""))))
    left = state.db.execute("SELECT count(*) FROM upload_parts").fetchone()[0]
    assert left == 8, "the completing frees a part or so"
    outcome = state.accept(ExpireUploads(header(CLUSTER, AT_MS), 1, 10))
    assert (outcome.facts["freed"], outcome.facts["more"]) == (8, False)
    assert state.db.execute("SELECT count(*) FROM chunks WHERE refs > 0").fetchone() == (1_000,)
    state.accept(begin(upload=b"v" * 16))
    for number in range(1, 12):
        state.accept(part(number, *range(1_000 * number, 1_000 * number + 500), upload=b"v" * 16))
    state.accept(AbortUpload(header(at_ms=AT_MS), b"v" * 16))
    first = state.accept(ExpireUploads(header(CLUSTER, AT_MS), 1, 10))
    second = state.accept(ExpireUploads(header(CLUSTER, AT_MS), 1, 10))
    assert first.facts["more"] and not second.facts["more"]
    assert state.db.execute("SELECT count(*) FROM upload_parts").fetchone() == (0,)


def test_chunks_of_a_living_session_are_never_forgotten_however_long_it_takes(state: MemoryState) -> None:
    state.accept(begin())
    state.accept(part(1, 7))
    for day in range(1, 6):
        at_ms = day * (DAY_MS - 1)
        state.accept(part(2, 8, at_ms=at_ms))
        assert state.accept(forget(7, 8, at_ms=at_ms)).facts["forgotten"] == 0
    assert state.accept(complete(at_ms=6 * DAY_MS - 10)).facts["chunks"] == 2


def test_a_lease_that_is_over_in_log_time_ends_the_session_before_anybody_sweeps(state: MemoryState) -> None:
    state.accept(begin(lease_ms=1_000))
    state.accept(part(1, 1, at_ms=AT_MS + 999))
    state.accept(part(2, 2, at_ms=AT_MS + 1_998))
    late_ms = AT_MS + 2_998
    for command in (part(3, 3, at_ms=late_ms), complete(at_ms=late_ms), AbortUpload(header(at_ms=late_ms), UPLOAD)):
        assert state.reject(command).code == "UploadNotFound"
    assert state.reject(begin(at_ms=late_ms)).code == "RequestError", "its name is not free yet"
    assert state.accept(ExpireUploads(header(CLUSTER, late_ms), 1, 10)).facts == {
        "ended": 1, "freed": 2, "more": False}


def test_only_the_leader_of_now_ends_sessions(state: MemoryState) -> None:
    assert state.reject(ExpireUploads(header(CLUSTER, AT_MS), 0, 10)).code == "TermStale"
    state.accept(AddUser(header(at_ms=AT_MS), "bob", "user"))
    bob = state.db.execute("SELECT user_no FROM users WHERE name = 'bob'").fetchone()[0]
    assert state.reject(ExpireUploads(header(UserNo(bob), AT_MS), 1, 10)).code == "AccessDenied"


def test_a_right_taken_away_in_the_middle_stops_the_next_part(state: MemoryState) -> None:
    state.accept(AddUser(header(at_ms=AT_MS), "bob", "user"))
    bob = UserNo(state.db.execute("SELECT user_no FROM users WHERE name = 'bob'").fetchone()[0])
    state.accept(SetGrant(header(at_ms=AT_MS), "admin", "bob", "write"))
    state.accept(begin(user=bob))
    state.accept(part(1, 1, user=bob))
    state.accept(SetGrant(header(at_ms=AT_MS), "admin", "bob", "read"))
    for command in (part(2, 2, user=bob), complete(user=bob), AbortUpload(header(bob, AT_MS), UPLOAD)):
        assert state.reject(command).code == "AccessDenied"
    state.accept(part(2, 2))
    assert state.accept(complete()).facts["chunks"] == 2, "the bucket's owner goes on"


def test_what_sessions_hold_is_paid_by_the_bucket_s_owner_of_now(state: MemoryState) -> None:
    for name in ("bob", "eve"):
        state.accept(AddUser(header(at_ms=AT_MS), name, "user"))
        state.accept(SetQuota(header(at_ms=AT_MS), "user", name, 3 * PART_SIZE, None))
    state.accept(MakeFolder(header(at_ms=AT_MS), "shared"))
    state.accept(GiveBucket(header(at_ms=AT_MS), "shared", "bob"))
    state.accept(begin("shared/a"))
    state.accept(begin("bob/b", upload=b"v" * 16))
    state.accept(part(1, 1, 2))
    state.accept(part(1, 3, upload=b"v" * 16))
    assert state.reject(part(2, 4, upload=b"v" * 16)).code == "QuotaExceeded"
    state.accept(GiveBucket(header(at_ms=AT_MS), "shared", "eve"))
    state.accept(part(1, 1, 2, 5))
    assert state.reject(part(2, 6)).code == "QuotaExceeded"
    state.accept(part(2, 4, upload=b"v" * 16))


def test_a_replacing_upload_pays_only_for_what_it_adds(state: MemoryState) -> None:
    state.accept(put_chunks("admin/big", 1, 2, length=PART_SIZE))
    state.accept(SetQuota(header(at_ms=AT_MS), "bucket", "admin", 3 * PART_SIZE, None))
    state.accept(begin(size=3 * PART_SIZE))
    state.accept(part(1, 3, 4, 5))
    assert state.reject(part(2, 6)).code == "QuotaExceeded"
    assert state.accept(complete()).facts["generation"] == 2


def test_more_copies_wanted_since_the_part_came_are_wanted_of_the_file(state: MemoryState) -> None:
    state.accept(SetBucketRules(header(at_ms=AT_MS), "admin", None, None, 2))
    state.accept(begin())
    state.accept(part(1, 1))
    state.accept(SetBucketRules(header(at_ms=AT_MS), "admin", None, None, 3))
    state.accept(complete())
    assert [missing.wanted for missing in queries.missing_chunks(state.db, None, 10)] == [3]


def test_a_session_stays_with_its_path_when_what_stood_there_moves(state: MemoryState) -> None:
    state.accept(put("admin/d/big", b"old"))
    state.accept(begin("admin/d/big"))
    state.accept(part(1, 1))
    state.accept(Move(header(at_ms=AT_MS), "admin/d", "admin/e"))
    facts = state.accept(complete()).facts
    assert facts["path"] == "admin/d/big" and facts["created"]
    assert chunks_of(state, "admin/d/big") == (chunk(1),)


def test_a_folder_where_the_file_shall_stand_refuses_parts_until_it_is_gone(state: MemoryState) -> None:
    state.accept(begin("admin/x"))
    state.accept(MakeFolder(header(at_ms=AT_MS), "admin/x"))
    assert state.reject(part(1, 1)).code == "IsFolder"
    assert state.reject(complete()).code == "IsFolder"
    state.accept(Move(header(at_ms=AT_MS), "admin/x", "admin/y"))
    state.accept(part(1, 1))
    state.accept(complete())


def test_sessions_are_bounded_and_those_whose_time_is_over_make_room(state: MemoryState,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_table, "UPLOADS_OF_USER_MAX", 3)
    for number in range(3):
        state.accept(begin(upload=bytes([number]) * 16))
    assert state.reject(begin()).code == "TooLarge"
    state.accept(begin(at_ms=AT_MS + DAY_MS))


def test_finished_uploads_are_remembered_up_to_a_number(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_table, "FINISHED_MAX", 20)
    monkeypatch.setattr(upload_table, "CUT_BATCH", 10)
    for number in range(1, 41):
        upload = number.to_bytes(16, "big")
        state.accept(begin(f"admin/{number}", upload=upload))
        state.accept(part(1, 1, upload=upload))
        state.accept(complete(upload=upload))
    kept = [row[0] for row in state.db.execute("SELECT no FROM finished_uploads ORDER BY no")]
    assert kept == list(range(21, 41))
    assert state.reject(complete(upload=(5).to_bytes(16, "big"))).code == "UploadNotFound"
    assert state.accept(complete(upload=(30).to_bytes(16, "big"))).facts["path"] == "admin/30"
