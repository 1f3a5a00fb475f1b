"""Files through the native door: what goes in comes out, and every header means what the contract says."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.memory_chunks import MemoryChunks
from tests.support.native_door import CHUNK_SIZE, INLINE_MAX, Door, running_door

SIZES = [0, 1, INLINE_MAX, INLINE_MAX + 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE,
         10 * CHUNK_SIZE + 77]
NAMES = ["two words", "ü", "日本", 'quote"s', "it's", "100%", "a%2Fb", "semi;colon", "plus+", "a&b=c", "#hash", "q?",
         "back\\slash", "emoji 🐈", "~tilde", "[x]"]


def body_of(size: int) -> bytes:
    return (os.urandom(1024) * (size // 1024 + 1))[:size]


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
async def test_bytes_come_back_with_their_true_hash(door: Door, size: int, announced: bool) -> None:
    body = body_of(size)

    async def pieces():  # type: ignore[no-untyped-def]
        for at in range(0, size, 10_000):
            yield body[at:at + 10_000]
    answer = await door.put("/admin/f", body if announced else pieces())
    assert answer.status == 201
    value = await answer.json()
    assert value["blake3"] == blake3(body).hexdigest()
    assert (value["path"], value["size"], value["generation"]) == ("/admin/f", size, 1)
    assert value["chunks"] == (0 if size <= INLINE_MAX else -(-size // CHUNK_SIZE))
    got, back = await door.get("/admin/f")
    assert (got.status, back) == (200, body)
    assert got.headers["ETag"] == f'"{value["etag"]}"' == f'"{blake3(body).hexdigest()[:32]}"'
    assert got.headers["Fluffy-Blake3"] == value["blake3"]
    assert int(got.headers["Fluffy-Seq"]) >= 1


@pytest.mark.parametrize("name", NAMES)
async def test_odd_names_are_names(door: Door, name: str) -> None:
    path = f"/admin/{name}/{name}"
    assert (await door.put(path, b"x")).status == 201
    assert (await door.get(path))[1] == b"x"
    async with door.client.get(f"{door.url}/v1/dirs/admin") as answer:
        assert [entry["name"] for entry in (await answer.json())["entries"]] == [name]


async def test_an_update_is_a_new_generation(door: Door) -> None:
    assert (await door.put("/admin/f", b"old")).status == 201
    answer = await door.put("/admin/f", b"new")
    assert answer.status == 200
    assert (await answer.json())["generation"] == 2
    async with door.client.get(door.file_url("/admin/f") + "?generation=1") as old:
        assert await old.read() == b"old"
    assert (await door.get("/admin/f"))[1] == b"new"
    async with door.client.get(door.file_url("/admin/f") + "?generation=3") as none:
        assert none.status == 404


async def test_the_type_is_what_was_said_or_what_the_name_says(door: Door) -> None:
    for name in ("a.pdf", "c", ".png", "d.nosuch", "e.PNG"):
        async with door.client.put(door.file_url(f"/admin/{name}"), data=b"x", skip_auto_headers=("Content-Type",)):
            pass
    await door.put("/admin/b.pdf", b"x", Content_Type="text/weird; charset=x")
    types = [(await door.get(f"/admin/{name}"))[0].headers["Content-Type"]
             for name in ("a.pdf", "b.pdf", "c", ".png", "d.nosuch", "e.PNG")]
    unknown = "application/octet-stream"
    assert types == ["application/pdf", "text/weird; charset=x", unknown, unknown, unknown, "image/png"]


async def test_user_metadata_and_tags_come_back(door: Door) -> None:
    await door.put("/admin/f", b"x", Fluffy_Meta_Camera="Leica ü", Fluffy_Tags="a=1&b%20c=d%26e")
    answer, _ = await door.get("/admin/f")
    assert answer.headers["Fluffy-Meta-camera"] == "Leica ü"
    assert answer.headers["Fluffy-Tags"] == "a=1&b%20c=d%26e"
    async with door.client.get(f"{door.url}/v1/info/admin/f") as info:
        value = await info.json()
    assert value["meta"] == {"camera": "Leica ü"} and value["tags"] == {"a": "1", "b c": "d&e"}


@pytest.mark.parametrize("size", [100, 3 * CHUNK_SIZE + 5])
async def test_promised_hashes_are_checked_before_anything_is_stored(door: Door, size: int) -> None:
    body = body_of(size)
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for headers in ({"Content_MD5": wrong}, {"Fluffy_Blake3": blake3(b"other").hexdigest()},
                    {"Content_MD5": "nonsense!"}, {"Fluffy_Blake3": "00"}):
        answer = await door.put("/admin/f", body, **headers)
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "DigestMismatch"
    assert door.files() == 0
    answer = await door.put("/admin/f", body, Content_MD5=md5, Fluffy_Blake3=blake3(body).hexdigest())
    assert answer.status == 201


async def test_conditional_writes(door: Door) -> None:
    assert (await door.put("/admin/f", b"1", If_Match='"x"')).status == 412
    assert (await door.put("/admin/f", b"1", If_Match="*")).status == 412
    first = await (await door.put("/admin/f", b"1", If_None_Match="*")).json()
    assert (await door.put("/admin/f", b"2", If_None_Match="*")).status == 412
    assert (await door.put("/admin/f", b"2", If_Match=f'"{first["etag"]}"')).status == 200
    assert (await door.put("/admin/f", b"3", If_Match=f'"{first["etag"]}"')).status == 412
    assert (await door.put("/admin/f", b"3", If_Match="*")).status == 200
    assert (await door.get("/admin/f"))[1] == b"3"


async def test_conditional_reads(door: Door) -> None:
    etag = (await (await door.put("/admin/f", b"1")).json())["etag"]
    got, body = await door.get("/admin/f", If_None_Match=f'"{etag}"')
    assert (got.status, body) == (304, b"")
    assert got.headers["ETag"] == f'"{etag}"'
    assert (await door.get("/admin/f", If_Match='"other"'))[0].status == 412
    modified = got.headers["Last-Modified"]
    assert (await door.get("/admin/f", If_Modified_Since=modified))[0].status == 304


async def test_the_same_request_id_happens_once(door: Door) -> None:
    first = await (await door.put("/admin/f", b"1", Fluffy_Request_Id="id-1")).json()
    again = await door.put("/admin/f", b"1", Fluffy_Request_Id="id-1")
    assert again.status == 201 and await again.json() == first
    assert again.headers["Fluffy-Request-Id"] == "id-1"
    assert (await door.put("/admin/f", b"1", Fluffy_Request_Id="id-2")).status == 200


@pytest.mark.parametrize("as_files", [False, True], ids=["memory", "sendfile"])
async def test_ranges_of_a_file_of_many_chunks(tmp_path: Path, as_files: bool) -> None:
    size = 10 * CHUNK_SIZE + 77
    body = body_of(size)
    async with running_door(tmp_path, chunks=MemoryChunks(as_files=as_files)) as door:
        await door.put("/admin/f", body)
        for first, last in ((0, 0), (CHUNK_SIZE - 1, CHUNK_SIZE), (5, size - 1), (size - 1, size - 1),
                            (2 * CHUNK_SIZE, 7 * CHUNK_SIZE - 1), (0, 10**12)):
            answer, back = await door.get("/admin/f", Range=f"bytes={first}-{last}")
            assert answer.status == 206 and back == body[first:last + 1]
            assert answer.headers["Content-Range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        assert (await door.get("/admin/f"))[1] == body
        answer, back = await door.get("/admin/f", Range="bytes=-10")
        assert back == body[-10:]


async def test_a_small_range_opens_only_the_chunks_it_touches(door: Door) -> None:
    await door.put("/admin/f", body_of(10 * CHUNK_SIZE))
    await door.get("/admin/f", Range=f"bytes={5 * CHUNK_SIZE}-{5 * CHUNK_SIZE + 9}")
    assert door.chunks.opened == 1


@pytest.mark.parametrize("size", [100, 3 * CHUNK_SIZE])
async def test_several_ranges_come_as_multipart(door: Door, size: int) -> None:
    body = body_of(size)
    await door.put("/admin/f", body, Content_Type="a/b")
    answer, back = await door.get("/admin/f", Range="bytes=0-1,50-59,-5")
    assert answer.status == 206
    boundary = answer.headers["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    parts = back.split(b"--" + boundary.encode())
    assert parts[0] == b"" and parts[-1] == b"--\r\n"
    assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]] == [
        body[:2], body[50:60], body[-5:]]
    assert f"Content-Range: bytes 50-59/{size}".encode() in parts[2]


async def test_a_range_beyond_the_end_says_how_long_the_file_is(door: Door) -> None:
    await door.put("/admin/f", b"12345")
    answer, body = await door.get("/admin/f", Range="bytes=5-")
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */5"
    assert b"RangeIllegal" in body


async def test_a_range_of_another_version_gets_the_whole_file(door: Door) -> None:
    await door.put("/admin/f", b"12345")
    answer, body = await door.get("/admin/f", Range="bytes=1-2", If_Range='"other"')
    assert (answer.status, body) == (200, b"12345")


async def test_head_tells_everything_and_sends_nothing(door: Door) -> None:
    for size in (0, 5, 2 * CHUNK_SIZE):
        await door.put("/admin/f", body_of(size))
        async with door.client.head(door.file_url("/admin/f")) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
            assert answer.headers["Content-Length"] == str(size)
    async with door.client.head(door.file_url("/admin/none")) as answer:
        assert answer.status == 404


async def test_a_download_by_a_browser_gets_its_name(door: Door) -> None:
    await door.put("/admin/ü x.txt", b"1")
    async with door.client.get(door.file_url("/admin/ü x.txt") + "?download=1") as answer:
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BC%20x.txt"


async def test_delete_goes_to_the_trash_and_purge_for_good(door: Door) -> None:
    await door.put("/admin/f", b"1")
    async with door.client.delete(door.file_url("/admin/f")) as answer:
        assert answer.status == 200 and (await answer.json())["purged"] is False
    assert (await door.get("/admin/f"))[0].status == 404
    async with door.client.get(door.file_url("/admin/f") + "?generation=1") as answer:
        assert await answer.read() == b"1"
    async with door.client.delete(door.file_url("/admin/f") + "?purge=1") as answer:
        assert answer.status == 200
    async with door.client.get(door.file_url("/admin/f") + "?generation=1") as answer:
        assert answer.status == 404
    async with door.client.delete(door.file_url("/admin/f")) as answer:
        assert answer.status == 404


async def test_a_delete_may_demand_a_version(door: Door) -> None:
    etag = (await (await door.put("/admin/f", b"1")).json())["etag"]
    async with door.client.delete(door.file_url("/admin/f"), headers={"If-Match": '"x"'}) as answer:
        assert answer.status == 412
    async with door.client.delete(door.file_url("/admin/f"), headers={"If-Match": f'"{etag}"'}) as answer:
        assert answer.status == 200


async def test_a_compressed_body_is_refused_and_not_unpacked(door: Door) -> None:
    answer = await door.put("/admin/f", b"x", Content_Encoding="gzip")
    assert answer.status == 501 and door.files() == 0
