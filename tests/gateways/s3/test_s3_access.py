"""Who may do what over the S3 door: hosts, presigned URLs, strangers, everything altered on its way."""

from __future__ import annotations

import http.client
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fluffy.core.metadata.commands_s3 import RemoveKey, SetBucketDocument
from fluffy.services.s3_keys import KeyPair
from tests.support.local_log import header
from tests.support.s3_door import S3, failure, running_s3


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


def ask(s3: S3, method: str, target: str, headers: dict[str, str] | None = None,
        body: bytes | None = None) -> tuple[int, bytes]:
    """One request as it stands, without a client's help."""
    connection = http.client.HTTPConnection("127.0.0.1", s3.port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in (headers or {}):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def signed(pair: KeyPair, method: str, url: str, body: bytes = b"", **headers: str) -> dict[str, str]:
    request = AWSRequest(method, url, headers={name.replace("_", "-"): text for name, text in headers.items()},
                         data=body)
    S3SigV4Auth(Credentials(pair.access_key, pair.secret), "s3", "eu-central-7").add_auth(request)
    return dict(request.headers)


async def test_a_bucket_can_stand_in_the_host(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def work() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="photos")
        client.put_object(Bucket="photos", Key="d/a b", Body=b"cat")
        host = f"photos.localhost:{s3.port}"
        headers = signed(pair, "GET", f"http://{host}/d/a%20b")
        assert ask(s3, "GET", "/d/a%20b", {"Host": host, **headers}) == (200, b"cat")
        headers = signed(pair, "GET", f"http://{host}/?list-type=2&prefix=d")
        status, body = ask(s3, "GET", "/?list-type=2&prefix=d", {"Host": host, **headers})
        assert status == 200 and b"<Key>d/a b</Key>" in body
    await s3.run(work)


async def test_presigned_urls_work_until_they_end_and_only_as_they_are(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def work() -> None:
        client = s3.client(pair, signature_version="s3v4")
        client.create_bucket(Bucket="photos")
        put = urlsplit(client.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "a"}, ExpiresIn=60))
        assert ask(s3, "PUT", f"{put.path}?{put.query}", {"Host": put.netloc}, b"c4t")[0] == 200
        get = urlsplit(client.generate_presigned_url(
            "get_object", {"Bucket": "photos", "Key": "a", "ResponseContentType": "x/y"}, ExpiresIn=60))
        target = f"{get.path}?{get.query}"
        assert ask(s3, "GET", target, {"Host": get.netloc}) == (200, b"c4t")
        assert ask(s3, "HEAD", target, {"Host": get.netloc})[0] == 403
        chance = random.Random(7)
        places = chance.sample(range(len(target)), 60)
        for place in places:
            other = chance.choice([c for c in "abcXYZ019" if c != target[place]])
            status, body = ask(s3, "GET", target[:place] + other + target[place + 1:], {"Host": get.netloc})
            assert 400 <= status < 500 and b"c4t" not in body, (place, target[place], other, status)
        for name in ("X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential", "X-Amz-SignedHeaders"):
            fields = [field for field in get.query.split("&") if not field.startswith(name)]
            assert ask(s3, "GET", f"{get.path}?{'&'.join(fields)}", {"Host": get.netloc})[0] in (400, 403)
    await s3.run(work)


async def test_strangers_read_public_buckets_and_nothing_else(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def fill() -> None:
        client = s3.client(pair)
        for bucket in ("open", "closed"):
            client.create_bucket(Bucket=f"{bucket}-bucket")
            client.put_object(Bucket=f"{bucket}-bucket", Key="a", Body=b"cat")
        client.put_object(Bucket="closed-bucket", Key="shown", Body=b"dog", ACL="public-read")
        assert not client.get_bucket_policy_status(Bucket="open-bucket")["PolicyStatus"]["IsPublic"]
    await s3.run(fill)
    s3.native.cluster.log.apply(SetBucketDocument(header(), "open-bucket", "acl", b"public-read"))
    async with s3.native.client.post(f"{s3.native.url}/v1/admin/grants", json={
            "bucket": "closed-bucket", "user": "everyone", "right": "read"}) as answer:
        assert answer.status == 201

    def work() -> None:
        assert s3.client(pair).get_bucket_policy_status(Bucket="open-bucket")["PolicyStatus"]["IsPublic"]
        stranger = s3.client(None)
        assert stranger.get_object(Bucket="open-bucket", Key="a")["Body"].read() == b"cat"
        assert stranger.list_objects_v2(Bucket="open-bucket")["KeyCount"] == 1
        assert stranger.get_object(Bucket="closed-bucket", Key="shown")["Body"].read() == b"dog"
        for refused in (
                lambda: stranger.get_object(Bucket="closed-bucket", Key="a"),
                lambda: stranger.get_object(Bucket="closed-bucket", Key="nothing"),
                lambda: stranger.list_objects_v2(Bucket="closed-bucket"),
                lambda: stranger.put_object(Bucket="open-bucket", Key="b", Body=b"x"),
                lambda: stranger.delete_object(Bucket="open-bucket", Key="a"),
                lambda: stranger.delete_bucket(Bucket="open-bucket"),
                lambda: stranger.create_bucket(Bucket="new-bucket"),
                lambda: stranger.copy_object(Bucket="open-bucket", Key="b", CopySource="open-bucket/a"),
                lambda: stranger.list_buckets()):
            assert failure(refused) == (403, "AccessDenied")
        assert ask(s3, "GET", "/open-bucket/a?response-content-type=x/y")[0] == 400
    await s3.run(work)


async def test_of_a_public_bucket_only_the_objects_are_public(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    native = s3.native
    async with native.client.post(f"{native.url}/v1/admin/users", json={"name": "bob"}) as answer:
        assert answer.status == 201
    bob = await s3.add_key("bob", "BOBKEY")

    def work() -> None:
        client = s3.client(pair)
        client.create_bucket(Bucket="open-bucket")
        client.put_bucket_versioning(Bucket="open-bucket", VersioningConfiguration={"Status": "Enabled"})
        old = client.put_object(Bucket="open-bucket", Key="a", Body=b"old")["VersionId"]
        shown = client.put_object(Bucket="open-bucket", Key="a", Body=b"shown", ACL="public-read")["VersionId"]
        client.put_object(Bucket="open-bucket", Key="a", Body=b"cat", Tagging="x=1")
        client.put_bucket_tagging(Bucket="open-bucket", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        client.put_bucket_acl(Bucket="open-bucket", ACL="public-read")
        of_object = {"Bucket": "open-bucket", "Key": "a"}
        for other in (s3.client(None), s3.client(bob)):
            assert other.get_object(**of_object)["Body"].read() == b"cat"
            assert other.list_objects_v2(Bucket="open-bucket")["KeyCount"] == 1
            owners = [page["Contents"][0]["Owner"] for page in (
                other.list_objects(Bucket="open-bucket"),
                other.list_objects_v2(Bucket="open-bucket", FetchOwner=True))]
            assert [[*owner] for owner in owners] == [["ID"], ["ID"]], "strangers hear no name to log in with"
            assert other.head_bucket(Bucket="open-bucket")
            assert other.get_object(**of_object, VersionId=shown)["Body"].read() == b"shown"
            for refused in (
                    lambda other=other: other.get_object(**of_object, VersionId=old),
                    lambda other=other: other.get_object(**of_object, VersionId="7777777"),
                    lambda other=other: other.get_object_attributes(
                        **of_object, VersionId=old, ObjectAttributes=["ETag"]),
                    lambda other=other: other.get_object_acl(**of_object),
                    lambda other=other: other.get_object_tagging(**of_object),
                    lambda other=other: other.get_bucket_tagging(Bucket="open-bucket"),
                    lambda other=other: other.get_bucket_acl(Bucket="open-bucket"),
                    lambda other=other: other.get_bucket_cors(Bucket="open-bucket"),
                    lambda other=other: other.get_bucket_lifecycle_configuration(Bucket="open-bucket"),
                    lambda other=other: other.get_bucket_versioning(Bucket="open-bucket"),
                    lambda other=other: other.list_object_versions(Bucket="open-bucket"),
                    lambda other=other: other.list_multipart_uploads(Bucket="open-bucket")):
                assert failure(refused) == (403, "AccessDenied")
        assert client.get_object(**of_object, VersionId=old)["Body"].read() == b"old"
    await s3.run(work)


async def test_a_copy_s_source_tells_nothing_to_who_may_not_read_it(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    native = s3.native
    async with native.client.post(f"{native.url}/v1/admin/users", json={"name": "bob"}) as answer:
        assert answer.status == 201
    bob = await s3.add_key("bob", "BOBKEY")

    def work() -> None:
        client, theirs = s3.client(pair), s3.client(bob)
        client.create_bucket(Bucket="shut-bucket")
        client.put_bucket_versioning(Bucket="shut-bucket", VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket="shut-bucket", Key="a", Body=b"cat")
        marker = client.delete_object(Bucket="shut-bucket", Key="a")["VersionId"]
        for source in ("shut-bucket/a", f"shut-bucket/a?versionId={marker}", "shut-bucket/nothing"):
            assert failure(lambda source=source: theirs.copy_object(Bucket="bob", Key="b", CopySource=source)) \
                == (403, "AccessDenied")
    await s3.run(work)


@pytest.mark.parametrize(("method", "target"), [("OPTIONS", "/admin"), ("OPTIONS", "/admin/a"), ("POST", "/admin")])
async def test_claims_that_nobody_checks_do_not_count(s3: S3, method: str, target: str) -> None:
    url = f"{s3.url}{target}"
    claims = signed(KeyPair("MADEUP", "a secret"), method, url, x_amz_decoded_content_length="5",
                    content_type="multipart/form-data; boundary=b")
    claims["X-Amz-Content-SHA256"] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    chunk = b"5;chunk-signature=" + b"0" * 64 + b"\r\nabcde\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    status, body = await s3.run(lambda: ask(s3, method, target, claims, chunk))
    assert 400 <= status < 500, body


async def test_a_disabled_user_s_pair_and_a_deleted_one_end_at_once(s3: S3) -> None:
    native = s3.native
    async with native.client.post(f"{native.url}/v1/admin/users", json={"name": "bob"}) as answer:
        assert answer.status == 201
    async with native.client.post(f"{native.url}/v1/keys", json={"user": "bob", "label": "x"}) as answer:
        made = await answer.json()
    pair = KeyPair(made["access_key"], made["secret"])
    await s3.run(lambda: s3.client(pair).list_buckets())
    async with native.client.patch(f"{native.url}/v1/admin/users/bob", json={"disabled": True}) as answer:
        assert answer.status == 200
    assert await s3.run(lambda: failure(lambda: s3.client(pair).list_buckets())) == (403, "InvalidAccessKeyId")
    async with native.client.patch(f"{native.url}/v1/admin/users/bob", json={"disabled": False}) as answer:
        assert answer.status == 200
    await s3.run(lambda: s3.client(pair).list_buckets())
    async with native.client.delete(f"{native.url}/v1/keys/{pair.access_key}?user=bob") as answer:
        assert answer.status == 200
    assert await s3.run(lambda: failure(lambda: s3.client(pair).list_buckets())) == (403, "InvalidAccessKeyId")


async def test_a_pair_that_ended_before_the_point_of_a_read_ends_with_it(s3: S3, monkeypatch: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    gate = s3.door.desk.gate
    point = gate.point

    async def ended_meanwhile(*arguments: Any) -> Any:
        s3.native.cluster.log.apply(RemoveKey(header(), "admin", "ADMINKEY"))
        return await point(*arguments)
    monkeypatch.setattr(type(gate), "point", lambda _, *arguments: ended_meanwhile(*arguments))
    assert await s3.run(lambda: failure(lambda: s3.client(pair).list_buckets())) == (403, "InvalidAccessKeyId")


async def test_what_strangers_make_up_does_not_stand_in_the_audit_log(s3: S3) -> None:
    noted: list[str] = []
    people = s3.door.desk.data_path().people
    people.refusals.note = lambda **facts: noted.append(facts["user"])  # type: ignore[method-assign]
    pair = await s3.add_key("admin", "ADMINKEY")
    for access_key in (pair.access_key, "MADEUP"):
        await s3.run(lambda access_key=access_key: failure(
            lambda: s3.client(KeyPair(access_key, "a wrong secret")).list_buckets()))
    assert noted == ["admin", ""]


BAD: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/", {"Authorization": "Bearer abc"}, 400),
    ("GET", "/", {"Authorization": "AWS AK:sig"}, 403),
    ("GET", "/", {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, 400),
    ("GET", "/%zz", {}, 400), ("GET", "/b/%ff", {}, 400), ("GET", "//x", {}, 400),
    ("GET", "/?X-Amz-Signature=1", {}, 400), ("BREW", "/b/k", {}, 400), ("PATCH", "/b/k", {}, 405),
    ("POST", "/b/k", {}, 405), ("POST", "/", {}, 405), ("PUT", "/", {}, 405),
    ("GET", "/b?policy", {}, 501), ("PUT", "/b/k?retention", {}, 501), ("DELETE", "/b?website", {}, 501),
    ("DELETE", "/b?location", {}, 405), ("PUT", "/b?list-type=2", {}, 403),
    ("GET", "/admin/" + "x" * 3000, {}, 400), ("GET", "/" + "b" * 600, {}, 404), ("GET", "/admin/a//b", {}, 400),
    ("GET", "/admin?max-keys=-1", {}, 400), ("GET", "/admin?max-keys=x", {}, 400),
    ("GET", "/admin?list-type=3", {}, 400),
    ("GET", "/admin/a?versionId=x", {}, 403), ("GET", "/admin/a?partNumber=0", {}, 404),
    ("GET", "/admin?list-type=2&continuation-token=%ff", {}, 400),
]


@pytest.mark.parametrize(("method", "target", "headers", "status"), BAD)
async def test_bad_input_is_answered_in_s3_s_words(s3: S3, method: str, target: str, headers: dict[str, str],
                                                  status: int) -> None:
    s3.native.cluster.log.apply(SetBucketDocument(header(), "admin", "acl", b"public-read"))

    def work() -> None:
        got, body = ask(s3, method, target, headers)
        assert got == status, body
        assert body.startswith(b"<?xml") and b"<Code>" in body and b"<RequestId>" in body
    await s3.run(work)


async def test_a_body_that_is_not_what_was_signed_is_not_stored(s3: S3) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    url = f"{s3.url}/admin/a"

    def work() -> None:
        headers = signed(pair, "PUT", url, b"cat")
        assert ask(s3, "PUT", "/admin/a", headers, b"dog")[0] == 400
        assert ask(s3, "PUT", "/admin/a", {**headers, "x-amz-acl": "public-read"}, b"cat")[0] == 403
        assert failure(lambda: s3.client(pair).head_object(Bucket="admin", Key="a"))[0] == 404
        assert ask(s3, "PUT", "/admin/a", headers, b"cat")[0] == 200
        for name, value, status in (("Content-MD5", "AAAA", 400), ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==", 400),
                                    ("x-amz-checksum-crc32", "AAAAAA==", 400), ("x-amz-storage-class", "GLACIER", 400),
                                    ("x-amz-acl", "nonsense", 400), ("x-amz-tagging", "a=1&a=2", 400),
                                    ("x-amz-server-side-encryption", "aws:kms", 501),
                                    ("x-amz-meta-big", "x" * 3000, 400)):
            headers = signed(pair, "PUT", url, b"cat", **{name.replace("-", "_"): value})
            got, body = ask(s3, "PUT", "/admin/a", headers, b"cat")
            assert got == status, (name, body)
    await s3.run(work)


async def test_a_clock_that_is_wrong_by_more_than_15_minutes_is_told(s3: S3, monkeypatch: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")
    off = s3.door.desk.clock.now_ms() + int(timedelta(minutes=16).total_seconds() * 1000)
    monkeypatch.setattr(type(s3.door.desk.clock), "now_ms", lambda _: off)
    assert await s3.run(lambda: failure(lambda: s3.client(pair).list_buckets())) == (403, "RequestTimeTooSkewed")
