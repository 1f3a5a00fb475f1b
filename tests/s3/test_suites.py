"""What suites of others look at: cases whose answers AWS gives, and that were missing here before."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError

from fluffy.wire import s3_checksums
from tests.faults.s3_fuzz import Fuzz, Report
from tests.s3.world import World, code_of, raw
from tests.support.s3_door import client

MIB = 1 << 20
BODY = b"0123456789"


# -- signatures of Version 2, by which boto3 signs its URLs unless it is told otherwise

def test_urls_of_boto3_as_it_is(world: World, bucket: str) -> None:
    """`world.s3` was told nothing."""
    put = world.s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": "a b/ü", "ContentType": "x/y", "ACL": "public-read", "Metadata": {"m": "1"}})
    assert "AWSAccessKeyId=" in put and "X-Amz-Algorithm" not in put
    assert raw(put, "PUT", BODY, {"Content-Type": "x/y"}).status == 200
    got = world.s3.get_object(Bucket=bucket, Key="a b/ü")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (BODY, "x/y", {"m": "1"})
    assert world.stranger.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == BODY
    get = world.s3.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": "a b/ü", "ResponseContentType": "text/plain; a=b c"})
    answer = raw(get)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, BODY, "text/plain; a=b c")
    listing = world.s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    assert b"<KeyCount>1</KeyCount>" in raw(listing).body
    assert raw(world.s3.generate_presigned_url("delete_object", Params={"Bucket": bucket, "Key": "a b/ü"}),
               "DELETE").status == 204


def test_a_url_of_version_2_is_for_what_it_was_signed(world: World, bucket: str) -> None:
    world.s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    url = world.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    assert raw(url).status == 200
    for other in (url.replace("/k?", "/l?"), url + "&versionId=null", url + "&acl", url + "&x-amz-acl=public-read",
                  re.sub("Expires=[0-9]+", "Expires=1999999999", url), re.sub("Signature=.", "Signature=_", url)):
        answer = raw(other)
        assert answer.status == 403 and BODY not in answer.body and answer.code, other
    assert raw(url, "DELETE").status == 403
    assert raw(url, headers={"x-amz-meta-a": "b"}).code == "SignatureDoesNotMatch"
    for seconds in (-5, 8 * 24 * 3600):
        other = world.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=seconds)
        assert (raw(other).status, raw(other).code) == (403, "AccessDenied")
    assert raw(url.replace("AWSAccessKeyId=", "AWSAccessKeyId=X")).code == "InvalidAccessKeyId"
    assert raw(url.partition("&Signature")[0]).status == 403


def test_old_tools_sign_headers_by_version_2(world: World, bucket: str) -> None:
    old = client(next(world.urls), world.pair, signature_version="s3")
    old.put_object(Bucket=bucket, Key="a b", Body=BODY, Metadata={"m": "1"}, Tagging="t=1")
    assert old.get_object(Bucket=bucket, Key="a b")["Body"].read() == BODY
    assert [line["Key"] for line in old.list_objects_v2(Bucket=bucket, Prefix="a")["Contents"]] == ["a b"]
    assert old.get_object_tagging(Bucket=bucket, Key="a b")["TagSet"] == [{"Key": "t", "Value": "1"}]
    upload = old.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = old.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=BODY)
    old.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    old.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a b"}, {"Key": "m"}]})
    wrong = client(next(world.urls), type(world.pair)(world.pair.access_key, "x"), signature_version="s3")
    assert code_of(lambda: wrong.list_objects_v2(Bucket=bucket)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("changes,expected", [
    ({}, 204), ({"signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, 403), ({"signature": "x"}, 403),
    ({"signature": None}, 400), ({"AWSAccessKeyId": "NOBODY"}, 403), ({"key": "other"}, 403)], ids=str)
def test_forms_of_boto3_as_it_is(world: World, bucket: str, changes: dict[str, str | None], expected: int) -> None:
    form = world.s3.generate_presigned_post(bucket, "k")
    assert "AWSAccessKeyId" in form["fields"]
    fields = {name: text for name, text in {**form["fields"], **changes}.items() if text is not None}
    body = b"".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
                    for name, text in fields.items())
    body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + BODY + b"\r\n--b--\r\n"
    answer = raw(f"{next(world.urls)}/{bucket}", "POST", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == expected, answer.body
    assert code_of(lambda: world.s3.head_object(Bucket=bucket, Key="k"))[0] == (200 if expected == 204 else 404)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_urls_whose_host_names_the_bucket(world: World, bucket: str, version: str) -> None:
    world.s3.put_object(Bucket=bucket, Key="a b", Body=BODY)
    base = next(world.urls)
    port = urlsplit(base).port
    s3 = client(f"http://localhost:{port}", world.pair, s3={"addressing_style": "virtual"}, signature_version=version)
    for verb, more, expected in (("get_object", {"Key": "a b"}, BODY), ("get_bucket_acl", {}, b"FULL_CONTROL"),
                                 ("list_objects_v2", {}, b"a%20b")):
        parts = urlsplit(s3.generate_presigned_url(verb, Params={"Bucket": bucket, **more}))
        assert parts.netloc == f"{bucket}.localhost:{port}"
        answer = raw(f"{base}{parts.path}?{parts.query}", headers={"Host": parts.netloc})
        assert answer.status == 200 and expected in answer.body, answer


def signed_url(world: World, target: str) -> str:
    """For a put, by Version 4, with whatever the query says."""
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest("PUT", f"{next(world.urls)}/{target}")
    S3SigV4QueryAuth(Credentials(world.pair.access_key, world.pair.secret), "s3", "us-east-1").add_auth(request)
    return str(request.url)


def test_headers_in_the_query_of_a_url_count(world: World, bucket: str) -> None:
    """Other libraries than boto3 put them there."""
    url = signed_url(world, f"{bucket}/k?x-amz-meta-m=1&x-amz-acl=public-read&x-id=PutObject")
    assert raw(url, "PUT", BODY).status == 200
    assert world.stranger.get_object(Bucket=bucket, Key="k")["Metadata"] == {"m": "1"}
    assert raw(url.replace("x-amz-meta-m=1", "x-amz-meta-m=2"), "PUT", BODY).status == 403


def test_a_checksum_in_the_query_of_a_url_counts_unless_it_is_of_nothing(world: World, bucket: str) -> None:
    """A library signs URLs before there is a body, with the checksum of an empty one."""
    sums = {"AAAAAA%3D%3D": 200, quote(base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big"))): 200,
            "AAAAAQ%3D%3D": 400}
    for value, status in sums.items():
        url = signed_url(world, f"{bucket}/k?x-amz-checksum-crc32={value}&x-amz-sdk-checksum-algorithm=CRC32")
        assert raw(url, "PUT", BODY).status == status, value


def test_an_empty_authorization_is_none(world: World, bucket: str) -> None:
    answer = raw(f"{next(world.urls)}/{bucket}/k", "PUT", b"x", {"Authorization": ""})
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_a_second_of_made_up_requests(world: World) -> None:
    """`make s3fuzz` makes them for minutes."""
    host, _, port = next(world.urls).removeprefix("http://").partition(":")
    report = Report(seed=random.randrange(10**6))
    Fuzz((host, int(port)), world.pair, report).run(0.7)
    print(f"seed {report.seed}")
    report.verify()
    assert sum(report.asked.values()) > 50


# -- names

@pytest.mark.parametrize("name", ["foo.-bar", "foo-.bar", "xn--bar", "bar-s3alias", ".foo", "foo.", "bar--x-s3"])
def test_labels_of_bucket_names(world: World, name: str) -> None:
    url = world.v4.generate_presigned_url("create_bucket", Params={"Bucket": name})
    assert (raw(url, "PUT").status, raw(url, "PUT").code) == (400, "InvalidBucketName")


def test_which_bucket_is_not_there(s3: Any) -> None:
    with pytest.raises(ClientError) as caught:
        s3.list_objects_v2(Bucket="no-such-bucket-at-all")
    assert caught.value.response["Error"]["BucketName"] == "no-such-bucket-at-all"


# -- pages

def test_an_empty_token_is_none(s3: Any, bucket: str) -> None:
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, ContinuationToken="", MaxKeys=2)
    assert [line["Key"] for line in page["Contents"]] == ["a", "b"] and page["ContinuationToken"] == ""


def test_uploads_are_ended_page_by_page(s3: Any, bucket: str) -> None:
    for _ in range(5):
        s3.create_multipart_upload(Bucket=bucket, Key="k")
    ended, more = 0, dict[str, str]()
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **more)
        for line in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=line["UploadId"])
            ended += 1
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert ended == 5


def test_versions_are_deleted_page_by_page(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(5):
        s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % number)
    more = dict[str, str]()
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=2, **more)
        for line in page.get("Versions", []):
            s3.delete_object(Bucket=bucket, Key="k", VersionId=line["VersionId"])
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_a_marker_inside_a_group_is_behind_the_group(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=bucket, Key=key, Body=b"")["VersionId"] for key in ("a/b", "a/b", "c")]
    page = s3.list_object_versions(Bucket=bucket, Delimiter="/", KeyMarker="a/b", VersionIdMarker=ids[1])
    assert [line["Key"] for line in page["Versions"]] == ["c"] and "CommonPrefixes" not in page


# -- lifecycles

def test_a_rule_without_a_name_gets_one(s3: Any, bucket: str) -> None:
    rule = {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [
        rule, {**rule, "Filter": {"Prefix": "b"}}]})
    names = [found["ID"] for found in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]]
    assert all(names) and len(set(names)) == 2


def test_objects_say_when_they_will_be_over(s3: Any, bucket: str) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [
        {"ID": "soon ü", "Status": "Enabled", "Filter": {"Prefix": "t/"}, "Expiration": {"Days": 2}},
        {"ID": "later", "Status": "Enabled", "Filter": {"Prefix": "t/"}, "Expiration": {"Days": 9}},
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
        {"ID": "tagged", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "b"}},
         "Expiration": {"Days": 1}},
        {"ID": "parts", "Status": "Enabled", "Filter": {"Prefix": "t/"},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}]})
    put = s3.put_object(Bucket=bucket, Key="t/k", Body=b"")
    head = s3.head_object(Bucket=bucket, Key="t/k")
    assert put["Expiration"] == head["Expiration"] == s3.get_object(Bucket=bucket, Key="t/k")["Expiration"]
    match = re.fullmatch('expiry-date="(.*)", rule-id="soon%20%C3%BC"', head["Expiration"])
    assert match is not None
    at = parsedate_to_datetime(match[1])
    assert (at.hour, at.minute, at.second) == (0, 0, 0)
    assert timedelta(days=2) <= at - head["LastModified"] < timedelta(days=3)
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert 'rule-id="tagged"' in s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=b")["Expiration"]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="t/m")
    assert begun["AbortRuleId"] == "parts" and begun["AbortDate"] > datetime.now(UTC)
    s3.abort_multipart_upload(Bucket=bucket, Key="t/m", UploadId=begun["UploadId"])


# -- checksums of parts

@pytest.mark.parametrize("algorithm,kind", [("SHA256", "COMPOSITE"), ("CRC32C", "FULL_OBJECT")])
def test_parts_keep_their_checksums(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    name = f"Checksum{algorithm}"
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    parts = []
    for number, body in enumerate((b"1" * (5 * MIB), b"2" * 10), start=1):
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=number, Body=body,
                              ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": part["ETag"], name: part[name]})
    done = s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    said = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["Checksum", "ObjectParts"])
    assert said["Checksum"] == {name: done[name].partition("-")[0], "ChecksumType": kind}
    assert [(part["PartNumber"], part["Size"], part[name]) for part in said["ObjectParts"]["Parts"]] == [
        (part["PartNumber"], size, part[name]) for part, size in zip(parts, (5 * MIB, 10), strict=True)]
    second = s3.get_object(Bucket=bucket, Key="m", PartNumber=2, ChecksumMode="ENABLED")
    assert second["Body"].read() == b"2" * 10 and second[name] == parts[1][name]
    if algorithm == "SHA256":
        assert second[name] == base64.b64encode(hashlib.sha256(b"2" * 10).digest()).decode()
    s3.copy_object(Bucket=bucket, Key="m2", CopySource=f"{bucket}/m", MetadataDirective="REPLACE", Metadata={"a": "b"})
    copied = s3.get_object_attributes(Bucket=bucket, Key="m2", ObjectAttributes=["ObjectParts"])
    assert copied["ObjectParts"]["Parts"] == said["ObjectParts"]["Parts"]


def test_a_whole_has_a_checksum_whatever_its_parts_have(s3: Any, bucket: str) -> None:
    """boto3 sends a CRC32 with each part by itself; the upload was begun without a word about checksums."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    where = {"Bucket": bucket, "Key": "m", "UploadId": upload}
    bodies = [b"1" * (5 * MIB), BODY]
    sent = [s3.upload_part(**where, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
            for number, body in enumerate(bodies, start=1)]
    parts = {"Parts": [{"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
                       for number, part in enumerate(sent, start=1)]}
    for name, value, code in (("SHA256", "bad", "InvalidRequest"), ("SHA256", "A" * 43 + "=", "InvalidRequest"),
                              ("CRC32", "AAAAAA==", "BadDigest"), ("CRC64NVME", "A" * 11 + "=", "BadDigest")):
        assert code_of(lambda name=name, value=value: s3.complete_multipart_upload(
            **where, MultipartUpload=parts, **{f"Checksum{name}": value})) == (400, code)
    crc32 = base64.b64encode(zlib.crc32(b"".join(bodies)).to_bytes(4, "big")).decode()
    done = s3.complete_multipart_upload(**where, MultipartUpload=parts, ChecksumCRC32=crc32)
    expected = s3_checksums.encode(s3_checksums.digest_of("crc64nvme", b"".join(bodies)))
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == expected and "ChecksumCRC32" not in head


def test_the_place_of_a_whole_is_its_address(world: World, bucket: str) -> None:
    upload = world.s3.create_multipart_upload(Bucket=bucket, Key="a b")["UploadId"]
    part = world.s3.upload_part(Bucket=bucket, Key="a b", UploadId=upload, PartNumber=1, Body=BODY)
    done = world.s3.complete_multipart_upload(Bucket=bucket, Key="a b", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert urlsplit(done["Location"]).path == f"/{bucket}/{quote('a b')}"
