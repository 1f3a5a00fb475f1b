"""What is said of objects and buckets over the S3 door: tags, ACLs, attributes, CORS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.s3_door import S3, failure, running_s3


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


async def with_bucket(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def begin() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="said")
        work(client)
    await s3.run(begin)


def tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


async def test_tags_of_objects(s3: S3) -> None:
    def work(client: Any) -> None:
        where = {"Bucket": "said", "Key": "d/"}
        client.put_object(**where, Body=b"x", Tagging="a=1&b=%C3%BC")
        assert client.get_object_tagging(**where)["TagSet"] == tag_set(a="1", b="ü")["TagSet"]
        client.put_object_tagging(**where, Tagging=tag_set(c="3"))
        assert client.get_object_tagging(**where)["TagSet"] == tag_set(c="3")["TagSet"]
        assert client.get_object(**where)["TagCount"] == 1
        client.delete_object_tagging(**where)
        assert client.get_object_tagging(**where)["TagSet"] == []
        many = tag_set(**{f"k{number}": "" for number in range(11)})
        assert failure(lambda: client.put_object_tagging(**where, Tagging=many)) == (400, "BadRequest")
        assert failure(lambda: client.put_object_tagging(**where, Tagging=tag_set(k="v" * 257))) == (400, "InvalidTag")
        assert failure(lambda: client.get_object_tagging(Bucket="said", Key="no")) == (404, "NoSuchKey")
    await with_bucket(s3, work)


async def test_tags_of_versions(s3: S3) -> None:
    def work(client: Any) -> None:
        where = {"Bucket": "said", "Key": "k"}
        client.put_bucket_versioning(Bucket="said", VersioningConfiguration={"Status": "Enabled"})
        old = client.put_object(**where, Body=b"1", Tagging="a=1")["VersionId"]
        client.put_object(**where, Body=b"2", Tagging="a=2")
        done = client.put_object_tagging(**where, VersionId=old, Tagging=tag_set(a="3"))
        assert done["VersionId"] == old
        assert client.get_object_tagging(**where, VersionId=old)["TagSet"] == tag_set(a="3")["TagSet"]
        assert client.get_object_tagging(**where)["TagSet"] == tag_set(a="2")["TagSet"]
    await with_bucket(s3, work)


async def test_tags_of_buckets(s3: S3) -> None:
    def work(client: Any) -> None:
        assert failure(lambda: client.get_bucket_tagging(Bucket="said")) == (404, "NoSuchTagSet")
        client.put_bucket_tagging(Bucket="said", Tagging=tag_set(team="ü", cost="<1>"))
        assert client.get_bucket_tagging(Bucket="said")["TagSet"] == tag_set(team="ü", cost="<1>")["TagSet"]
        client.delete_bucket_tagging(Bucket="said")
        assert failure(lambda: client.get_bucket_tagging(Bucket="said")) == (404, "NoSuchTagSet")
    await with_bucket(s3, work)


async def test_canned_acls_open_objects_and_buckets_to_readers(s3: S3) -> None:
    stranger = s3.client(None)

    def work(client: Any) -> None:
        def grants(answer: dict[str, Any]) -> list[tuple[str, str]]:
            return [(grant["Grantee"]["Type"], grant["Permission"]) for grant in answer["Grants"]]
        private, public = [("CanonicalUser", "FULL_CONTROL")], [("CanonicalUser", "FULL_CONTROL"), ("Group", "READ")]
        where = {"Bucket": "said", "Key": "k"}
        client.put_object(**where, Body=b"x")
        client.put_object(Bucket="said", Key="other", Body=b"y")
        assert grants(client.get_object_acl(**where)) == private
        assert failure(lambda: stranger.get_object(**where)) == (403, "AccessDenied")
        client.put_object_acl(**where, ACL="public-read")
        assert grants(client.get_object_acl(**where)) == public
        assert stranger.get_object(**where)["Body"].read() == b"x"
        assert failure(lambda: stranger.get_object(Bucket="said", Key="other")) == (403, "AccessDenied")
        assert failure(lambda: stranger.list_objects_v2(Bucket="said")) == (403, "AccessDenied")
        policy = client.get_object_acl(**where)
        client.put_object_acl(**where, ACL="private")
        assert failure(lambda: stranger.get_object(**where)) == (403, "AccessDenied")
        client.put_object_acl(**where, AccessControlPolicy={"Grants": policy["Grants"], "Owner": policy["Owner"]})
        assert grants(client.get_object_acl(**where)) == public
        assert grants(client.get_bucket_acl(Bucket="said")) == private
        client.put_bucket_acl(Bucket="said", ACL="public-read")
        assert grants(client.get_bucket_acl(Bucket="said")) == public
        assert client.get_bucket_policy_status(Bucket="said")["PolicyStatus"]["IsPublic"]
        assert stranger.get_object(Bucket="said", Key="other")["Body"].read() == b"y"
        assert len(stranger.list_objects_v2(Bucket="said")["Contents"]) == 2
        assert failure(lambda: stranger.put_object(Bucket="said", Key="z", Body=b"")) == (403, "AccessDenied")
        client.put_bucket_acl(Bucket="said", ACL="private")
        assert failure(lambda: stranger.list_objects_v2(Bucket="said")) == (403, "AccessDenied")
        for wrong, code in (("public-read-write", "NotImplemented"), ("whatever", "InvalidArgument")):
            assert failure(lambda wrong=wrong: client.put_bucket_acl(Bucket="said", ACL=wrong))[1] == code
        assert failure(lambda: client.put_bucket_acl(Bucket="said", GrantRead="id=1")) == (501, "NotImplemented")
        client.create_bucket(Bucket="open-bucket", ACL="public-read")
        assert stranger.list_objects_v2(Bucket="open-bucket")["KeyCount"] == 0
    await with_bucket(s3, work)


async def test_attributes(s3: S3) -> None:
    def work(client: Any) -> None:
        every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
        client.put_object(Bucket="said", Key="k", Body=b"abc", ChecksumAlgorithm="SHA256")
        got = client.get_object_attributes(Bucket="said", Key="k", ObjectAttributes=every)
        assert got["ETag"] == "900150983cd24fb0d6963f7d28e17f72" and got["ObjectSize"] == 3
        assert got["Checksum"]["ChecksumSHA256"] == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        assert "ObjectParts" not in got
        upload = client.create_multipart_upload(Bucket="said", Key="m")["UploadId"]
        parts = [{"PartNumber": number, "ETag": client.upload_part(
            Bucket="said", Key="m", UploadId=upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in ((1, bytes(5 << 20)), (2, bytes(5 << 20)), (3, b"x"))]
        client.complete_multipart_upload(Bucket="said", Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
        got = client.get_object_attributes(Bucket="said", Key="m", ObjectAttributes=every, MaxParts=2)["ObjectParts"]
        assert (got["TotalPartsCount"], got["IsTruncated"], got["NextPartNumberMarker"]) == (3, True, 2)
        rest = client.get_object_attributes(Bucket="said", Key="m", ObjectAttributes=["ObjectParts"],
                                            PartNumberMarker=2)["ObjectParts"]
        assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(3, 1)]
    await with_bucket(s3, work)


def ask(url: str, method: str, **headers: str) -> tuple[int, dict[str, str]]:
    request = Request(url, method=method, headers={name.replace("_", "-"): text for name, text in headers.items()})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, {name.lower(): text for name, text in answer.headers.items()}
    except OSError as error:
        return error.code, {name.lower(): text for name, text in error.headers.items()}  # type: ignore[attr-defined]


async def test_pages_of_other_sites_ask_before_they_come(s3: S3) -> None:
    def work(client: Any) -> None:
        assert failure(lambda: client.get_bucket_cors(Bucket="said")) == (404, "NoSuchCORSConfiguration")
        url = f"{s3.url}/said/k"
        wanted = {"Origin": "https://a.example.com", "Access_Control_Request_Method": "PUT",
                  "Access_Control_Request_Headers": "X-Amz-Date, content-type"}
        assert ask(url, "OPTIONS", **wanted)[0] == 403
        rules = [{"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["PUT", "GET"], "MaxAgeSeconds": 60,
                  "AllowedHeaders": ["x-amz-*", "content-type"], "ExposeHeaders": ["ETag"], "ID": "one"},
                 {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]}]
        client.put_bucket_cors(Bucket="said", CORSConfiguration={"CORSRules": rules})
        assert client.get_bucket_cors(Bucket="said")["CORSRules"] == rules
        status, headers = ask(url, "OPTIONS", **wanted)
        assert status == 200 and headers["access-control-allow-origin"] == "https://a.example.com"
        assert headers["access-control-allow-headers"] == "x-amz-date, content-type"
        assert headers["access-control-max-age"] == "60" and "PUT" in headers["access-control-allow-methods"]
        for change in ({"Origin": "https://example.org"}, {"Access_Control_Request_Method": "DELETE"},
                       {"Access_Control_Request_Headers": "authorization"}):
            assert ask(url, "OPTIONS", **{**wanted, **change})[0] == 403
        assert ask(url, "OPTIONS", Origin="https://a.example.com")[0] == 400
        status, headers = ask(url, "GET", Origin="https://a.example.com")
        assert status == 403 and headers["access-control-expose-headers"] == "ETag", "refusals can be read too"
        assert ask(url, "HEAD", Origin="https://x")[1]["access-control-allow-origin"] == "*"
        assert "access-control-allow-origin" not in ask(url, "GET", Origin="https://x")[1]
        client.delete_bucket_cors(Bucket="said")
        assert ask(url, "OPTIONS", **wanted)[0] == 403
        bad = [{"AllowedOrigins": ["https://*.*"], "AllowedMethods": ["GET"]}]
        assert failure(lambda: client.put_bucket_cors(Bucket="said", CORSConfiguration={"CORSRules": bad})) == (
            400, "InvalidRequest")
    await with_bucket(s3, work)
