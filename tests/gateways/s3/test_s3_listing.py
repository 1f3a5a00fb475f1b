"""Listings over the S3 door: order, groups, pages, encoding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.support.metadata_commands import put
from tests.support.s3_door import S3, failure, running_s3

KEYS = ["a", "a/", "a/b", "a/b/c", "a-b", "b c", "b+c", "d&<e>", "ü/x", "z/y"]


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


async def with_client(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def filled() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="bucket")
        for key in KEYS:
            client.put_object(Bucket="bucket", Key=key, Body=key.encode())
        work(client)
    await s3.run(filled)


def keys_of(answer: Any) -> list[str]:
    return [line["Key"] for line in answer.get("Contents", [])]


def groups_of(answer: Any) -> list[str]:
    return [line["Prefix"] for line in answer.get("CommonPrefixes", [])]


async def test_everything_comes_in_the_order_of_bytes_page_by_page(s3: S3) -> None:
    def work(client: Any) -> None:
        assert keys_of(client.list_objects_v2(Bucket="bucket")) == sorted(KEYS)
        assert keys_of(client.list_objects(Bucket="bucket")) == sorted(KEYS)
        for version in ("list_objects", "list_objects_v2"):
            for size in (1, 3):
                pages = client.get_paginator(version).paginate(Bucket="bucket", PaginationConfig={"PageSize": size})
                found = [keys_of(page) for page in pages]
                assert [*chain(*found)] == sorted(KEYS) and all(len(page) <= size for page in found)
    await with_client(s3, work)


async def test_groups_are_counted_and_paged_like_keys(s3: S3) -> None:
    def work(client: Any) -> None:
        answer = client.list_objects_v2(Bucket="bucket", Delimiter="/")
        assert keys_of(answer) == ["a", "a-b", "b c", "b+c", "d&<e>"] and groups_of(answer) == ["a/", "z/", "ü/"]
        assert answer["KeyCount"] == 8 and answer["Delimiter"] == "/"
        for version in ("list_objects", "list_objects_v2"):
            pages = [*client.get_paginator(version).paginate(
                Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 2})]
            assert [*chain(*map(groups_of, pages))] == ["a/", "z/", "ü/"]
            assert [*chain(*map(keys_of, pages))] == ["a", "a-b", "b c", "b+c", "d&<e>"]
        answer = client.list_objects_v2(Bucket="bucket", Delimiter="/", Prefix="a/")
        assert keys_of(answer) == ["a/", "a/b"] and groups_of(answer) == ["a/b/"]
        answer = client.list_objects_v2(Bucket="bucket", Delimiter="b", Prefix="a")
        assert keys_of(answer) == ["a", "a/"] and groups_of(answer) == ["a-b", "a/b"]
    await with_client(s3, work)


async def test_where_a_listing_begins(s3: S3) -> None:
    def work(client: Any) -> None:
        answer = client.list_objects_v2(Bucket="bucket", StartAfter="a/b")
        assert keys_of(answer) == ["a/b/c", "b c", "b+c", "d&<e>", "z/y", "ü/x"] and answer["StartAfter"] == "a/b"
        answer = client.list_objects(Bucket="bucket", Marker="a/", Delimiter="/")
        assert groups_of(answer) == ["z/", "ü/"] and answer["Marker"] == "a/"
        answer = client.list_objects_v2(Bucket="bucket", StartAfter="a/b", Delimiter="/")
        assert groups_of(answer) == ["a/", "z/", "ü/"]
        first = client.list_objects_v2(Bucket="bucket", MaxKeys=2)
        again = client.list_objects_v2(Bucket="bucket", MaxKeys=2, ContinuationToken=first["NextContinuationToken"],
                                       StartAfter="zzz")
        assert keys_of(again) == sorted(KEYS)[2:4], "a token goes before start-after"
        assert failure(lambda: client.list_objects_v2(Bucket="bucket", ContinuationToken="made up")) == (
            400, "InvalidArgument")
        assert keys_of(client.list_objects_v2(Bucket="bucket", StartAfter="zzzz")) == ["ü/x"]
        nothing = client.list_objects_v2(Bucket="bucket", MaxKeys=0)
        assert nothing["KeyCount"] == 0 and not nothing["IsTruncated"]
    await with_client(s3, work)


async def test_owners_are_named_when_asked(s3: S3) -> None:
    def work(client: Any) -> None:
        assert "Owner" not in client.list_objects_v2(Bucket="bucket")["Contents"][0]
        owner = client.list_objects_v2(Bucket="bucket", FetchOwner=True)["Contents"][0]["Owner"]
        assert owner["DisplayName"] == "admin" and owner["ID"] == client.list_buckets()["Owner"]["ID"]
        assert client.list_objects(Bucket="bucket")["Contents"][0]["Owner"] == owner
    await with_client(s3, work)


async def test_keys_are_encoded_when_asked(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def work() -> None:
        client = s3.client(pair)
        # The SDK would ask for it and decode again, unseen.
        client.meta.events.unregister("before-parameter-build.s3.ListObjectsV2", _handler(client, "set_list_objects"))
        client.create_bucket(Bucket="bucket")
        for key in KEYS:
            client.put_object(Bucket="bucket", Key=key, Body=b"")
        answer = client.list_objects_v2(Bucket="bucket", EncodingType="url")
        assert keys_of(answer) == ["a", "a-b", "a/", "a/b", "a/b/c", "b%20c", "b%2Bc", "d%26%3Ce%3E", "z/y",
                                   "%C3%BC/x"]
        assert answer["EncodingType"] == "url"
        assert failure(lambda: client.list_objects_v2(Bucket="bucket", EncodingType="base64")) == (
            400, "InvalidArgument")
    await s3.run(work)


def _handler(client: Any, name: str) -> Any:
    from botocore import handlers
    return getattr(handlers, f"{name}_encoding_type_url")


async def test_people_s_empty_folders_are_no_groups_and_their_files_are_objects(s3: S3) -> None:
    native = s3.native
    async with native.client.put(f"{native.url}/v1/dirs/admin/empty") as answer:
        assert answer.status == 201
    await native.put("admin/full/a", b"x")

    def work(client: Any) -> None:
        answer = client.list_objects_v2(Bucket="admin", Delimiter="/")
        assert groups_of(answer) == ["full/"] and keys_of(answer) == []
        assert keys_of(client.list_objects_v2(Bucket="admin")) == ["full/a"]
    await with_client(s3, work)


async def test_listings_say_which_checksum_is_kept_of_an_object(s3: S3) -> None:
    def work(client: Any) -> None:
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket="bucket", Key="a", Body=b"again", ChecksumAlgorithm="SHA256")
        upload = client.create_multipart_upload(Bucket="bucket", Key="b", ChecksumAlgorithm="SHA1",
                                                ChecksumType="COMPOSITE")["UploadId"]
        part = client.upload_part(Bucket="bucket", Key="b", UploadId=upload, PartNumber=1, Body=b"part",
                                  ChecksumAlgorithm="SHA1")
        client.complete_multipart_upload(Bucket="bucket", Key="b", UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA1": part["ChecksumSHA1"]}]})
        client.delete_object(Bucket="bucket", Key="a-b")
        wanted = {"a": (["SHA256"], "FULL_OBJECT"), "b": (["SHA1"], "COMPOSITE"), "a/b": (["CRC32"], "FULL_OBJECT")}
        for listing in (client.list_objects_v2, client.list_objects):
            assert sums_of(listing(Bucket="bucket")["Contents"]).items() >= wanted.items()
            assert sums_of(listing(Bucket="bucket", Delimiter="/")["Contents"])["a"] == wanted["a"]
        versions = client.list_object_versions(Bucket="bucket")
        assert sums_of(line for line in versions["Versions"] if line["IsLatest"]).items() >= wanted.items()
        assert [sums_of([line])["a"][0] for line in versions["Versions"] if line["Key"] == "a"] == [
            ["SHA256"], ["CRC32"]]
        assert "ChecksumAlgorithm" not in versions["DeleteMarkers"][0]
    await with_client(s3, work)


def sums_of(lines: Iterable[Any]) -> dict[str, tuple[list[str], str]]:
    return {line["Key"]: (line["ChecksumAlgorithm"], line["ChecksumType"]) for line in lines}


async def test_an_object_without_a_checksum_is_listed_without_one(s3: S3) -> None:
    def work(client: Any) -> None:
        lines = {line["Key"]: line for line in client.list_objects_v2(Bucket="admin")["Contents"]}
        assert "ChecksumAlgorithm" not in lines["native.txt"] and "ChecksumType" not in lines["native.txt"]
    await s3.native.desk.propose(put("admin/native.txt"))
    await with_client(s3, work)
