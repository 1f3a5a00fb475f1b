"""Headers that are kept with a file: what a put may say, who is told what, and that nothing of it opens a door."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fluffy.gateways.native.kept_headers import private_cache
from tests.support.native_door import Door
from tests.support.s3_door import running_s3

SAID = {"Fluffy-Header-Cache-Control": "public, max-age=60",
        "Fluffy-Header-Content-Disposition": 'inline; filename="x"',
        "Fluffy-Header-Content-Language": "de, en", "Fluffy-Header-Expires": "Wed, 01 Jan 2031 00:00:00 GMT",
        "Fluffy-Header-X-Amz-Website-Redirect-Location": "/other"}
KEPT = {"cache-control": "public, max-age=60", "content-disposition": 'inline; filename="x"',
        "content-language": "de, en", "expires": "Wed, 01 Jan 2031 00:00:00 GMT",
        "x-amz-website-redirect-location": "/other"}


async def ask(door: Door, method: str, target: str, **more: Any) -> aiohttp.ClientResponse:
    async with door.client.request(method, door.url + target, **more) as answer:
        await answer.read()
        return answer


async def info_of(door: Door, path: str) -> dict[str, Any]:
    found: dict[str, Any] = await (await ask(door, "GET", f"/v1/info{path}")).json()
    return found


async def put(door: Door, path: str, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
    return await ask(door, "PUT", f"/v1/files{path}", data=body, headers=headers)


@pytest.mark.parametrize("size", [5, 100_000])
async def test_what_is_said_with_a_file_is_said_again(door: Door, size: int) -> None:
    assert (await put(door, "/admin/f", b"x" * size, SAID)).status == 201
    info = await info_of(door, "/admin/f")
    assert info["headers"] == KEPT and info["meta"] == {} and info["checksum"] is None
    for method in ("GET", "HEAD"):
        answer = await ask(door, method, "/v1/files/admin/f")
        assert answer.headers["Cache-Control"] == "private, max-age=60"
        assert {name: answer.headers[name] for name in ("Content-Disposition", "Content-Language", "Expires")} == {
            "Content-Disposition": KEPT["content-disposition"], "Content-Language": "de, en",
            "Expires": KEPT["expires"]}
        assert "x-amz-website-redirect-location" not in answer.headers
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = await ask(door, "GET", "/v1/files/admin/f?download=1")
    assert answer.headers.getall("Content-Disposition") == ["attachment; filename*=UTF-8''f"]
    await door.put("/admin/f", b"y")
    assert (await info_of(door, "/admin/f"))["headers"] == {}


async def test_only_who_unpacks_is_told_that_a_file_is_packed(door: Door) -> None:
    packed = gzip.compress(b"text" * 500, mtime=0)
    await put(door, "/admin/f", packed, {"Fluffy-Header-Content-Encoding": "gzip"})
    for accepted, told in ((None, None), ("identity", None), ("gzip", "gzip"), ("br;q=1, GZIP ;q=0.5", "gzip"),
                           ("gzip;q=0", None), ("*", None)):
        said = {} if accepted is None else {"Accept-Encoding": accepted}
        async with aiohttp.ClientSession(headers=door.client.headers, auto_decompress=False,
                                         skip_auto_headers=["Accept-Encoding"]) as plain, \
                plain.get(door.url + "/v1/files/admin/f", headers=said) as answer:
            assert await answer.read() == packed
        assert answer.headers.get("Content-Encoding") == told and answer.headers["Vary"] == "Accept-Encoding"
        assert int(answer.headers["Content-Length"]) == len(packed)


async def test_other_headers_are_refused(door: Door) -> None:
    for name, value in (("Set-Cookie", "a=b"), ("Content-Security-Policy", "x"), ("Content-Type", "x/y"), ("", "x"),
                        ("Cache-Control", "x" * 5_000)):
        answer = await put(door, "/admin/f", b"x", {f"Fluffy-Header-{name}": value})
        assert answer.status in (400, 413), name
    assert (await ask(door, "GET", "/v1/files/admin/f")).status == 404


async def test_a_part_of_a_file_has_no_headers_of_its_own(door: Door) -> None:
    await put(door, "/admin/f", b"x", SAID)
    refused = await ask(door, "POST", "/v1/files/admin/f?append", data=b"y", headers=SAID)
    assert refused.status == 400
    assert (await ask(door, "POST", "/v1/files/admin/f?append", data=b"y")).status == 200
    assert (await info_of(door, "/admin/f"))["headers"] == KEPT


async def test_uploads_in_parts_keep_headers_too(door: Door) -> None:
    begun = await ask(door, "POST", "/v1/uploads", json={"path": "/admin/p", "headers": {"Expires": "never"}})
    number = (await begun.json())["id"]
    await ask(door, "PUT", f"/v1/uploads/{number}/parts/1", data=b"x")
    assert (await ask(door, "POST", f"/v1/uploads/{number}/complete", json={})).status == 201
    assert (await info_of(door, "/admin/p"))["headers"] == {"expires": "never"}
    refused = await ask(door, "POST", "/v1/uploads", json={"path": "/admin/q", "headers": {"Set-Cookie": "a=b"}})
    assert refused.status == 400


@pytest.mark.parametrize("said,told", [
    ("", "private"), ("public", "private"), ("max-age=1, PUBLIC,s-maxage=9", "private, max-age=1"),
    ("no-store", "no-store"), ("private, max-age=0", "private, max-age=0"), ("no-cache", "private, no-cache")])
def test_no_cache_of_many_people_keeps_what_one_may_read(said: str, told: str) -> None:
    assert private_cache(said) == told


async def test_both_doors_keep_the_same(tmp_path: Path) -> None:
    async with running_s3(tmp_path) as s3:
        pair = await s3.add_key("admin", "ADMINKEY")
        client = s3.client(pair)
        await s3.run(lambda: client.create_bucket(Bucket="both"))
        await s3.run(lambda: client.put_object(
            Bucket="both", Key="k", Body=b"x", CacheControl="public", ContentLanguage="de", Expires=0,
            ContentEncoding="gzip", ContentDisposition="attachment", WebsiteRedirectLocation="/o", Metadata={"m": "1"},
            ChecksumAlgorithm="SHA1"))
        info = await info_of(s3.native, "/both/k")
        assert info["headers"] == {
            "cache-control": "public", "content-disposition": "attachment", "content-encoding": "gzip",
            "content-language": "de", "expires": "Thu, 01 Jan 1970 00:00:00 GMT",
            "x-amz-website-redirect-location": "/o"}
        assert info["meta"] == {"m": "1"}
        value = base64.b64encode(hashlib.sha1(b"x").digest()).decode()
        assert info["checksum"] == {"algorithm": "sha1", "value": value, "type": "FULL_OBJECT"}
        assert (await put(s3.native, "/both/n", b"x", SAID)).status == 201
        head = await s3.run(lambda: client.head_object(Bucket="both", Key="n"))
        assert (head["CacheControl"], head["ContentDisposition"], head["ContentLanguage"],
                head["WebsiteRedirectLocation"]) == (KEPT["cache-control"], KEPT["content-disposition"],
                                                     KEPT["content-language"], "/other")
