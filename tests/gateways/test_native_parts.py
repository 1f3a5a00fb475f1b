"""Uploads in parts over HTTP: any order, again, through errors; one file at the end, or none and nothing left."""

from __future__ import annotations

import asyncio
import hashlib
import os
from base64 import b64encode
from typing import Any

import pytest
from blake3 import blake3

from fluffy.base.ids import UserNo
from fluffy.base.units import KIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import AddToken
from fluffy.core.metadata.commands_people import AddUser, SetGrant, SetQuota
from fluffy.core.metadata.commands_uploads import ExpireUploads
from tests.support.local_log import header
from tests.support.metadata_recount import check_state
from tests.support.native_door import CHUNK_SIZE, Door

PART = 2 * CHUNK_SIZE
DATA = os.urandom(3 * PART + 777)
PIECES = [DATA[at:at + PART] for at in range(0, len(DATA), PART)]


class Uploader:
    """One user's requests about uploads."""

    def __init__(self, door: Door, token: str | None = None) -> None:
        self._door = door
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self._door.client.request(method, f"{self._door.url}/v1/uploads{path}", headers=sent,
                                             **kind) as answer:
            return answer.status, await answer.json()

    async def begin(self, path: str = "/admin/big", **fields: Any) -> str:
        status, told = await self.ask("POST", "", {"path": path, **fields})
        assert status == 201, told
        return str(told["id"])

    async def put(self, upload: str, number: int, data: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        return await self.ask("PUT", f"/{upload}/parts/{number}", data, **headers)

    async def complete(self, upload: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", f"/{upload}/complete", fields)


@pytest.fixture
def admin(door: Door) -> Uploader:
    return Uploader(door)


def user_of(door: Door, name: str) -> Uploader:
    """A new user with a token of the same name."""
    door.cluster.log.apply(AddUser(header(), name, "user"))
    door.cluster.log.apply(AddToken(header(), name, blake3(name.encode()).digest(), ""))
    return Uploader(door, name)


def parts_held(door: Door) -> int:
    """Parts that take room: of sessions, and of ended ones that are not freed yet."""
    return int(door.cluster.reader.read(lambda db: db.execute("SELECT count(*) FROM upload_parts").fetchone()[0]))


def referenced_chunks(door: Door) -> int:
    return int(door.cluster.reader.read(lambda db: db.execute("SELECT sum(refs) FROM chunks").fetchone()[0] or 0))


async def test_parts_in_any_order_and_at_once_become_one_file(door: Door, admin: Uploader) -> None:
    upload = await admin.begin(size=len(DATA), content_type="video/mp4", meta={"Who": "me"}, tags={"k": "v"})
    order = [4, 2, 1, 3]
    answers = await asyncio.gather(*(admin.put(upload, n, PIECES[n - 1]) for n in order))
    for number, (status, told) in zip(order, answers, strict=True):
        digest = blake3(PIECES[number - 1]).hexdigest()
        assert (status, told["n"], told["size"], told["blake3"]) == (200, number, len(PIECES[number - 1]), digest)
    status, told = await admin.ask("GET", f"/{upload}")
    assert (status, told["state"], told["stored_bytes"]) == (200, "open", len(DATA))
    assert [(part["n"], part["blake3"]) for part in told["parts"]] == [
        (n, blake3(piece).hexdigest()) for n, piece in enumerate(PIECES, start=1)]
    named = [{"n": part["n"], "blake3": part["blake3"]} for part in told["parts"]]
    status, told = await admin.complete(upload, parts=named, size=len(DATA), blake3=blake3(DATA).hexdigest())
    assert (status, told["generation"], told["size"]) == (201, 1, len(DATA))
    assert (told["blake3"], told["etag"]) == (blake3(DATA).hexdigest(), blake3(DATA).hexdigest()[:32])
    answer, body = await door.get("admin/big")
    assert body == DATA
    assert answer.headers["Content-Type"] == "video/mp4" and answer.headers["Fluffy-Meta-who"] == "me"
    assert answer.headers["Fluffy-Tags"] == "k=v"
    assert parts_held(door) == 0


async def test_completing_shares_what_the_parts_hold_and_copies_nothing(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    for number, piece in enumerate(PIECES, start=1):
        await admin.put(upload, number, piece)
    stored, refs = len(door.chunks.stored), referenced_chunks(door)
    assert (await admin.complete(upload))[0] == 201
    assert (len(door.chunks.stored), referenced_chunks(door)) == (stored, refs)
    plain = await door.put("admin/same", DATA)
    assert plain.status == 201
    assert len(door.chunks.stored) == stored, "a plain upload of the same bytes has the same chunks"
    check_state(door.cluster.log.db)


@pytest.mark.parametrize("sizes", [[5 * KIB, 100 * KIB, 1, 70 * KIB], [CHUNK_SIZE + 1, CHUNK_SIZE - 1], [1, 1, 1],
                                   [0], [0, 10, 0]])
async def test_parts_of_any_size_make_a_file_that_every_range_can_be_read_of(door: Door, admin: Uploader,
                                                                             sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)
    upload = await admin.begin()
    for number, piece in enumerate(pieces, start=1):
        assert (await admin.put(upload, number, piece))[0] == 200
    status, told = await admin.complete(upload)
    assert (status, told["size"]) == (201, len(whole))
    assert (await door.get("admin/big"))[1] == whole
    edges = sorted({0, 1, *(sum(sizes[:n]) + off for n in range(len(sizes)) for off in (-1, 0, 1))} & set(
        range(len(whole))))
    for start in edges:
        for end in edges:
            if start <= end:
                answer, body = await door.get("admin/big", Range=f"bytes={start}-{end}")
                assert (answer.status, body) == (206, whole[start:end + 1])


async def test_a_part_again_replaces_the_one_before(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    for piece in (b"first" * 999, b"second", PIECES[0], PIECES[0]):
        assert (await admin.put(upload, 1, piece))[0] == 200
    assert parts_held(door) == 1
    assert referenced_chunks(door) == 2
    assert (await admin.complete(upload))[1]["size"] == PART
    assert (await door.get("admin/big"))[1] == PIECES[0]
    check_state(door.cluster.log.db)


async def test_without_the_hash_of_the_whole_the_file_says_that_nobody_knows_it(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    for number in (1, 2):
        await admin.put(upload, number, PIECES[number - 1])
    told = (await admin.complete(upload, parts=[1, 2]))[1]
    assert told["blake3"] is None and told["etag"].endswith("-2")
    answer, body = await door.get("admin/big")
    assert body == PIECES[0] + PIECES[1] and "Fluffy-Blake3" not in answer.headers
    one = await admin.begin("/admin/one")
    await admin.put(one, 1, PIECES[0])
    told = (await admin.complete(one))[1]
    assert told["blake3"] == blake3(PIECES[0]).hexdigest(), "a file of one part has its hash"


async def test_a_complete_whose_answer_was_lost_gets_it_again_with_any_request_id(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    await admin.put(upload, 1, PIECES[0])
    first = await admin.ask("POST", f"/{upload}/complete", {"parts": [1]}, Fluffy_Request_Id="a")
    for key in ("a", "b", "c"):
        assert await admin.ask("POST", f"/{upload}/complete", {"parts": [1]}, Fluffy_Request_Id=key) == first
    assert (await door.client.get(door.file_url("admin/big"))).headers["Fluffy-Generation"] == "1"
    status, told = await admin.ask("GET", f"/{upload}")
    assert (status, told["state"], told["file"]["generation"]) == (200, "complete", 1)
    for status, told in (await admin.complete(upload, parts=[2]), await admin.put(upload, 2, b"x"),
                         await admin.ask("DELETE", f"/{upload}")):
        assert (status, told["error"]["code"]) == (409, "UploadFinished")


async def test_of_racing_completes_one_makes_the_file_and_all_say_so(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    for number in (1, 2):
        await admin.put(upload, number, PIECES[number - 1])
    answers = await asyncio.gather(*(admin.complete(upload, parts=[1, 2]) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers) and answers[0][0] == 201
    assert answers[0][1]["generation"] == 1


async def test_an_abort_frees_the_parts_and_a_complete_finds_nothing(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    await admin.put(upload, 1, PIECES[0])
    assert await admin.ask("DELETE", f"/{upload}", Fluffy_Request_Id="x") == (
        200, {"id": upload, "path": "/admin/big", "freed": PART})
    assert (await admin.ask("DELETE", f"/{upload}", Fluffy_Request_Id="x"))[0] == 200
    for status, told in (await admin.complete(upload), await admin.put(upload, 1, b"x"),
                         await admin.ask("GET", f"/{upload}"), await admin.ask("DELETE", f"/{upload}")):
        assert (status, told["error"]["code"]) == (404, "UploadNotFound")
    assert (parts_held(door), referenced_chunks(door), door.files()) == (0, 0, 0)


async def test_damaged_parts_are_refused_and_what_was_there_stays(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    await admin.put(upload, 1, PIECES[0])
    wrong, md5 = blake3(b"other").hexdigest(), b64encode(hashlib.md5(b"other").digest()).decode()
    for headers in ({"Fluffy_Blake3": wrong}, {"Content_MD5": md5}):
        status, told = await admin.put(upload, 1, PIECES[1], **headers)
        assert (status, told["error"]["code"]) == (400, "DigestMismatch")
    good = {"Fluffy_Blake3": blake3(PIECES[1]).hexdigest(),
            "Content_MD5": b64encode(hashlib.md5(PIECES[1]).digest()).decode()}
    assert (await admin.put(upload, 2, PIECES[1], **good))[0] == 200
    await admin.complete(upload)
    assert (await door.get("admin/big"))[1] == PIECES[0] + PIECES[1]


@pytest.mark.parametrize("fields, code", [
    ({"parts": [1, 2, 3]}, "PartsMissing"), ({}, "PartsMissing"), ({"parts": [1, 4], "size": 1}, "PartsMissing"),
    ({"parts": [{"n": 1, "blake3": "00" * 32}, 4]}, "PartsMissing"),
    ({"parts": [1], "blake3": "00" * 32}, "DigestMismatch"), ({"parts": [4, 1]}, "QuerySyntax"),
    ({"parts": [1, 1]}, "QuerySyntax"), ({"parts": [0]}, "QuerySyntax"), ({"parts": "all"}, "QuerySyntax"),
    ({"parts": [{"n": 1, "blake3": "xy"}]}, "QuerySyntax"), ({"parts": list(range(1, 10_002))}, "QuerySyntax"),
    ({"what": 1}, "QuerySyntax"), ({"parts": [[]]}, "QuerySyntax"), ({"blake3": 7}, "QuerySyntax")])
async def test_a_complete_of_other_parts_than_there_are_changes_nothing(door: Door, admin: Uploader,
                                                                        fields: dict[str, Any], code: str) -> None:
    upload = await admin.begin()
    for number in (1, 4):
        await admin.put(upload, number, PIECES[number - 1])
    _, told = await admin.complete(upload, **fields)
    assert told["error"]["code"] == code
    if code == "PartsMissing" and "size" not in fields:
        assert set(told["error"]["parts"]) <= {1, 2, 3}
    assert door.files() == 0
    status, told = await admin.complete(upload, parts=[1, 4])
    assert (status, told["size"]) == (201, PART + 777), "named parts may leave others out"


async def test_conditions_are_asked_at_the_beginning_and_at_the_end(door: Door, admin: Uploader) -> None:
    etag = (await door.put("admin/big", b"old")).headers["ETag"].strip('"')
    for fields in ({"create_only": True}, {"if_match": "ee"}):
        status, told = await admin.ask("POST", "", {"path": "/admin/big", **fields})
        assert (status, told["error"]["code"]) == (412, "PreconditionFailed")
    late = await admin.begin(if_match=etag)
    await admin.put(late, 1, PIECES[0])
    await door.put("admin/big", b"changed meanwhile")
    status, told = await admin.complete(late)
    assert (status, told["error"]["code"]) == (412, "PreconditionFailed")
    assert (await door.get("admin/big"))[1] == b"changed meanwhile"
    assert (await admin.ask("GET", f"/{late}"))[1]["stored_parts"] == 1, "the session lives on"
    new = await admin.begin("/admin/new", create_only=True)
    await admin.put(new, 1, PIECES[0])
    await door.put("admin/new", b"was first")
    assert (await admin.complete(new))[0] == 412


async def test_a_lock_keeps_others_from_beginning_and_from_completing(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    await admin.put(upload, 1, PIECES[0])
    async with door.client.post(f"{door.url}/v1/locks", json={
            "path": "/admin/big", "mode": "exclusive", "ttl_s": 60}) as answer:
        token = (await answer.json())["token"]
    assert (await admin.ask("POST", "", {"path": "/admin/big"}))[0] == 423
    assert (await admin.complete(upload))[0] == 423
    status, _ = await admin.ask("POST", f"/{upload}/complete", {}, Fluffy_Lock=token)
    assert status == 201


async def test_others_get_403_without_and_200_with_a_grant(door: Door, admin: Uploader) -> None:
    bob = user_of(door, "bob")
    mine = await admin.begin("/admin/big")
    await admin.put(mine, 1, PIECES[0])
    tries = [("POST", "", {"path": "/admin/x"}), ("GET", f"/{mine}", None), ("PUT", f"/{mine}/parts/2", PIECES[1]),
             ("GET", "?path=/admin", None), ("DELETE", f"/{mine}", None), ("POST", f"/{mine}/complete", {})]
    for method, path, body in tries:
        status, told = await bob.ask(method, path, body)
        assert (status, told["error"]["code"]) == (403, "AccessDenied"), (method, path)
    assert (await bob.ask("GET", ""))[1]["uploads"] == [], "without a path one's own"
    door.cluster.log.apply(SetGrant(header(), "admin", "bob", "read"))
    for method, path, body in tries:
        assert (await bob.ask(method, path, body))[0] == 403, (method, path)
    door.cluster.log.apply(SetGrant(header(), "admin", "bob", "write"))
    assert (await bob.put(mine, 2, PIECES[1]))[0] == 200
    assert len((await bob.ask("GET", "?path=/admin"))[1]["uploads"]) == 1
    assert (await bob.complete(mine))[1]["size"] == 2 * PART
    assert (await bob.ask("DELETE", f"/{await bob.begin('/admin/y')}"))[0] == 200


async def test_a_bucket_that_nobody_made_yet_is_the_beginner_s(door: Door) -> None:
    bob, eve = user_of(door, "bob"), user_of(door, "eve")
    upload = await bob.begin("/new/file")
    assert (await eve.ask("GET", f"/{upload}"))[0] == (await eve.put(upload, 1, b"x"))[0] == 403
    assert (await eve.complete(upload))[0] == 403
    assert (await bob.put(upload, 1, PIECES[0]))[0] == 200
    assert (await bob.complete(upload))[0] == 201
    async with door.client.get(f"{door.url}/v1/info/new") as answer:
        assert (await answer.json())["owner"] == "bob"


async def test_a_quota_that_is_exceeded_in_the_middle_refuses_the_part_and_nothing_leaks(door: Door) -> None:
    bob = user_of(door, "bob")
    door.cluster.log.apply(SetQuota(header(), "user", "bob", 3 * PART, None))
    status, told = await bob.ask("POST", "", {"path": "/bob/x", "size": 3 * PART + 1})
    assert (status, told["error"]["code"]) == (507, "QuotaExceeded"), "known before anything is sent"
    upload, other = await bob.begin("/bob/big"), await bob.begin("/bob/other")
    for number in (1, 2):
        assert (await bob.put(upload, number, PIECES[number - 1]))[0] == 200
    assert (await bob.put(other, 1, PIECES[2]))[0] == 200
    for session, number in ((upload, 3), (other, 2)):
        status, told = await bob.put(session, number, b"z" * 5_000)
        assert (status, told["error"]["code"]) == (507, "QuotaExceeded"), "what sessions hold counts"
    stored = len(door.chunks.stored)
    status, told = await bob.put(upload, 3, os.urandom(2 * PART))
    assert (status, told["error"]["code"]) == (507, "QuotaExceeded")
    assert len(door.chunks.stored) == stored, "what cannot fit is not taken in"
    assert (await bob.put(upload, 2, b"smaller"))[0] == 200, "the session goes on"
    assert (await bob.put(upload, 2, PIECES[1]))[0] == 200
    assert (await bob.complete(upload))[0] == 201
    assert (await bob.put(other, 2, b"z" * 5_000))[0] == 507
    assert (await bob.ask("DELETE", f"/{other}"))[0] == 200
    assert parts_held(door) == 0
    check_state(door.cluster.log.db)


async def test_an_upload_whose_time_is_over_is_gone_and_the_leader_frees_it(door: Door, admin: Uploader) -> None:
    upload = await admin.begin()
    await admin.put(upload, 1, PIECES[0])
    state = door.cluster.reader.read(queries.cluster_state)
    assert state is not None
    later_ms = state.clock_ms + 30 * 86_400_000
    assert not door.cluster.reader.read(queries.has_ended_uploads)
    door.cluster.log.apply(ExpireUploads(header(UserNo(0), later_ms), 1, 10))
    assert not door.cluster.reader.read(queries.has_ended_uploads)
    assert (parts_held(door), referenced_chunks(door)) == (0, 0)
    assert (await admin.put(upload, 2, b"x"))[1]["error"]["code"] == "UploadNotFound"


async def test_unfinished_uploads_are_listed_page_by_page(door: Door, admin: Uploader) -> None:
    ids = [await admin.begin(f"/admin/d/{number}") for number in range(5)] + [await admin.begin("/admin/dx")]
    seen, after = [], ""
    while after is not None:
        _, told = await admin.ask("GET", f"?path=/admin/d&limit=2&after={after or 0}")
        seen += [line["id"] for line in told["uploads"]]
        after = told["after"]
    assert seen == ids[:5]
    assert [line["id"] for line in (await admin.ask("GET", ""))[1]["uploads"]] == ids


@pytest.mark.parametrize("fields", [
    {}, {"path": "/x"}, {"path": "/admin/../x"}, {"path": "/admin/x", "size": -1}, {"path": "/admin/x", "part_size": 0},
    {"path": "/admin/x", "size": 10**6, "part_size": 99}, {"path": "/admin/x", "meta": {"a b": "c"}},
    {"path": "/admin/x", "tags": [1]}, {"path": "/admin/x", "content_type": "nonsense"}, {"path": "/admin/x", "x": 1},
    {"path": "/admin/x", "size": 2**50}])
async def test_what_cannot_be_begun_is_refused_with_a_reason(door: Door, admin: Uploader,
                                                             fields: dict[str, Any]) -> None:
    status, told = await admin.ask("POST", "", fields)
    assert status in (400, 413) and told["error"]["message"]
    assert (await admin.ask("GET", ""))[1]["uploads"] == []


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "1e3", "99999999999"])
async def test_a_part_has_a_number_from_1_to_10000(admin: Uploader, number: str) -> None:
    upload = await admin.begin()
    status, told = await admin.ask("PUT", f"/{upload}/parts/{number}", b"x")
    assert (status, told["error"]["code"]) == (400, "QuerySyntax")


async def test_part_sizes_are_whole_chunks_and_grow_with_the_file(admin: Uploader, door: Door) -> None:
    for size, expected in ((None, 8 << 20), (10**9, 8 << 20)):
        _, told = await admin.ask("POST", "", {"path": "/admin/x", "size": size})
        assert told["part_size"] == expected and expected % CHUNK_SIZE == 0
    assert (await admin.ask("POST", "", {"path": "/admin/x", "part_size": 5 << 20}))[1]["part_size"] == 5 << 20


async def test_beginning_again_under_one_request_id_is_one_upload(admin: Uploader) -> None:
    answers = [await admin.ask("POST", "", {"path": "/admin/x"}, Fluffy_Request_Id="same") for _ in range(3)]
    assert answers[0][0] == 201 and answers[0] == answers[1] == answers[2]
    assert len((await admin.ask("GET", ""))[1]["uploads"]) == 1


async def test_a_file_of_uneven_parts_can_be_appended_to_and_overwritten_like_any_other(door: Door,
                                                                                       admin: Uploader) -> None:
    pieces = [os.urandom(size) for size in (5 * KIB, CHUNK_SIZE + 100, 1, 90 * KIB)]
    upload = await admin.begin()
    for number, piece in enumerate(pieces, start=1):
        await admin.put(upload, number, piece)
    await admin.complete(upload)
    whole = bytearray(b"".join(pieces))
    for start, data in ((0, b"head"), (5 * KIB - 2, b"over the edge"), (5 * KIB + CHUNK_SIZE + 99, b"xyz"),
                        (len(whole), os.urandom(70 * KIB))):
        headers = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/*"}
        async with door.client.patch(door.file_url("admin/big"), data=data, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        whole[start:start + len(data)] = data
        assert (await door.get("admin/big"))[1] == whole
    async with door.client.post(door.file_url("admin/big") + "?append", data=b"the end") as answer:
        assert answer.status == 200
    assert (await door.get("admin/big"))[1] == whole + b"the end"
    check_state(door.cluster.log.db)
