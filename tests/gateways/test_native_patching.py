"""Appending and overwriting ranges through the door."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from blake3 import blake3

from tests.support.asking import Asker, admin_of
from tests.support.native_door import CHUNK_SIZE, Door


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def content(admin: Asker) -> bytes:
    told = await admin.ask("GET", "/v1/files/admin/f")
    assert told.status == 200
    return told.body


async def test_an_append_answers_like_a_put_and_says_where_its_bytes_begin(admin: Asker) -> None:
    told = await admin.ask("POST", "/v1/files/admin/f?append", b"one\n", Content_Type="text/plain")
    assert (told.status, told.value["offset"], told.value["size"], told.value["generation"]) == (201, 0, 4, 1)
    told = await admin.ask("POST", "/v1/files/admin/f?append=1", b"two\n")
    expected = b"one\ntwo\n"
    assert told.status == 200 and told.headers["etag"] == f'"{told.value["etag"]}"'
    assert {key: told.value[key] for key in ("path", "generation", "size", "blake3", "chunks", "offset")} == {
        "path": "/admin/f", "generation": 2, "size": 8, "blake3": blake3(expected).hexdigest(), "chunks": 0,
        "offset": 4}
    assert await content(admin) == expected


async def test_a_file_of_several_chunks_has_no_hash_of_its_whole_and_is_read_all_the_same(admin: Asker) -> None:
    data = random.Random(1).randbytes(3 * CHUNK_SIZE)
    await admin.must("PUT", "/v1/files/admin/f", data)
    told = await admin.must("POST", "/v1/files/admin/f?append", b"more")
    assert (told["blake3"], told["chunks"], told["offset"]) == (None, 4, len(data))
    read = await admin.ask("GET", "/v1/files/admin/f")
    assert read.body == data + b"more" and "fluffy-blake3" not in read.headers
    assert read.headers["etag"] == f'"{told["etag"]}"'
    info = await admin.must("GET", "/v1/info/admin/f")
    assert info["blake3"] is None and len(info["chunks"]) == 4
    part = await admin.ask("GET", "/v1/files/admin/f", Range=f"bytes={len(data) - 2}-{len(data) + 1}")
    assert (part.status, part.body) == (206, data[-2:] + b"mo")


async def test_a_range_is_overwritten_and_the_rest_stays(admin: Asker) -> None:
    data = random.Random(2).randbytes(3 * CHUNK_SIZE)
    await admin.must("PUT", "/v1/files/admin/f", data, Fluffy_Tags="k=v")
    told = await admin.must("PATCH", "/v1/files/admin/f", b"patched", Content_Range="bytes 70000-70006/*")
    assert (told["offset"], told["size"], told["generation"]) == (70000, len(data), 2)
    assert await content(admin) == data[:70000] + b"patched" + data[70007:]
    told = await admin.must("PATCH", "/v1/files/admin/f", b"end", Content_Range=f"bytes {len(data) - 1}-{len(data) + 1}"
                                                                                f"/{len(data) + 2}")
    assert told["size"] == len(data) + 2
    assert (await admin.must("GET", "/v1/info/admin/f"))["tags"] == {"k": "v"}


async def test_bodies_of_unknown_length_are_taken(admin: Asker, door: Door) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"%5d" % number * 1000

    for count in (1, 200):
        async with door.client.post(door.file_url("/admin/f") + "?append", data=pieces(count)) as answer:
            assert answer.status in (200, 201)
    expected = b"".join([piece async for piece in pieces(1)] + [piece async for piece in pieces(200)])
    assert await content(admin) == expected
    for last, status in ((4999, 200), (4998, 400), (5000, 400)):
        async with door.client.patch(door.file_url("/admin/f"), data=pieces(1),
                                     headers={"Content-Range": f"bytes 0-{last}/*"}) as answer:
            assert answer.status == status


@pytest.mark.parametrize("given, status, code", [
    (None, 400, "QuerySyntax"), ("bytes 0-2", 400, "QuerySyntax"), ("bytes 2-0/*", 400, "QuerySyntax"),
    ("items 0-2/*", 400, "QuerySyntax"), ("bytes 0-2/2", 400, "QuerySyntax"), ("bytes 0-9/*", 400, "QuerySyntax"),
    ("bytes 6-8/*", 416, "RangeIllegal"), ("bytes 0-2/*", 200, "")])
async def test_ranges_that_do_not_fit_are_refused(admin: Asker, given: str | None, status: int, code: str) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"12345")
    told = await admin.ask("PATCH", "/v1/files/admin/f", b"abc", **({} if given is None else {"Content_Range": given}))
    assert (told.status, told.code) == (status, code)
    if status == 416:
        assert told.headers["content-range"] == "bytes */5" and told.error["size"] == 5
    assert await content(admin) == (b"abc45" if status == 200 else b"12345")


@pytest.mark.parametrize("target, headers", [
    ("/v1/files/admin/f", {}), ("/v1/files/admin/f?append&touch", {}), ("/v1/files/admin/f?touch", {}),
    ("/v1/files/admin/f?append", {"Fluffy-Tags": "k=v"}), ("/v1/files/admin/f?append", {"Fluffy-Meta-k": "v"}),
    ("/v1/files/admin/f?append=perhaps", {}), ("/v1/files/admin/f?append", {"If-Match": '"a", "b"'})])
async def test_posts_that_do_not_say_what_they_want_are_refused(admin: Asker, target: str,
                                                                headers: dict[str, str]) -> None:
    told = await admin.ask("POST", target, b"x", **headers)
    assert (told.status, told.code) == (400, "QuerySyntax")


async def test_changes_of_a_part_keep_preconditions(admin: Asker) -> None:
    told = await admin.ask("POST", "/v1/files/admin/f?append", b"x", If_Match="*")
    assert (told.status, told.code) == (412, "PreconditionFailed")
    made = await admin.ask("POST", "/v1/files/admin/f?append", b"x", If_None_Match="*")
    assert (made.status, made.value["offset"]) == (201, 0)
    etag = made.value["etag"]
    for method, target, more in (("POST", "/v1/files/admin/f?append", {"If_None_Match": "*"}),
                                 ("POST", "/v1/files/admin/f?append", {"If_Match": '"other"'}),
                                 ("PATCH", "/v1/files/admin/f", {"If_Match": "x", "Content_Range": "bytes 0-0/*"})):
        told = await admin.ask(method, target, b"x", **more)
        assert (told.status, told.error["etag"], told.error["generation"]) == (412, etag, 1)
    told = await admin.ask("PATCH", "/v1/files/admin/f", b"x", Content_Range="bytes 0-0/*", If_None_Match="*")
    assert told.status == 400
    await admin.must("PATCH", "/v1/files/admin/f", b"y", Content_Range="bytes 0-0/*", If_Match=f'"{etag}"')


async def test_what_a_body_promises_is_checked(admin: Asker) -> None:
    for size in (3, 2000, 600_000):
        told = await admin.ask("POST", "/v1/files/admin/f?append", bytes(size), Fluffy_Blake3=blake3(b"x").hexdigest())
        assert (told.status, told.code) == (400, "DigestMismatch")
        await admin.must("POST", "/v1/files/admin/g?append", bytes(size), Fluffy_Blake3=blake3(bytes(size)).hexdigest())
    assert (await admin.ask("GET", "/v1/files/admin/f")).status == 404


async def test_a_locked_file_grows_only_under_its_lock(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/f", bytes(5000))
    lock = await admin.must("POST", "/v1/locks", {"path": "/admin/f", "mode": "exclusive", "ttl_s": 60})
    for body in (b"x", bytes(5000)):
        told = await admin.ask("POST", "/v1/files/admin/f?append", body)
        assert (told.status, told.code, told.error["holder"]) == (423, "FileLocked", "admin")
        await admin.must("POST", "/v1/files/admin/f?append", body, Fluffy_Lock=lock["token"])
    told = await admin.ask("PATCH", "/v1/files/admin/f", b"x", Content_Range="bytes 0-0/*", Fluffy_Lock="not it")
    assert told.status in (412, 423)


async def test_readers_see_whole_lines_while_many_append(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"")
    seen: list[bytes] = []

    async def write(writer: int) -> None:
        for number in range(15):
            await admin.must("POST", "/v1/files/admin/f?append", b"%d-%d-" % (writer, number) + b"x" * 50 + b"\n",
                             Fluffy_Request_Id=f"{writer}-{number}")

    async def read() -> None:
        while not seen or len(seen[-1].splitlines()) < 6 * 15:
            seen.append(await content(admin))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for writer in range(6):
            group.create_task(write(writer))
        group.create_task(read())
    assert len(set(seen[-1].splitlines())) == 6 * 15
    for earlier, later in pairwise(seen):
        assert later.startswith(earlier) and (not earlier or earlier.endswith(b"x\n"))
