"""Corners of AWS's behaviour that clients lean on: dates, quotes, empty pages, conditions of deletions, framing."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.s3.world import World, code_of, raw

BODY = b"0123456789"
ETAG = f'"{hashlib.md5(BODY).hexdigest()}"'
MIB = 1 << 20


@pytest.fixture(scope="module")
def ten(world: World, shared: str) -> str:
    world.s3.put_object(Bucket=shared, Key="ten", Body=BODY)
    return shared


def sent(world: World, verb: str, method: str, headers: dict[str, str], body: bytes | None = None,
         **params: Any) -> Any:
    """By a presigned URL: with headers that boto3 would not send so. Those of `x-amz-` must go through `params`."""
    return raw(world.v4.generate_presigned_url(verb, Params=params), method, body, headers)


# -- dates

@pytest.mark.parametrize("form", [
    "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"], ids=["1123", "850", "asctime"])
@pytest.mark.parametrize("hours,since,unless", [(-1, 200, 412), (1, 304, 200)])
def test_dates_of_conditions_have_three_forms(world: World, ten: str, form: str, hours: int, since: int,
                                              unless: int) -> None:
    text = (datetime.now(UTC) + timedelta(hours=hours)).strftime(form)
    for header, status in (("If-Modified-Since", since), ("If-Unmodified-Since", unless)):
        assert sent(world, "get_object", "GET", {header: text}, Bucket=ten, Key="ten").status == status


@pytest.mark.parametrize("header", ["If-Modified-Since", "If-Unmodified-Since"])
@pytest.mark.parametrize("text", ["yesterday", "", "2026-01-01T00:00:00Z", "99999999999999999999", "0"])
def test_a_date_that_is_none_is_no_condition(world: World, ten: str, header: str, text: str) -> None:
    assert sent(world, "get_object", "GET", {header: text}, Bucket=ten, Key="ten").status == 200


def test_the_second_of_the_change_is_not_after_it(s3: Any, ten: str) -> None:
    at = s3.head_object(Bucket=ten, Key="ten")["LastModified"]
    assert code_of(lambda: s3.get_object(Bucket=ten, Key="ten", IfModifiedSince=at))[0] == 304
    assert code_of(lambda: s3.get_object(Bucket=ten, Key="ten", IfUnmodifiedSince=at))[0] == 200
    before = at - timedelta(seconds=1)
    assert code_of(lambda: s3.get_object(Bucket=ten, Key="ten", IfModifiedSince=before))[0] == 200
    assert code_of(lambda: s3.get_object(Bucket=ten, Key="ten", IfUnmodifiedSince=before))[0] == 412


def test_an_answer_s_dates(world: World, ten: str) -> None:
    answer = sent(world, "get_object", "GET", {}, Bucket=ten, Key="ten")
    at = world.s3.head_object(Bucket=ten, Key="ten")["LastModified"].astimezone(UTC)
    assert answer.headers["last-modified"] == format_datetime(at, usegmt=True)
    page = sent(world, "list_objects_v2", "GET", {}, Bucket=ten, Prefix="ten")
    assert f"<LastModified>{at.isoformat()[:19]}.000Z</LastModified>".encode() in page.body


# -- entity tags, 304, 412

def test_an_unchanged_object_is_named_and_not_sent(world: World, ten: str) -> None:
    answer = sent(world, "get_object", "GET", {"If-None-Match": ETAG, "Range": "bytes=100-200"}, Bucket=ten, Key="ten")
    assert (answer.status, answer.body) == (304, b"") and answer.headers["etag"] == ETAG
    assert "last-modified" in answer.headers and "content-range" not in answer.headers


@pytest.mark.parametrize("headers,status", [
    ({"If-Match": f"W/{ETAG}"}, 412), ({"If-None-Match": f"W/{ETAG}"}, 304), ({"If-None-Match": ETAG.strip('"')}, 304),
    ({"If-Match": f'"x", {ETAG}'}, 200), ({"If-Match": '"x"', "Range": "bytes=100-"}, 412),
    ({"If-Match": ETAG, "Range": "bytes=100-"}, 416), ({"If-Range": ETAG, "Range": "bytes=1-2"}, 206),
    ({"If-Range": '"x"', "Range": "bytes=1-2"}, 200)], ids=str)
def test_conditions_come_before_ranges(world: World, ten: str, headers: dict[str, str], status: int) -> None:
    answer = sent(world, "get_object", "GET", headers, Bucket=ten, Key="ten")
    assert answer.status == status
    assert answer.code == {412: "PreconditionFailed", 416: "InvalidRange"}.get(status, "")


def test_a_range_that_cannot_be_says_how_long_the_object_is(world: World, ten: str) -> None:
    answer = sent(world, "get_object", "GET", {"Range": "bytes=10-"}, Bucket=ten, Key="ten")
    assert answer.headers["content-range"] == "bytes */10"
    assert b"<ActualObjectSize>10</ActualObjectSize>" in answer.body
    assert b"<RangeRequested>bytes=10-</RangeRequested>" in answer.body


def test_an_answer_to_head_has_no_body(world: World, ten: str) -> None:
    for key, status in (("ten", 200), ("nothing", 404)):
        answer = sent(world, "head_object", "HEAD", {}, Bucket=ten, Key=key)
        assert (answer.status, answer.body) == (status, b"")


# -- conditions of deletions

@pytest.mark.parametrize("etag,expected", [
    (ETAG, (200, "")), (ETAG.strip('"'), (200, "")), ("*", (200, "")), ('"x"', (412, "PreconditionFailed"))])
def test_a_deletion_on_condition(s3: Any, bucket: str, etag: str, expected: tuple[int, str]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    assert code_of(lambda: s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)) == expected
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (0 if expected[0] == 200 else 1)


def test_many_deletions_on_condition(s3: Any, bucket: str) -> None:
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=BODY)
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "a", "ETag": ETAG}, {"Key": "b", "ETag": '"x"'}, {"Key": "c"}]})
    assert sorted(line["Key"] for line in done["Deleted"]) == ["a", "c"]
    assert [(line["Key"], line["Code"]) for line in done["Errors"]] == [("b", "PreconditionFailed")]


@pytest.mark.parametrize("more", [{"IfMatchSize": 10}, {"IfMatchLastModifiedTime": datetime(2026, 1, 1, tzinfo=UTC)}],
                         ids=str)
def test_a_condition_that_nobody_checks_is_refused(s3: Any, bucket: str, more: dict[str, Any]) -> None:
    """S3 has these for directory buckets only."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    assert code_of(lambda: s3.delete_object(Bucket=bucket, Key="k", **more)) == (501, "NotImplemented")
    other = {name.removeprefix("IfMatch"): value for name, value in more.items()}
    assert code_of(lambda: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", **other}]})) == (
        501, "NotImplemented")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_versions_are_deleted_on_condition(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"other")["VersionId"]
    assert code_of(lambda: s3.delete_object(Bucket=bucket, Key="k", VersionId=two, IfMatch=ETAG)) == (
        412, "PreconditionFailed")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "k", "VersionId": two, "ETag": ETAG}, {"Key": "k", "VersionId": one, "ETag": ETAG}]})
    assert [line["VersionId"] for line in done["Deleted"]] == [one]
    assert [(line["VersionId"], line["Code"]) for line in done["Errors"]] == [(two, "PreconditionFailed")]
    assert code_of(lambda: s3.delete_object(Bucket=bucket, Key="k", VersionId=two, IfMatch="*"))[0] == 200
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_versions_are_deleted_quietly(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % number)["VersionId"] for number in range(3)]
    done = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [
        {"Key": "k", "VersionId": ids[0]}, {"Key": "k", "VersionId": "not an id"}, {"Key": "k"}]})
    assert "Deleted" not in done and [line["VersionId"] for line in done["Errors"]] == ["not an id"]
    page = s3.list_object_versions(Bucket=bucket)
    assert [line["VersionId"] for line in page["Versions"]] == [ids[2], ids[1]] and len(page["DeleteMarkers"]) == 1


# -- whose bucket it is

@pytest.mark.parametrize("verb,more", [
    ("get_object", {"Key": "ten"}), ("put_object", {"Key": "other", "Body": b""}), ("list_objects_v2", {}),
    ("delete_object", {"Key": "other"}), ("head_bucket", {})])
def test_a_bucket_of_somebody_else_than_expected(world: World, ten: str, verb: str, more: dict[str, Any]) -> None:
    owner = world.s3.list_buckets()["Owner"]["ID"]
    assert code_of(lambda: getattr(world.s3, verb)(Bucket=ten, ExpectedBucketOwner="1" * 12, **more))[0] == 403
    assert code_of(lambda: getattr(world.s3, verb)(Bucket=ten, ExpectedBucketOwner=owner, **more))[0] == 200


def test_a_copy_from_a_bucket_of_somebody_else_than_expected(s3: Any, ten: str) -> None:
    owner = s3.list_buckets()["Owner"]["ID"]
    for expected, status in (("1" * 12, 403), (owner, 200)):
        assert code_of(lambda expected=expected: s3.copy_object(
            Bucket=ten, Key="copied", CopySource=f"{ten}/ten", ExpectedSourceBucketOwner=expected))[0] == status


def test_every_bucket_says_its_region(s3: Any, ten: str) -> None:
    assert s3.head_bucket(Bucket=ten)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=ten)["LocationConstraint"] is None


# -- empty pages

@pytest.mark.parametrize("verb,more", [
    ("list_objects", {"MaxKeys": 0}), ("list_objects_v2", {"MaxKeys": 0}), ("list_object_versions", {"MaxKeys": 0}),
    ("list_multipart_uploads", {"MaxUploads": 0})])
def test_a_page_of_nothing_is_the_last(s3: Any, bucket: str, verb: str, more: dict[str, int]) -> None:
    """Else a client would ask for the next one for ever."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    page = getattr(s3, verb)(Bucket=bucket, **more)
    assert not page["IsTruncated"] and "Contents" not in page and "Versions" not in page and "Uploads" not in page
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"")
    assert not s3.list_parts(Bucket=bucket, Key="k", UploadId=upload, MaxParts=0)["IsTruncated"]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


@pytest.mark.parametrize("more,expected", [
    ({"VersionIdMarker": "5"}, 400), ({"KeyMarker": "a", "VersionIdMarker": "x"}, 400), ({"KeyMarker": "a"}, 200),
    ({"MaxKeys": -1}, 400)], ids=str)
def test_markers_of_versions(s3: Any, bucket: str, more: dict[str, Any], expected: int) -> None:
    assert code_of(lambda: s3.list_object_versions(Bucket=bucket, **more)) == (
        expected, "" if expected == 200 else "InvalidArgument")


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_versions_of_many_keys(s3: Any, bucket: str, limit: int) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = {}
    for key in ("a", "b/x", "b/y", "c d"):
        made[key] = [s3.put_object(Bucket=bucket, Key=key, Body=b"")["VersionId"] for _ in range(2)]
        made[key].append(s3.delete_object(Bucket=bucket, Key=key)["VersionId"])
    seen: list[tuple[str, str]] = []
    more: dict[str, str] = {}
    for _ in range(30):
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=limit, EncodingType="url", **more)
        lines = page.get("Versions", []) + page.get("DeleteMarkers", [])
        assert len(lines) <= limit
        seen += [(line["Key"], line["VersionId"]) for line in lines]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"].replace("%20", " "), "VersionIdMarker": page["NextVersionIdMarker"]}
    assert sorted(seen) == sorted((quote(key), one) for key, ids in made.items() for one in ids)


# -- copies

def test_a_copy_onto_itself_gives_new_metadata_and_keeps_the_bytes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, Metadata={"a": "1"}, Tagging="t=1", CacheControl="no-store",
                  ChecksumAlgorithm="SHA256")
    before = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE", Metadata={"b": "2"})
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["Metadata"], got["TagCount"], got["ETag"]) == (BODY, {"b": "2"}, 1, ETAG)
    assert "CacheControl" not in got and got["ChecksumSHA256"] == before["ChecksumSHA256"]


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
@pytest.mark.parametrize("directive", ["COPY", "REPLACE"])
def test_a_copy_gets_the_checksum_that_is_asked_for(s3: Any, bucket: str, size: int, directive: str) -> None:
    body = b"x" * size
    first = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm="SHA1", Metadata={"m": "1"})
    kept = s3.copy_object(Bucket=bucket, Key="to", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA1")
    assert kept["CopyObjectResult"]["ChecksumSHA1"] == first["ChecksumSHA1"]
    made = s3.copy_object(Bucket=bucket, Key="to", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA256",
                          MetadataDirective=directive, Metadata={"n": "2"} if directive == "REPLACE" else {})
    expected = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert made["CopyObjectResult"]["ChecksumSHA256"] == expected
    head = s3.head_object(Bucket=bucket, Key="to", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"], head["ETag"]) == (expected, "FULL_OBJECT", first["ETag"])
    assert "ChecksumSHA1" not in head and head["Metadata"] == ({"n": "2"} if directive == "REPLACE" else {"m": "1"})


def test_what_was_deleted_is_no_source(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=BODY)["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    for source, expected in (("k", (404, "NoSuchKey")), (f"k?versionId={marker}", (400, "InvalidRequest")),
                             (f"k?versionId={old}", (200, ""))):
        assert code_of(lambda source=source: s3.copy_object(
            Bucket=bucket, Key="to", CopySource=f"{bucket}/{source}")) == expected


@pytest.mark.parametrize("asked,expected", [
    ("bytes=0-4", (200, "")), ("bytes=5-9", (200, "")), ("bytes=0-10", (416, "InvalidRange")),
    ("bytes=0-", (400, "InvalidArgument")), ("bytes=-5", (400, "InvalidArgument")),
    ("bytes=4-2", (400, "InvalidArgument")), ("0-4", (400, "InvalidArgument"))])
def test_ranges_of_parts_that_are_copied(s3: Any, ten: str, asked: str, expected: tuple[int, str]) -> None:
    upload = s3.create_multipart_upload(Bucket=ten, Key="of parts")["UploadId"]
    assert code_of(lambda: s3.upload_part_copy(
        Bucket=ten, Key="of parts", UploadId=upload, PartNumber=1, CopySource=f"{ten}/ten",
        CopySourceRange=asked)) == expected
    s3.abort_multipart_upload(Bucket=ten, Key="of parts", UploadId=upload)


# -- parts

def test_parts_are_read_by_number_and_told_in_attributes(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    bodies = [b"1" * (5 * MIB), b"2" * 10]
    parts = [{"PartNumber": number, "ETag": s3.upload_part(
        Bucket=bucket, Key="m", UploadId=upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in zip((3, 8), bodies, strict=True)]
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    second = s3.get_object(Bucket=bucket, Key="m", PartNumber=2)
    assert second["Body"].read() == bodies[1] and second["ContentRange"] == "bytes 5242880-5242889/5242890"
    assert second["PartsCount"] == 2 and second["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert code_of(lambda: s3.get_object(Bucket=bucket, Key="m", PartNumber=3)) == (416, "InvalidPartNumber")
    assert code_of(lambda: s3.get_object(Bucket=bucket, Key="m", PartNumber=1, Range="bytes=0-1")) == (
        400, "InvalidRequest")
    said = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts"])
    assert said["ObjectParts"]["TotalPartsCount"] == 2 and said["ObjectSize"] == 5 * MIB + 10
    assert said["ETag"].endswith("-2") and not said["ETag"].startswith('"')


@pytest.mark.parametrize("number", [0, 10_001, -1])
def test_numbers_that_no_part_has(s3: Any, ten: str, number: int) -> None:
    upload = s3.create_multipart_upload(Bucket=ten, Key="p")["UploadId"]
    assert code_of(lambda: s3.upload_part(Bucket=ten, Key="p", UploadId=upload, PartNumber=number, Body=b"x")) == (
        400, "InvalidArgument")
    s3.abort_multipart_upload(Bucket=ten, Key="p", UploadId=upload)


def test_a_whole_has_one_condition(s3: Any, bucket: str) -> None:
    def begun() -> dict[str, Any]:
        upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        return {"Bucket": bucket, "Key": "k", "UploadId": upload,
                "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}
    first, second = begun(), begun()
    etag = s3.complete_multipart_upload(**first, IfNoneMatch="*")["ETag"]
    assert code_of(lambda: s3.complete_multipart_upload(**second, IfNoneMatch="*")) == (412, "PreconditionFailed")
    assert code_of(lambda: s3.complete_multipart_upload(**second, IfMatch='"x"')) == (412, "PreconditionFailed")
    s3.complete_multipart_upload(**second, IfMatch=etag)
    missing = begun()
    s3.delete_object(Bucket=bucket, Key="k")
    assert code_of(lambda: s3.complete_multipart_upload(**missing, IfMatch=etag)) == (404, "NoSuchKey")


@pytest.mark.parametrize("algorithm,kind", [("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE"),
                                            ("CRC64NVME", "FULL_OBJECT")])
def test_kinds_of_checksums_of_wholes(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    name = f"Checksum{algorithm}"
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=BODY, ChecksumAlgorithm=algorithm)
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"], name: part[name]}]})
    assert done["ChecksumType"] == kind and done[name].endswith("-1") == (kind == "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (done[name], kind)
    if kind == "FULL_OBJECT":
        assert done[name] == part[name]


# -- framing, and signatures of other kinds

def framed(body: bytes, trailer: str) -> bytes:
    return b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer.encode())


@pytest.mark.parametrize("trailer,status,code", [
    ("good", 200, ""), ("bad", 400, "BadDigest"), ("", 400, "MalformedTrailerError"),
    ("x-amz-checksum-sha1:AAAA\r\n", 400, "MalformedTrailerError")])
def test_checksums_behind_the_body(world: World, bucket: str, trailer: str, status: int, code: str) -> None:
    sums = {"good": zlib.crc32(BODY), "bad": 1}
    if trailer in sums:
        trailer = f"x-amz-checksum-crc32:{base64.b64encode(sums[trailer].to_bytes(4, 'big')).decode()}\r\n"
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    url = f"{next(world.urls)}/{bucket}/k"
    request = AWSRequest("PUT", url, headers={
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": str(len(BODY)), "Content-Encoding": "aws-chunked"})
    signer = S3SigV4Auth(Credentials(world.pair.access_key, world.pair.secret), "s3", "us-east-1")
    signer.payload = lambda _: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    signer.add_auth(request)
    answer = raw(url, "PUT", framed(BODY, trailer), dict(request.headers))
    assert (answer.status, answer.code) == (status, code), answer.body
    assert code_of(lambda: world.s3.head_object(Bucket=bucket, Key="k"))[0] == (200 if status == 200 else 404)
    if status == 200:
        assert "ContentEncoding" not in world.s3.head_object(Bucket=bucket, Key="k")


def test_signatures_of_version_4a_are_refused_and_told_what_is_taken(world: World, ten: str) -> None:
    answer = raw(f"{next(world.urls)}/{ten}/ten", headers={
        "Authorization": "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/s3/aws4_request, SignedHeaders=host,"
                         " Signature=00"})
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert b"AWS4-HMAC-SHA256" in answer.body, answer.body
