"""PutObject, GetObject, HeadObject, DeleteObject: keys, sizes, ranges, conditions, headers, checksums."""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fluffy.wire import s3_checksums
from tests.s3.world import code_of

KEYS = [
    "a", "a b", "a+b", "a%20b", "a%2Fb", "a&b=c", "<tag>", "'q'", '"q"', "a/b/c", "folder/", "ü", "日本語", "😀/😀",
    "a?b", "a#b", "100%", "a\\b", "~tilde", "-_.!*'()", "x" * 250, "d/" * 100 + "x", ".hidden", "a..b", "..a", "a=",
    ";",
    "a,b", "a:b", "@", "$HOME", "[x]", "{y}", "a|b", "^", "`", unicodedata.normalize("NFD", "é"), "a  b", " lead",
    "tail ",
    "k" * 1024]


@pytest.mark.parametrize("key", KEYS, ids=[f"{number:02}" for number in range(len(KEYS))])
def test_any_key_comes_back(s3: Any, shared: str, key: str) -> None:
    body = key.encode()
    s3.put_object(Bucket=shared, Key=key, Body=body)
    assert s3.get_object(Bucket=shared, Key=key)["Body"].read() == body
    assert s3.head_object(Bucket=shared, Key=key)["ContentLength"] == len(body)
    assert key in [line["Key"] for line in s3.list_objects_v2(Bucket=shared, Prefix=key)["Contents"]]
    copied = s3.copy_object(Bucket=shared, Key="copy", CopySource={"Bucket": shared, "Key": key})
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    s3.delete_object(Bucket=shared, Key=key)
    assert code_of(lambda: s3.get_object(Bucket=shared, Key=key)) == (404, "NoSuchKey")


@pytest.mark.parametrize("key,code", [
    ("k" * 1025, "KeyTooLongError"), ("a//b", "InvalidArgument"), ("a/./b", "InvalidArgument"),
    ("a/../b", "InvalidArgument"), ("a\x01b", "InvalidArgument")])
def test_keys_that_cannot_be(s3: Any, shared: str, key: str, code: str) -> None:
    assert code_of(lambda: s3.put_object(Bucket=shared, Key=key, Body=b"")) == (400, code)


@pytest.mark.parametrize("size", [0, 1, 1_023, 16_384, 16_385, 100_000, 1_048_577, 8_388_608, 8_388_609])
def test_any_size_comes_back(s3: Any, shared: str, size: int) -> None:
    body = hashlib.shake_128(b"%d" % size).digest(size)
    put = s3.put_object(Bucket=shared, Key="size", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=shared, Key="size")
    assert got["Body"].read() == body and got["ContentLength"] == size


BODY = b"0123456789"


@pytest.fixture(scope="module")
def ten(world: Any, shared: str) -> str:
    world.s3.put_object(Bucket=shared, Key="ten", Body=BODY)
    world.s3.put_object(Bucket=shared, Key="none", Body=b"")
    return shared


@pytest.mark.parametrize("asked,status,body", [
    ("bytes=0-0", 206, b"0"), ("bytes=0-9", 206, BODY), ("bytes=2-4", 206, b"234"), ("bytes=5-", 206, b"56789"),
    ("bytes=-3", 206, b"789"), ("bytes=-100", 206, BODY), ("bytes=8-100", 206, b"89"), ("bytes=10-", 416, b""),
    ("bytes=100-200", 416, b""), ("bytes=-0", 416, b""), ("bytes=4-2", 200, BODY), ("bytes=x", 200, BODY),
    ("bytes=", 200, BODY), ("chunks=0-1", 200, BODY), ("bytes=0-1,3-4", 200, BODY), ("bytes= 1-2", 206, b"12")])
def test_ranges(s3: Any, ten: str, asked: str, status: int, body: bytes) -> None:
    if status == 416:
        assert code_of(lambda: s3.get_object(Bucket=ten, Key="ten", Range=asked)) == (416, "InvalidRange")
        return
    got = s3.get_object(Bucket=ten, Key="ten", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == status and got["Body"].read() == body
    head = s3.head_object(Bucket=ten, Key="ten", Range=asked)
    assert head["ContentLength"] == len(body) and head.get("ContentRange") == got.get("ContentRange")


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=0-", "bytes=-1"])
def test_an_empty_object_has_no_ranges(s3: Any, ten: str, asked: str) -> None:
    assert code_of(lambda: s3.get_object(Bucket=ten, Key="none", Range=asked)) == (416, "InvalidRange")


ETAG = f'"{hashlib.md5(BODY).hexdigest()}"'
PAST, FUTURE = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)


@pytest.mark.parametrize("more,status", [
    ({"IfMatch": ETAG}, 200), ({"IfMatch": '"x"'}, 412), ({"IfMatch": "*"}, 200), ({"IfMatch": ETAG.strip('"')}, 200),
    ({"IfNoneMatch": ETAG}, 304), ({"IfNoneMatch": '"x"'}, 200), ({"IfNoneMatch": "*"}, 304),
    ({"IfNoneMatch": f'"x", {ETAG}'}, 304), ({"IfModifiedSince": PAST}, 200), ({"IfModifiedSince": FUTURE}, 304),
    ({"IfUnmodifiedSince": PAST}, 412), ({"IfUnmodifiedSince": FUTURE}, 200),
    ({"IfMatch": ETAG, "IfUnmodifiedSince": PAST}, 200), ({"IfNoneMatch": ETAG, "IfModifiedSince": PAST}, 304),
    ({"IfNoneMatch": '"x"', "IfModifiedSince": FUTURE}, 200), ({"IfMatch": '"x"', "IfNoneMatch": ETAG}, 412),
    ({"IfMatch": ETAG, "IfNoneMatch": ETAG}, 304)], ids=str)
@pytest.mark.parametrize("verb", ["get_object", "head_object"])
def test_conditions(s3: Any, ten: str, verb: str, more: dict[str, Any], status: int) -> None:
    assert code_of(lambda: getattr(s3, verb)(Bucket=ten, Key="ten", **more))[0] == status


@pytest.mark.parametrize("first,more,expected", [
    (None, {"IfNoneMatch": "*"}, (200, "")), (b"x", {"IfNoneMatch": "*"}, (412, "PreconditionFailed")),
    (b"x", {"IfMatch": f'"{hashlib.md5(b"x").hexdigest()}"'}, (200, "")),
    (b"y", {"IfMatch": f'"{hashlib.md5(b"x").hexdigest()}"'}, (412, "PreconditionFailed")),
    (None, {"IfMatch": f'"{hashlib.md5(b"x").hexdigest()}"'}, (404, "NoSuchKey")),
    (b"x", {"IfNoneMatch": '"x"'}, (501, "NotImplemented"))])
def test_conditional_writes(s3: Any, bucket: str, first: bytes | None, more: dict[str, Any],
                            expected: tuple[int, str]) -> None:
    if first is not None:
        s3.put_object(Bucket=bucket, Key="k", Body=first)
    assert code_of(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"new", **more)) == expected
    if expected[0] != 200 and first is not None:
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == first


@pytest.mark.parametrize("name,value", [
    ("ContentType", "text/html; charset=utf-8"), ("CacheControl", "max-age=60"), ("ContentDisposition", "attachment"),
    ("ContentEncoding", "gzip"), ("ContentLanguage", "de, en"), ("Metadata", {"one": "1", "two": "a  b"}),
    ("WebsiteRedirectLocation", "/other"), ("StorageClass", "STANDARD")])
def test_what_is_said_comes_back(s3: Any, shared: str, name: str, value: Any) -> None:
    s3.put_object(Bucket=shared, Key="said", Body=b"x", **{name: value})
    for got in (s3.get_object(Bucket=shared, Key="said"), s3.head_object(Bucket=shared, Key="said")):
        assert got.get(name, "STANDARD") == value


@pytest.mark.parametrize("more,expected", [
    ({"Metadata": {"k": "v" * 3_000}}, (400, "MetadataTooLarge")), ({"ContentMD5": "AAAA"}, (400, "InvalidDigest")),
    ({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "BadDigest")), ({"ChecksumCRC32": "AAAAAA=="}, (400,
                                                                                                       "BadDigest")),
    ({"ChecksumCRC32": "AAA="}, (400, "InvalidRequest")), ({"ServerSideEncryption": "aws:kms"}, (501,
                                                                                                 "NotImplemented")),
    ({"StorageClass": "GLACIER"}, (400, "InvalidStorageClass")), ({"ACL": "authenticated-read"}, (501,
                                                                                                  "NotImplemented")),
    ({"ObjectLockLegalHoldStatus": "ON"}, (501, "NotImplemented")), ({"GrantRead": "id=x"}, (501, "NotImplemented")),
    ({"Tagging": "a=1&a=2"}, (400, "InvalidTag"))], ids=str)
def test_puts_that_are_refused(s3: Any, shared: str, more: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code_of(lambda: s3.put_object(Bucket=shared, Key="refused", Body=b"x", **more)) == expected
    assert code_of(lambda: s3.head_object(Bucket=shared, Key="refused"))[0] == 404


@pytest.mark.parametrize("override,header", [
    ("ResponseContentType", "content-type"), ("ResponseCacheControl", "cache-control"),
    ("ResponseContentDisposition", "content-disposition"), ("ResponseContentEncoding", "content-encoding"),
    ("ResponseContentLanguage", "content-language")])
def test_the_answer_says_what_the_query_wants(s3: Any, ten: str, override: str, header: str) -> None:
    got = s3.get_object(Bucket=ten, Key="ten", **{override: "x-said"})
    assert got["ResponseMetadata"]["HTTPHeaders"][header] == "x-said"


@pytest.mark.parametrize("algorithm", s3_checksums.ALGORITHMS)
@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_checksums_are_verified_kept_and_returned(s3: Any, shared: str, algorithm: str, size: int) -> None:
    body, name = b"x" * size, f"Checksum{algorithm.upper()}"
    expected = s3_checksums.encode(s3_checksums.digest_of(algorithm, body))
    put = s3.put_object(Bucket=shared, Key="sum", Body=body, ChecksumAlgorithm=algorithm.upper())
    assert put[name] == expected and put["ChecksumType"] == "FULL_OBJECT"
    assert s3.put_object(Bucket=shared, Key="sum", Body=body, **{name: expected})[name] == expected
    assert s3.head_object(Bucket=shared, Key="sum", ChecksumMode="ENABLED")[name] == expected
    assert name not in s3.head_object(Bucket=shared, Key="sum")
    wrong = s3_checksums.encode(bytes(len(s3_checksums.digest_of(algorithm, b""))))
    if wrong != expected:
        assert code_of(lambda: s3.put_object(Bucket=shared, Key="sum", Body=body, **{name: wrong})) == (400,
                                                                                                        "BadDigest")
    assert s3.get_object_attributes(Bucket=shared, Key="sum",
                                    ObjectAttributes=["Checksum"])["Checksum"][name] == expected


@pytest.mark.parametrize("verb,more", [
    ("get_object", {}), ("head_object", {}), ("get_object_tagging", {}), ("get_object_acl", {}),
    ("get_object_attributes", {"ObjectAttributes": ["ETag"]}), ("put_object_acl", {"ACL": "private"}),
    ("put_object_tagging", {"Tagging": {"TagSet": []}})])
def test_what_is_not_there(s3: Any, shared: str, verb: str, more: dict[str, Any]) -> None:
    status, code = code_of(lambda: getattr(s3, verb)(Bucket=shared, Key="nothing", **more))
    assert status == 404 and code in ("NoSuchKey", "404")
    status, code = code_of(lambda: getattr(s3, verb)(Bucket="no-such-bucket-here", Key="k", **more))
    assert status == 404 and code in ("NoSuchBucket", "404")


@pytest.mark.parametrize("times", [1, 2])
def test_deleting_twice_is_deleting_once(s3: Any, bucket: str, times: int) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    for _ in range(times):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
