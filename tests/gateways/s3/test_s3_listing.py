"""Listings over the S3 door: order, groups, pages, encoding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

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
