"""Versions of objects over the S3 door: ids, delete markers, `null`, listings in pages."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fluffy.gateways.s3 import deleting
from tests.support.s3_door import S3, failure, running_s3


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


class Bucket:
    """The bucket `vers`, said shortly."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def status(self, status: str) -> None:
        self.client.put_bucket_versioning(Bucket="vers", VersioningConfiguration={"Status": status})

    def put(self, key: str, body: bytes) -> str | None:
        return self.client.put_object(Bucket="vers", Key=key, Body=body).get("VersionId")

    def get(self, key: str, version: str | None = None) -> bytes:
        more = {} if version is None else {"VersionId": version}
        return bytes(self.client.get_object(Bucket="vers", Key=key, **more)["Body"].read())

    def delete(self, key: str, version: str | None = None) -> dict[str, Any]:
        more = {} if version is None else {"VersionId": version}
        return dict(self.client.delete_object(Bucket="vers", Key=key, **more))

    def lines(self, **more: Any) -> list[tuple[str, str, bool, bool]]:
        """(key, id, is latest, is marker) as they stand in one answer, merged as clients do."""
        page = self.client.list_object_versions(Bucket="vers", **more)
        found = [(line["Key"], line["VersionId"], line["IsLatest"], name == "DeleteMarkers")
                 for name in ("Versions", "DeleteMarkers") for line in page.get(name, [])]
        return sorted(found, key=lambda line: (line[0], not line[2], -int(line[1]) if line[1].isdigit() else 0))


async def with_bucket(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def begin() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="vers")
        work(Bucket(client))
    await s3.run(begin)


async def test_a_bucket_without_versions_has_null_ones(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        assert "Status" not in bucket.client.get_bucket_versioning(Bucket="vers")
        assert bucket.put("a", b"1") is None and bucket.put("a", b"2") is None
        assert bucket.lines() == [("a", "null", True, False)]
        assert bucket.get("a", "null") == b"2"
        assert failure(lambda: bucket.get("a", "7")) == (404, "NoSuchVersion")
        assert failure(lambda: bucket.get("a", "x")) == (400, "InvalidArgument")
        assert "DeleteMarker" not in bucket.delete("a", "null")
        assert bucket.lines() == [] and failure(lambda: bucket.get("a", "null")) == (404, "NoSuchVersion")
    await with_bucket(s3, work)


async def test_every_put_is_a_version_with_an_id(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.put("a", b"0")
        bucket.status("Enabled")
        assert bucket.client.get_bucket_versioning(Bucket="vers")["Status"] == "Enabled"
        one, two = bucket.put("a", b"1"), bucket.put("a", b"2")
        assert one and two and one != two
        assert (bucket.get("a"), bucket.get("a", one), bucket.get("a", "null")) == (b"2", b"1", b"0")
        head = bucket.client.head_object(Bucket="vers", Key="a")
        assert head["VersionId"] == two
        page = bucket.client.list_object_versions(Bucket="vers")["Versions"]
        assert [(line["VersionId"], line["IsLatest"], line["Size"]) for line in page] == [
            (two, True, 1), (one, False, 1), ("null", False, 1)]
        copied = bucket.client.copy_object(Bucket="vers", Key="b", CopySource={
            "Bucket": "vers", "Key": "a", "VersionId": one})
        assert copied["CopySourceVersionId"] == one and copied["VersionId"] not in (one, two)
        assert bucket.get("b") == b"1"
    await with_bucket(s3, work)


async def test_deleting_hides_and_deleting_the_marker_shows_again(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        one = bucket.put("d/a", b"1")
        gone = bucket.delete("d/a")
        assert gone["DeleteMarker"] and gone["VersionId"]
        with pytest.raises(ClientError) as caught:
            bucket.get("d/a")
        headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-delete-marker"] == "true" and headers["x-amz-version-id"] == gone["VersionId"]
        assert "Contents" not in bucket.client.list_objects_v2(Bucket="vers")
        assert bucket.lines() == [("d/a", gone["VersionId"], True, True), ("d/a", one, False, False)]
        assert bucket.get("d/a", one) == b"1"
        assert failure(lambda: bucket.get("d/a", gone["VersionId"])) == (405, "MethodNotAllowed")
        again = bucket.delete("d/a", gone["VersionId"])
        assert again["DeleteMarker"] and again["VersionId"] == gone["VersionId"]
        assert bucket.get("d/a") == b"1" and bucket.lines() == [("d/a", one, True, False)]
        bucket.delete("d/a", one)
        assert bucket.lines() == [] and bucket.delete("d/a", one)["VersionId"] == one
        bucket.client.delete_bucket(Bucket="vers")
    await with_bucket(s3, work)


async def test_deleting_the_current_version_brings_back_the_one_before(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        ids = [bucket.put("a", b"%d" % number) for number in range(4)]
        bucket.delete("a", ids[3])
        assert bucket.get("a") == b"2" and bucket.client.head_object(Bucket="vers", Key="a")["VersionId"] == ids[2]
        bucket.delete("a", ids[1])
        bucket.delete("a", ids[2])
        assert bucket.get("a") == b"0" and bucket.lines() == [("a", ids[0], True, False)]
        new = bucket.put("a", b"new")
        assert bucket.lines() == [("a", new, True, False), ("a", ids[0], False, False)]
    await with_bucket(s3, work)


async def test_suspended_buckets_have_one_null_version(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        one = bucket.put("a", b"1")
        bucket.status("Suspended")
        assert bucket.put("a", b"2") == "null" and bucket.put("a", b"3") == "null"
        assert bucket.lines() == [("a", "null", True, False), ("a", one, False, False)]
        gone = bucket.delete("a")
        assert gone["DeleteMarker"] and gone["VersionId"] == "null"
        assert bucket.lines() == [("a", "null", True, True), ("a", one, False, False)]
        assert bucket.delete("a", "null")["DeleteMarker"]
        assert bucket.get("a") == b"1"
    await with_bucket(s3, work)


async def test_many_are_deleted_at_once(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        one, two = bucket.put("a", b"1"), bucket.put("b", b"1")
        done = bucket.client.delete_objects(Bucket="vers", Delete={"Objects": [
            {"Key": "a", "VersionId": one}, {"Key": "b"}, {"Key": "c", "VersionId": "x"}]})
        deleted = {line["Key"]: line for line in done["Deleted"]}
        assert deleted["a"]["VersionId"] == one and "DeleteMarker" not in deleted["a"]
        assert deleted["b"]["DeleteMarker"] and deleted["b"]["DeleteMarkerVersionId"]
        assert [(line["Key"], line["Code"]) for line in done["Errors"]] == [("c", "InvalidArgument")]
        assert bucket.lines() == [("b", deleted["b"]["DeleteMarkerVersionId"], True, True), ("b", two, False, False)]
    await with_bucket(s3, work)


async def test_many_versions_are_deleted_without_comparing_each_with_each(s3: S3, monkeypatch: Any) -> None:
    compared: list[object] = []
    monkeypatch.setattr(deleting._Item, "__eq__", lambda one, other: bool(compared.append(other)) or one is other)
    threads: list[str] = []
    parse = deleting.parse_delete
    monkeypatch.setattr(deleting, "parse_delete",
                        lambda data: threads.append(threading.current_thread().name) or parse(data))

    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        bucket.put("a", b"1")
        objects = [{"Key": f"k{number}" + "x" * 200} for number in range(300)]
        bucket.client.delete_objects(Bucket="vers", Delete={"Objects": [
            *objects, *({"Key": "a", "VersionId": str(number + 1_000_000)} for number in range(300))]})
        bucket.client.delete_objects(Bucket="vers", Delete={"Objects": [{"Key": "a"}]})
    await with_bucket(s3, work)
    assert not compared
    assert len(threads) == 2 and threads[0] != "MainThread" and threads[1] == "MainThread"


async def test_pages_of_versions(s3: S3) -> None:
    def work(bucket: Bucket) -> None:
        bucket.status("Enabled")
        for key in ("a", "b/1", "b/2", "c ü", "d"):
            for body in (b"1", b"2", b"3"):
                bucket.put(key, body)
        bucket.delete("d")
        everything = bucket.lines()
        assert len(everything) == 16
        for size in (1, 2, 5, 16):
            seen: list[tuple[str, str]] = []
            markers: dict[str, str] = {}
            while True:
                page = bucket.client.list_object_versions(Bucket="vers", MaxKeys=size, **markers)
                lines = [line for name in ("DeleteMarkers", "Versions") for line in page.get(name, [])]
                assert len(lines) <= size
                seen += [(line["Key"], line["VersionId"]) for line in lines]
                if not page["IsTruncated"]:
                    break
                markers = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
            assert sorted(seen) == sorted((key, version) for key, version, _, _ in everything), size
        grouped = bucket.client.list_object_versions(Bucket="vers", Delimiter="/", MaxKeys=4)
        assert [line["Key"] for line in grouped["Versions"]] == ["a"] * 3
        assert grouped["CommonPrefixes"] == [{"Prefix": "b/"}] and grouped["NextKeyMarker"] == "b/"
        rest = bucket.client.list_object_versions(Bucket="vers", Delimiter="/", KeyMarker="b/")
        assert [line["Key"] for line in rest["Versions"]] == ["c ü"] * 3 + ["d"] * 3
        assert [line[0] for line in bucket.lines(Prefix="b/2")] == ["b/2"] * 3
        assert failure(lambda: bucket.lines(VersionIdMarker="5")) == (400, "InvalidArgument")
    await with_bucket(s3, work)
