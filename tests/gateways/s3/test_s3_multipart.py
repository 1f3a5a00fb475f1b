"""Objects in parts over the S3 door, with boto3 as it comes."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from boto3.s3.transfer import TransferConfig

from fluffy.core.metadata import queries_object_uploads, queries_objects
from fluffy.wire import s3_checksums
from tests.support.s3_door import S3, failure, running_s3

MIB = 1 << 20
PART = bytes(range(256)) * (5 * MIB // 256)
TAIL = b"the rest"


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


async def with_client(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def begin() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="parts")
        work(client)
    await s3.run(begin)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def put_part(client: Any, upload: str, number: int, data: bytes, **more: Any) -> dict[str, Any]:
    got = client.upload_part(Bucket="parts", Key="k", UploadId=upload, PartNumber=number, Body=data, **more)
    return {"PartNumber": number, "ETag": got["ETag"]}


def complete(client: Any, upload: str, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return dict(client.complete_multipart_upload(Bucket="parts", Key="k", UploadId=upload,
                                                 MultipartUpload={"Parts": parts}, **more))


def begin(client: Any, **more: Any) -> str:
    return str(client.create_multipart_upload(Bucket="parts", Key="k", **more)["UploadId"])


async def test_parts_in_any_order_make_the_object(s3: S3) -> None:
    def work(client: Any) -> None:
        upload = begin(client, Metadata={"m": "1"}, ContentType="a/b", Tagging="k=v")
        last = put_part(client, upload, 7, TAIL)
        first = put_part(client, upload, 2, b"wrong")
        first = put_part(client, upload, 2, PART)
        listed = client.list_parts(Bucket="parts", Key="k", UploadId=upload)
        assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed["Parts"]] == [
            (2, len(PART), f'"{md5(PART)}"'), (7, len(TAIL), f'"{md5(TAIL)}"')]
        assert failure(lambda: client.get_object(Bucket="parts", Key="k")) == (404, "NoSuchKey")
        done = complete(client, upload, [first, last])
        etag = hashlib.md5(bytes.fromhex(md5(PART)) + bytes.fromhex(md5(TAIL))).hexdigest() + "-2"
        assert done["ETag"] == f'"{etag}"' and done["Key"] == "k" and done["Location"].endswith("/parts/k")
        got = client.get_object(Bucket="parts", Key="k")
        assert got["Body"].read() == PART + TAIL and got["ETag"] == f'"{etag}"'
        assert (got["Metadata"], got["ContentType"], got["TagCount"]) == ({"m": "1"}, "a/b", 1)
        second = client.get_object(Bucket="parts", Key="k", PartNumber=2)
        assert second["Body"].read() == TAIL and second["PartsCount"] == 2
        assert second["ContentRange"] == f"bytes {len(PART)}-{len(PART) + len(TAIL) - 1}/{len(PART) + len(TAIL)}"
        assert complete(client, upload, [first, last])["ETag"] == done["ETag"], "a lost answer is given again"
        assert failure(lambda: client.list_parts(Bucket="parts", Key="k", UploadId=upload)) == (404, "NoSuchUpload")
    await with_client(s3, work)


async def test_parts_that_do_not_fit_are_refused(s3: S3) -> None:
    def work(client: Any) -> None:
        upload = begin(client)
        one, two = put_part(client, upload, 1, TAIL), put_part(client, upload, 2, TAIL)
        assert failure(lambda: complete(client, upload, [one, two])) == (400, "EntityTooSmall")
        assert failure(lambda: complete(client, upload, [two, one])) == (400, "InvalidPartOrder")
        assert failure(lambda: complete(client, upload, [one, {**two, "PartNumber": 3}])) == (400, "InvalidPart")
        assert failure(lambda: complete(client, upload, [{**one, "ETag": f'"{md5(b"x")}"'}])) == (400, "InvalidPart")
        assert failure(lambda: complete(client, upload, [{**one, "ETag": "x"}])) == (400, "InvalidPart")
        assert failure(lambda: complete(client, upload, [])) == (400, "MalformedXML")
        assert failure(lambda: complete(client, "0" * 32, [one])) == (404, "NoSuchUpload")
        assert failure(lambda: put_part(client, upload, 10_001, b"")) == (400, "InvalidArgument")
        assert failure(lambda: client.upload_part(Bucket="parts", Key="other", UploadId=upload, PartNumber=1,
                                                  Body=b"")) == (404, "NoSuchUpload")
        assert failure(lambda: complete(client, upload, [one], IfMatch='"x"'))[0] in (404, 412)
        client.put_object(Bucket="parts", Key="k", Body=b"there")
        assert failure(lambda: complete(client, upload, [one], IfNoneMatch="*")) == (412, "PreconditionFailed")
        assert complete(client, upload, [one])["ETag"].endswith('-1"')
        assert client.get_object(Bucket="parts", Key="k")["Body"].read() == TAIL
    await with_client(s3, work)


async def test_an_empty_object_may_be_made_of_an_empty_part(s3: S3) -> None:
    def work(client: Any) -> None:
        upload = begin(client)
        complete(client, upload, [put_part(client, upload, 1, b"")])
        got = client.get_object(Bucket="parts", Key="k")
        assert got["Body"].read() == b"" and got["ContentLength"] == 0
    await with_client(s3, work)


@pytest.mark.parametrize("algorithm,kind", [
    ("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32C", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"),
    ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "COMPOSITE"), ("SHA256", "COMPOSITE")])
async def test_checksums_of_wholes(s3: S3, algorithm: str, kind: str) -> None:
    name = algorithm.lower()

    def work(client: Any) -> None:
        upload = begin(client, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        parts = [put_part(client, upload, number, data, ChecksumAlgorithm=algorithm)
                 for number, data in ((1, PART), (2, TAIL))]
        sums = [s3_checksums.digest_of(name, data) for data in (PART, TAIL)]
        listed = client.list_parts(Bucket="parts", Key="k", UploadId=upload)
        assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
        assert [part[f"Checksum{algorithm}"] for part in listed["Parts"]] == list(map(s3_checksums.encode, sums))
        expected = s3_checksums.encode(s3_checksums.digest_of(name, PART + TAIL))
        if kind == "COMPOSITE":
            expected = s3_checksums.encode(s3_checksums.digest_of(name, b"".join(sums))) + "-2"
        wrong = s3_checksums.encode(bytes(s3_checksums.SIZES[name])) + ("-2" if kind == "COMPOSITE" else "")
        assert failure(lambda: complete(client, upload, parts, **{f"Checksum{algorithm}": wrong})) == (
            400, "BadDigest")
        done = complete(client, upload, parts, **{f"Checksum{algorithm}": expected})
        assert (done[f"Checksum{algorithm}"], done["ChecksumType"]) == (expected, kind)
        head = client.head_object(Bucket="parts", Key="k", ChecksumMode="ENABLED")
        assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, kind)
    await with_client(s3, work)


async def test_checksums_that_cannot_be_are_refused(s3: S3) -> None:
    def work(client: Any) -> None:
        assert failure(lambda: begin(client, ChecksumAlgorithm="SHA1", ChecksumType="FULL_OBJECT")) == (
            400, "InvalidRequest")
        assert failure(lambda: begin(client, ChecksumAlgorithm="CRC64NVME", ChecksumType="COMPOSITE")) == (
            400, "InvalidRequest")
        upload = begin(client, ChecksumAlgorithm="SHA256")
        assert failure(lambda: put_part(client, upload, 1, TAIL, ChecksumAlgorithm="SHA1")) == (400, "InvalidRequest")
        wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
        upload = begin(client, ChecksumAlgorithm="CRC32")
        assert failure(lambda: put_part(client, upload, 1, TAIL, ChecksumCRC32=wrong)) == (400, "BadDigest")
        assert "Parts" not in client.list_parts(Bucket="parts", Key="k", UploadId=upload)
    await with_client(s3, work)


async def test_parts_may_be_ranges_of_other_objects(s3: S3) -> None:
    def work(client: Any) -> None:
        data = bytes(i * 7 % 251 for i in range(9 * MIB))
        client.put_object(Bucket="parts", Key="source/ü", Body=data)
        source = {"Bucket": "parts", "Key": "source/ü"}

        def copy(number: int, span: str | None, **more: Any) -> dict[str, Any]:
            asked = {} if span is None else {"CopySourceRange": span}
            got = client.upload_part_copy(Bucket="parts", Key="k", UploadId=upload, PartNumber=number,
                                          CopySource=source, **asked, **more)["CopyPartResult"]
            return {"PartNumber": number, "ETag": got["ETag"]}
        upload = begin(client)
        parts = [copy(1, f"bytes=1-{6 * MIB}"), copy(2, None), copy(3, "bytes=0-0")]
        assert parts[1]["ETag"] == f'"{md5(data)}"'
        complete(client, upload, parts)
        assert client.get_object(Bucket="parts", Key="k")["Body"].read() == data[1:6 * MIB + 1] + data + data[:1]
        upload = begin(client)
        assert failure(lambda: copy(1, f"bytes=0-{9 * MIB}")) == (416, "InvalidRange")
        assert failure(lambda: copy(1, "bytes=5-")) == (400, "InvalidArgument")
        assert failure(lambda: copy(1, None, CopySourceIfMatch='"x"')) == (412, "PreconditionFailed")
        source["Key"] = "missing"
        assert failure(lambda: copy(1, None)) == (404, "NoSuchKey")
    await with_client(s3, work)


async def test_uploads_are_listed_and_aborted(s3: S3) -> None:
    def work(client: Any) -> None:
        def start(key: str) -> str:
            return str(client.create_multipart_upload(Bucket="parts", Key=key)["UploadId"])

        def ask(**more: Any) -> dict[str, Any]:
            return dict(client.list_multipart_uploads(Bucket="parts", **more))
        ids = {key: start(key) for key in ("a", "b/1", "b/2", "c ü", "b/1/x")}
        again = start("a")
        everything = [(upload["Key"], upload["UploadId"]) for upload in ask()["Uploads"]]
        assert everything == [("a", ids["a"]), ("a", again), ("b/1", ids["b/1"]), ("b/1/x", ids["b/1/x"]),
                              ("b/2", ids["b/2"]), ("c ü", ids["c ü"])]
        grouped = ask(Delimiter="/")
        assert [upload["Key"] for upload in grouped["Uploads"]] == ["a", "a", "c ü"]
        assert grouped["CommonPrefixes"] == [{"Prefix": "b/"}]
        assert [upload["Key"] for upload in ask(Prefix="b/1")["Uploads"]] == ["b/1", "b/1/x"]
        seen: list[tuple[str, str]] = []
        markers: dict[str, str] = {}
        while True:
            page = ask(MaxUploads=1, **markers)
            seen += [(upload["Key"], upload["UploadId"]) for upload in page["Uploads"]]
            if not page["IsTruncated"]:
                break
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
        assert seen == everything
        client.abort_multipart_upload(Bucket="parts", Key="a", UploadId=again)
        assert failure(lambda: client.abort_multipart_upload(Bucket="parts", Key="a", UploadId=again)) == (
            404, "NoSuchUpload")
        assert [upload["UploadId"] for upload in ask(Prefix="a")["Uploads"]] == [ids["a"]]
    await with_client(s3, work)


async def test_boto3_moves_large_files_by_itself(s3: S3, tmp_path: Path) -> None:
    data = hashlib.shake_128(b"x").digest(20 * MIB + 13)
    (tmp_path / "up").write_bytes(data)

    def work(client: Any) -> None:
        client.upload_file(str(tmp_path / "up"), "parts", "k", Config=TransferConfig(
            multipart_threshold=MIB, multipart_chunksize=5 * MIB, max_concurrency=4))
        client.download_file("parts", "k", str(tmp_path / "down"), Config=TransferConfig(
            multipart_threshold=MIB, multipart_chunksize=3 * MIB, max_concurrency=4))
        assert (tmp_path / "down").read_bytes() == data
    await with_client(s3, work)


class Lag:
    """A node that is behind until somebody waits at the gate for the newest state; `point` takes the gate's place."""

    def __init__(self, s3: S3) -> None:
        self.is_behind = True
        self.gate = s3.native.desk.gate
        self._catch_up = self.gate.point

    async def point(self, *arguments: Any) -> Any:
        self.is_behind = False
        return await self._catch_up(*arguments)


async def test_a_part_put_a_moment_ago_at_another_node_is_looked_for_again(
        s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    lag, known = Lag(s3), queries_object_uploads.object_parts

    def work(client: Any) -> None:
        upload = begin(client)
        part = {"PartNumber": 1, "ETag": client.upload_part(
            Bucket="parts", Key="k", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]}
        monkeypatch.setattr(queries_object_uploads, "object_parts",
                            lambda *arguments: () if lag.is_behind else known(*arguments))
        monkeypatch.setattr(lag.gate, "point", lag.point)
        client.complete_multipart_upload(Bucket="parts", Key="k", UploadId=upload, MultipartUpload={"Parts": [part]})
    await with_client(s3, work)


async def test_a_bucket_made_a_moment_ago_at_another_node_is_looked_for_again(
        s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    lag, known = Lag(s3), queries_objects.bucket_facts

    def work(client: Any) -> None:
        monkeypatch.setattr(queries_objects, "bucket_facts",
                            lambda db, name: None if lag.is_behind else known(db, name))
        monkeypatch.setattr(lag.gate, "point", lag.point)

        def post_form() -> None:
            fields = client.generate_presigned_post("parts", "form")["fields"]
            body = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
                           for name, text in fields.items())
            body += '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
            with urlopen(Request(f"{s3.url}/parts", body.encode(), {
                    "Content-Type": "multipart/form-data; boundary=b"}), timeout=20) as answer:
                assert answer.status == 204
        for write in (lambda: client.put_object(Bucket="parts", Key="a", Body=b"x"), lambda: begin(client), post_form):
            lag.is_behind = True
            write()
    await with_client(s3, work)
