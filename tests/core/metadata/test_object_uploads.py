"""S3's multipart uploads in the state: where objects may stand, what the whole is told, doors kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from fluffy.base.object_keys import object_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_object_uploads import BeginObject, CompleteObject, PutObjectPart
from fluffy.core.metadata.commands_s3 import SetBucketDocument
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, PutPart
from fluffy.core.metadata.queries_object_uploads import object_parts, object_upload, object_uploads
from tests.core.metadata.test_objects import put_object
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, chunk, nodes
from tests.support.metadata_recount import check_state

UPLOAD = b"u" * 16
LENGTH = 100


@pytest.fixture
def state() -> Iterator[MemoryState]:
    with closing(MemoryState(genesis_command(at_ms=0, write_quorum=2))) as memory:
        yield memory
        check_state(memory.db)


def begin(key: str = "k", upload: bytes = UPLOAD) -> BeginObject:
    return BeginObject(header(at_ms=AT_MS), upload, f"admin/{key}", 86_400_000, LENGTH, None, "a/b",
                       {"m": "1", "@upload-sum": "crc32", "@cache-control": "x"}, {"t": "v"})


def part(number: int, upload: bytes = UPLOAD) -> PutObjectPart:
    return PutObjectPart(header(at_ms=AT_MS), upload, number, LENGTH, number.to_bytes(32, "big"), f"{number:032x}",
                         ((chunk(number), LENGTH),), (nodes(1, 2),), sums={"crc32": "AAAAAA=="})


def complete(*numbers: int, upload: bytes = UPLOAD) -> CompleteObject:
    return CompleteObject(header(at_ms=AT_MS), upload, tuple((number, number.to_bytes(16,
                                                                                      "big")) for number in numbers),
                          None, b"", "0" * 32 + f"-{len(numbers)}", None, False, b"", {"@parts": "2x100"})


@pytest.mark.parametrize("key", ["k", "d/e/k", "d/", "a"])
def test_parts_become_an_object_wherever_one_may_stand(state: MemoryState, key: str) -> None:
    state.accept(put_object("admin/a/b"))  # a folder `a`, beside which the object `a` may stand
    state.run(begin(key), part(1), part(3))
    facts = state.accept(complete(1, 3)).facts
    assert (facts["size"], facts["etag"]) == (2 * LENGTH, "0" * 32 + "-2")
    found = queries.file_version(state.db, object_path("admin", key))
    assert found is not None and found.etag == "0" * 32 + "-2" and found.tags == {"t": "v"}
    assert found.meta == {"m": "1", "@cache-control": "x", "@parts": "2x100"}, "what is about the session ended with it"
    assert [ref.chunk_id for ref in found.chunks] == [chunk(1), chunk(3)]
    assert state.accept(complete(1, 3)).facts == facts, "the answer that was lost is given again"


def test_sessions_and_parts_can_be_looked_at(state: MemoryState) -> None:
    for number, key in enumerate(["b", "a", "a"]):
        state.accept(begin(key, bytes([number]) * 16))
    state.accept(part(2, b"\0" * 16))
    found = object_uploads(state.db, "admin", "", 0)
    assert [(upload.key, upload.upload_id[0]) for upload in found] == [("a", 1), ("a", 2), ("b", 0)]
    assert [upload.key for upload in object_uploads(state.db, "admin", "b", 0)] == ["b"]
    upload = object_upload(state.db, b"\0" * 16, 0)
    assert upload is not None and upload.meta["@upload-sum"] == "crc32"
    [seen] = object_parts(state.db, upload.no, 0, 10)
    assert (seen.number, seen.size, seen.md5, seen.sums) == (2, LENGTH, f"{2:032x}", {"crc32": "AAAAAA=="})
    assert object_parts(state.db, upload.no, 2, 10) == ()
    state.accept(AbortUpload(header(at_ms=AT_MS), b"\0" * 16))
    assert object_upload(state.db, b"\0" * 16, 0) is None


def test_a_session_goes_on_through_the_door_that_began_it(state: MemoryState) -> None:
    state.accept(begin())
    native = PutPart(header(at_ms=AT_MS), UPLOAD, 1, LENGTH, b"r" * 32, "", ((chunk(1), LENGTH),), (nodes(1, 2),))
    assert state.reject(native).code == "RequestError"
    assert state.reject(CompleteUpload(header(at_ms=AT_MS), UPLOAD, ())).code == "RequestError"
    other = b"v" * 16
    state.accept(BeginUpload(header(at_ms=AT_MS), other, "admin/n", 86_400_000, LENGTH, None, "", {}, {}))
    assert state.reject(part(1, other)).code == "RequestError"
    assert object_upload(state.db, other, 0) is None


def test_parts_that_are_not_those_named_are_refused(state: MemoryState) -> None:
    state.run(begin(), part(1))
    assert state.reject(complete(1, 2)).code == "PartsMissing"
    wrong = CompleteObject(header(at_ms=AT_MS), UPLOAD, ((1, b"x" * 16),), None, b"", "0-1")
    assert state.reject(wrong).code == "PartsMissing"


def test_the_object_of_a_bucket_with_versions_gets_an_id(state: MemoryState) -> None:
    state.accept(SetBucketDocument(header(at_ms=AT_MS), "admin", "versioning", b"Enabled"))
    state.run(begin(), part(1))
    assert state.accept(complete(1)).facts["version_no"] > 0


def test_an_object_begins_in_a_bucket_that_is_there(state: MemoryState) -> None:
    missing = BeginObject(header(at_ms=AT_MS), UPLOAD, "nobody/k", 86_400_000, LENGTH, None, "", {}, {})
    assert state.reject(missing).code == "BucketNotFound"
