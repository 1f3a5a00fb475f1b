"""Presigned URLs and requests altered in each part; XML and framing that are none: never a 500, never a wrong 200."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from tests.s3.world import World, code_of, raw
from tests.support.s3_door import client

LAUGHS = (b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
          b'<Delete><Object><Key>&b;</Key></Object></Delete>')


@pytest.fixture
def signed(world: World, shared: str) -> str:
    """A presigned URL of an object."""
    world.s3.put_object(Bucket=shared, Key="signed", Body=b"secret")
    return str(world.v4.generate_presigned_url("get_object", Params={"Bucket": shared, "Key": "signed"}, ExpiresIn=60))


class Replacing:
    """A client that signs and sends another body than it was told."""

    def __init__(self, world: World) -> None:
        self.body = b""
        self.s3 = client(next(world.urls), world.pair)
        self.s3.meta.events.register_first("before-call.s3", self._replace)

    def _replace(self, params: dict[str, Any], **_: Any) -> None:
        params["body"] = self.body


@pytest.fixture(scope="module")
def replacing(world: World) -> Replacing:
    return Replacing(world)


def with_query(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name.replace("-", "_") not in changes]
    query += [(name.replace("_", "-"), value) for name, value in changes.items() if value is not None]
    return urlunsplit(parts._replace(query=urlencode(query)))


@pytest.mark.parametrize("verb,method,more,status", [
    ("get_object", "GET", {}, 200), ("head_object", "HEAD", {}, 200), ("put_object", "PUT", {}, 200),
    ("delete_object", "DELETE", {}, 204), ("get_object", "GET", {"Range": "bytes=0-1"}, 206)])
def test_presigned_urls_work(world: World, shared: str, verb: str, method: str, more: dict[str, Any],
                             status: int) -> None:
    world.s3.put_object(Bucket=shared, Key="k ü", Body=b"12345")
    url = world.v4.generate_presigned_url(verb, Params={"Bucket": shared, "Key": "k ü", **more}, ExpiresIn=60)
    headers = {"Range": more["Range"]} if more else {}
    assert raw(url, method, b"new" if method == "PUT" else None, headers).status == status


@pytest.mark.parametrize("changes,statuses", [
    ({"X_Amz_Signature": "0" * 64}, {403}), ({"X_Amz_Signature": "x"}, {403}), ({"X_Amz_Signature": ""}, {400, 403}),
    ({"X_Amz_Signature": None}, {400}), ({"X_Amz_Expires": "61"}, {403}), ({"X_Amz_Expires": "x"}, {400}),
    ({"X_Amz_Expires": "999999999"}, {400}), ({"X_Amz_Date": "20200101T000000Z"}, {400, 403}), ({"X_Amz_Date": "x"},
                                                                                                {400}),
    ({"X_Amz_Credential": "NOBODY/20260101/us-east-1/s3/aws4_request"}, {400, 403}), ({"X_Amz_Credential": "x"}, {400}),
    ({"X_Amz_SignedHeaders": "host;range"}, {403}), ({"X_Amz_SignedHeaders": ""}, {400}), ({"X_Amz_Algorithm": "x"},
                                                                                           {400}),
    ({"versionId": "null"}, {403}), ({"partNumber": "1"}, {403}), ({"response-content-type": "x/y"}, {403})], ids=str)
def test_an_altered_url_is_refused(signed: str, changes: dict[str, str | None], statuses: set[int]) -> None:
    assert raw(signed).body == b"secret"
    answer = raw(with_query(signed, **changes))
    assert answer.status in statuses and b"secret" not in answer.body and answer.code


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO"])
def test_a_url_is_for_its_method(signed: str, method: str) -> None:
    assert 400 <= raw(signed, method, b"" if method in ("PUT", "POST") else None).status < 500


@pytest.mark.parametrize("seed", range(40))
def test_any_change_of_any_character(signed: str, seed: int) -> None:
    rng = random.Random(seed)
    start = signed.index("/", 8) + 1
    for _ in range(10):
        at = rng.randrange(start, len(signed))
        url = signed[:at] + rng.choice("abcXYZ019%&=/+-_.~") + signed[at + 1:]
        answer = raw(url)
        assert answer.status < 500, url
        if answer.status == 200:
            assert url.lower() == signed.lower()


@pytest.mark.parametrize("body", [
    LAUGHS, b"", b"<", b"<Delete/>", b"<Delete>" * 50, b"\xff\xfe", b"<a>" * 5_000, b"{}",
    b"<Delete><Object/></Delete>",
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>', b"<Delete>" + b"x" * 3_000_000], ids=range(11))
@pytest.mark.parametrize("where", ["delete_objects", "put_object_tagging", "put_bucket_versioning", "put_bucket_cors",
                                   "put_bucket_lifecycle_configuration", "complete_multipart_upload", "put_bucket_acl"])
def test_documents_that_are_none(replacing: Replacing, shared: str, where: str, body: bytes) -> None:
    """Signed as they are: the body is replaced just before it is signed."""
    verb: dict[str, dict[str, Any]] = {
        "delete_objects": {"Delete": {"Objects": [{"Key": "k"}]}},
        "put_object_tagging": {"Key": "k", "Tagging": {"TagSet": []}},
        "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Enabled"}},
        "put_bucket_cors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": []}},
        "complete_multipart_upload": {"Key": "k", "UploadId": "0" * 32, "MultipartUpload": {"Parts": []}},
        "put_bucket_acl": {"AccessControlPolicy": {}}}
    replacing.body = body
    status, code = code_of(lambda: getattr(replacing.s3, where)(Bucket=shared, **verb[where]))
    assert 400 <= status < 500 and code, (status, code)


@pytest.mark.parametrize("headers", [
    {"Authorization": "x"}, {"Authorization": "AWS4-HMAC-SHA256 Credential=a"}, {"Authorization": "AWS a:b"},
    {"Authorization": "Bearer x"}, {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
    {"Content-Length": "0", "x-amz-decoded-content-length": "x"}, {"x-amz-copy-source": "a/b"}, {"Range": "x" * 3_000},
    {"If-Match": "x" * 9_000}, {"Content-MD5": "x"}, {"x-amz-meta-a": "\x7f"}, {"Expect": "nothing"}], ids=str)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_strange_headers_of_strangers(world: World, shared: str, method: str, headers: dict[str, str]) -> None:
    answer = raw(f"{next(world.urls)}/{shared}/k", method, b"5\r\nabc" if method in ("PUT", "POST") and (
        "Content-Length" not in headers) else None, headers)
    assert 400 <= answer.status < 500 or answer.status == 501, answer


@pytest.mark.parametrize("pair,code", [(("ADMINKEYX", "x"), "InvalidAccessKeyId"), ((None, "x"),
                                                                                    "SignatureDoesNotMatch")])
def test_wrong_keys(world: World, shared: str, pair: tuple[str | None, str], code: str) -> None:
    wrong = type(world.pair)(pair[0] or world.pair.access_key, pair[1])
    assert code_of(lambda: client(next(world.urls), wrong).list_objects_v2(Bucket=shared)) == (403, code)
