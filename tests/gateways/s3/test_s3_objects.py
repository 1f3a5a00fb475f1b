"""Objects over the S3 door, with boto3 as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fluffy.services.s3_keys import KeyPair
from tests.support.s3_door import S3, failure, running_s3


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


async def with_client(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    await s3.run(lambda: work(s3.client(pair)))


async def test_buckets_come_and_go(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="photos")
        assert client.head_bucket(Bucket="photos")["BucketRegion"] == "us-east-1"
        assert failure(lambda: client.create_bucket(Bucket="photos")) == (409, "BucketAlreadyOwnedByYou")
        assert failure(lambda: client.head_bucket(Bucket="other")) == (404, "404")
        assert "photos" in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
        assert client.get_bucket_location(Bucket="photos")["LocationConstraint"] is None
        client.put_object(Bucket="photos", Key="d/a", Body=b"x")
        assert failure(lambda: client.delete_bucket(Bucket="photos")) == (409, "BucketNotEmpty")
        client.delete_object(Bucket="photos", Key="d/a")
        client.delete_bucket(Bucket="photos")
        assert failure(lambda: client.list_objects_v2(Bucket="photos")) == (404, "NoSuchBucket")
        assert failure(lambda: client.create_bucket(Bucket="127.0.0.1")) == (400, "InvalidBucketName")
    await with_client(s3, work)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 65536, 200_000])
async def test_what_is_put_comes_back_with_all_that_was_said(s3: S3, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        put = client.put_object(
            Bucket="b1b", Key="a/ü +.txt", Body=body, ContentType="text/x", Metadata={"mode": "644"},
            CacheControl="no-store", ContentDisposition="inline", ContentEncoding="gzip", ContentLanguage="de",
            Expires=datetime(2030, 1, 1, tzinfo=UTC), Tagging="k=v&k2=")
        assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"' and put["ChecksumCRC32"]
        got = client.get_object(Bucket="b1b", Key="a/ü +.txt", ChecksumMode="ENABLED")
        assert got["Body"].read() == body and got["ETag"] == put["ETag"]
        assert got["ChecksumCRC32"] == put["ChecksumCRC32"] and got["ChecksumType"] == "FULL_OBJECT"
        assert (got["ContentType"], got["Metadata"], got["CacheControl"], got["ContentDisposition"],
                got["ContentEncoding"], got["ContentLanguage"], got["TagCount"]) == (
            "text/x", {"mode": "644"}, "no-store", "inline", "gzip", "de", 2)
        head = client.head_object(Bucket="b1b", Key="a/ü +.txt")
        assert head["ContentLength"] == size and head["LastModified"] == got["LastModified"]
    await with_client(s3, work)


async def test_ranges_and_overrides(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        client.put_object(Bucket="b1b", Key="a", Body=b"0123456789" * 20_000)

        def read(text: str) -> tuple[bytes, str]:
            got = client.get_object(Bucket="b1b", Key="a", Range=text)
            return got["Body"].read(), got.get("ContentRange", "")
        assert read("bytes=1-3") == (b"123", "bytes 1-3/200000")
        assert read("bytes=-2") == (b"89", "bytes 199998-199999/200000")
        assert read("bytes=199999-") == (b"9", "bytes 199999-199999/200000")
        assert len(read("bytes=0-1,5-6")[0]) == 200_000, "S3 gives one range or all"
        assert len(read("lines=1-2")[0]) == 200_000
        assert failure(lambda: read("bytes=200000-")) == (416, "InvalidRange")
        got = client.get_object(Bucket="b1b", Key="a", ResponseContentType="x/y", ResponseCacheControl="no-cache",
                                ResponseContentDisposition='attachment; filename="ü"')
        assert (got["ContentType"], got["CacheControl"]) == ("x/y", "no-cache")
    await with_client(s3, work)


async def test_conditions_of_reads(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        etag = client.put_object(Bucket="b1b", Key="a", Body=b"x")["ETag"]
        past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)

        def get(**conditions: Any) -> int:
            return int(client.get_object(Bucket="b1b", Key="a", **conditions)["ResponseMetadata"]["HTTPStatusCode"])
        assert get(IfMatch=etag) == 200 and get(IfMatch=etag, IfUnmodifiedSince=past) == 200
        assert failure(lambda: get(IfMatch='"other"')) == (412, "PreconditionFailed")
        assert failure(lambda: get(IfNoneMatch=etag)) == (304, "304")
        assert failure(lambda: get(IfNoneMatch=etag, IfModifiedSince=past)) == (304, "304")
        assert get(IfNoneMatch='"other"', IfModifiedSince=future) == 200
        assert failure(lambda: get(IfModifiedSince=future)) == (304, "304")
        assert get(IfModifiedSince=past) == 200
        assert failure(lambda: get(IfUnmodifiedSince=past)) == (412, "PreconditionFailed")
        assert failure(lambda: client.head_object(Bucket="b1b", Key="a", IfMatch='"other"')) == (412, "412")
    await with_client(s3, work)


async def test_conditions_of_writes(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")

        def put(**conditions: Any) -> str:
            return str(client.put_object(Bucket="b1b", Key="a", Body=b"x", **conditions)["ETag"])
        assert failure(lambda: put(IfMatch='"x"')) == (404, "NoSuchKey")
        etag = put(IfNoneMatch="*")
        assert failure(lambda: put(IfNoneMatch="*")) == (412, "PreconditionFailed")
        assert failure(lambda: put(IfMatch='"other"')) == (412, "PreconditionFailed")
        assert failure(lambda: put(IfNoneMatch='"other"')) == (501, "NotImplemented")
        put(IfMatch=etag)
        assert failure(lambda: client.delete_object(Bucket="b1b", Key="a", IfMatch='"other"')) == (
            412, "PreconditionFailed")
        client.delete_object(Bucket="b1b", Key="a", IfMatch=etag)
    await with_client(s3, work)


async def test_deleting_one_and_many(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        for key in ("a", "a/b", "a/b/", "a/b/c"):
            client.put_object(Bucket="b1b", Key=key, Body=b"x")
        client.delete_object(Bucket="b1b", Key="a/b/c")
        client.delete_object(Bucket="b1b", Key="a/b/c")
        answer = client.delete_objects(Bucket="b1b", Delete={"Objects": [
            {"Key": "a"}, {"Key": "nothing"}, {"Key": "a//x"}, {"Key": "a/b", "ETag": '"other"'}]})
        assert [line["Key"] for line in answer["Deleted"]] == ["a", "nothing", "a//x"]
        assert [(line["Key"], line["Code"]) for line in answer["Errors"]] == [("a/b", "PreconditionFailed")]
        answer = client.delete_objects(Bucket="b1b", Delete={"Quiet": True, "Objects": [
            {"Key": "a/b"}, {"Key": "a/b/"}]})
        assert "Deleted" not in answer and "Errors" not in answer
        assert client.list_objects_v2(Bucket="b1b")["KeyCount"] == 0
    await with_client(s3, work)


async def test_copies(s3: S3) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        client.create_bucket(Bucket="b2b")
        etag = client.put_object(Bucket="b1b", Key="a b", Body=b"x" * 70_000, Metadata={"m": "1"}, Tagging="t=1",
                                 CacheControl="no-store")["ETag"]
        copied = client.copy_object(Bucket="b2b", Key="c", CopySource={"Bucket": "b1b", "Key": "a b"})
        assert copied["CopyObjectResult"]["ETag"] == etag and copied["CopyObjectResult"]["ChecksumCRC32"]
        head = client.head_object(Bucket="b2b", Key="c")
        assert (head["Metadata"], head["CacheControl"], head["TagCount"]) == ({"m": "1"}, "no-store", 1)
        client.copy_object(Bucket="b2b", Key="c", CopySource="b2b/c", MetadataDirective="REPLACE",
                           Metadata={"n": "2"}, ContentType="x/y", TaggingDirective="REPLACE", Tagging="")
        head = client.head_object(Bucket="b2b", Key="c", ChecksumMode="ENABLED")
        assert (head["Metadata"], head["ContentType"], head.get("CacheControl"), head["ETag"]) == (
            {"n": "2"}, "x/y", None, etag)
        assert head["ChecksumCRC32"] and head.get("TagCount") is None

        def copy(**more: Any) -> None:
            client.copy_object(Bucket="b2b", Key="d", CopySource="b2b/c", **more)
        assert failure(lambda: client.copy_object(Bucket="b2b", Key="c", CopySource="b2b/c")) == (
            400, "InvalidRequest")
        assert failure(lambda: copy(CopySourceIfMatch='"other"')) == (412, "PreconditionFailed")
        assert failure(lambda: copy(CopySourceIfNoneMatch=etag)) == (412, "PreconditionFailed")
        assert failure(lambda: client.copy_object(Bucket="b2b", Key="d", CopySource="b2b/none")) == (
            404, "NoSuchKey")
        assert failure(lambda: client.copy_object(Bucket="b2b", Key="d", CopySource="none/none")) == (
            404, "NoSuchBucket")
        copy(CopySourceIfMatch=etag, IfNoneMatch="*")
        assert failure(lambda: copy(IfNoneMatch="*")) == (412, "PreconditionFailed")
    await with_client(s3, work)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
async def test_checksums_of_all_kinds_are_kept(s3: S3, algorithm: str) -> None:
    def work(client: Any) -> None:
        client.create_bucket(Bucket="b1b")
        put = client.put_object(Bucket="b1b", Key="a", Body=b"x" * 5_000, ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        got = client.get_object(Bucket="b1b", Key="a", ChecksumMode="ENABLED")
        assert got["Body"].read() and got[name] == put[name]
        assert failure(lambda: client.put_object(Bucket="b1b", Key="a", Body=b"y" * 5_000, **{name: put[name]})) == (
            400, "BadDigest")
    await with_client(s3, work)


async def test_a_native_file_has_no_etag_that_looks_like_md5(s3: S3) -> None:
    await s3.native.put("admin/a", b"hello")

    def work(client: Any) -> None:
        head = client.head_object(Bucket="admin", Key="a")
        assert head["ETag"].endswith('-1"')
        listed = client.list_objects_v2(Bucket="admin")["Contents"][0]
        assert listed["ETag"] == head["ETag"]
        client.put_object(Bucket="admin", Key="a", Body=b"again", IfMatch=head["ETag"])
    await with_client(s3, work)
    answer, body = await s3.native.get("admin/a")
    assert answer.status == 200 and body == b"again"


async def test_a_large_object_is_read_and_appended_to_by_people(s3: S3) -> None:
    def work(client: Any) -> None:
        client.put_object(Bucket="admin", Key="a", Body=b"x" * 200_000, CacheControl="no-store")
    await with_client(s3, work)
    answer, body = await s3.native.get("admin/a")
    assert answer.status == 200 and body == b"x" * 200_000 and "Fluffy-Blake3" not in answer.headers
    async with s3.native.client.post(s3.native.file_url("admin/a") + "?append", data=b"y") as answer:
        assert answer.status == 200

    def look(client: Any) -> None:
        got = client.get_object(Bucket="admin", Key="a", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"x" * 200_000 + b"y" and got["ETag"].endswith('-1"')
        assert "ChecksumCRC32" not in got and got["CacheControl"] == "no-store"
    client = s3.client(KeyPair("ADMINKEY", "a secret key"))
    await s3.run(lambda: look(client))


async def test_another_user_is_refused_and_a_wrong_secret_is_no_credential(s3: S3) -> None:
    async with s3.native.client.post(f"{s3.native.url}/v1/admin/users", json={"name": "bob"}) as answer:
        assert answer.status == 201
    bob = await s3.add_key("bob", "BOBKEY")
    admin = await s3.add_key("admin", "ADMINKEY")

    def work() -> None:
        s3.client(admin).put_object(Bucket="admin", Key="a", Body=b"x")
        client = s3.client(bob)
        client.put_object(Bucket="bob", Key="a", Body=b"x")
        assert failure(lambda: client.get_object(Bucket="admin", Key="a")) == (403, "AccessDenied")
        assert failure(lambda: client.put_object(Bucket="admin", Key="b", Body=b"x")) == (403, "AccessDenied")
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["bob"]
        assert failure(lambda: s3.client(KeyPair("BOBKEY", "wrong secret")).list_buckets()) == (
            403, "SignatureDoesNotMatch")
        assert failure(lambda: s3.client(KeyPair("NOKEY", "wrong secret")).list_buckets()) == (
            403, "InvalidAccessKeyId")
        assert failure(lambda: s3.client(None).list_buckets()) == (403, "AccessDenied")
        assert failure(lambda: s3.client(None).get_object(Bucket="bob", Key="a")) == (403, "AccessDenied")
    await s3.run(work)
