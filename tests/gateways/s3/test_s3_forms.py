"""Forms in browsers over the S3 door."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_form import FileReader, FormReader
from tests.support.s3_door import S3, failure, running_s3


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with running_s3(tmp_path) as running:
        yield running


async def with_bucket(s3: S3, work: Any) -> None:
    pair = await s3.add_key("admin", "ADMINKEY")

    def begin() -> None:
        client = s3.client(pair, signature_version="s3v4")
        client.create_bucket(Bucket="form")
        work(client)
    await s3.run(begin)


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def post(url: str, fields: dict[str, str], data: bytes, filename: str = "f.txt") -> tuple[int, dict[str, str], bytes]:
    boundary = uuid4().hex
    body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                    for name, value in fields.items())
    body += (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
             "Content-Type: text/x\r\n\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
    request = Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}, method="POST")
    try:
        with build_opener(_Stay).open(request, timeout=20) as answer:
            return answer.status, dict(answer.headers.items()), answer.read()
    except HTTPError as error:
        return error.code, dict(error.headers.items()), error.read()


@pytest.mark.parametrize("size", [0, 5, 2_000, 300_000])
async def test_what_the_policy_allows_is_stored(s3: S3, size: int) -> None:
    data = (b"\r\n--almost" * (size // 10 + 1))[:size]

    def work(client: Any) -> None:
        form = client.generate_presigned_post(
            "form", "up/${filename}", Fields={"Content-Type": "text/y", "x-amz-meta-who": "ü", "acl": "private"},
            Conditions=[{"Content-Type": "text/y"}, ["starts-with", "$x-amz-meta-who", ""], {"acl": "private"},
                        ["content-length-range", 0, 400_000]])
        status, headers, _ = post(form["url"], form["fields"], data)
        assert status == 204 and headers["ETag"]
        got = client.get_object(Bucket="form", Key="up/f.txt")
        assert got["Body"].read() == data and got["ContentType"] == "text/y" and got["ETag"] == headers["ETag"]
    await with_bucket(s3, work)


async def test_the_answer_is_as_the_form_wants_it(s3: S3) -> None:
    def work(client: Any) -> None:
        def with_field(name: str, value: str) -> tuple[int, dict[str, str], bytes]:
            form = client.generate_presigned_post("form", "k", Fields={name: value}, Conditions=[{name: value}])
            return post(form["url"], form["fields"], b"x")
        status, _, body = with_field("success_action_status", "201")
        assert status == 201 and b"<PostResponse" in body and b"<Key>k</Key>" in body
        assert with_field("success_action_status", "200")[0] == 200
        status, headers, _ = with_field("success_action_redirect", "https://example.com/done?x=1")
        assert status == 303 and headers["Location"].startswith("https://example.com/done?x=1&bucket=form&key=k&etag=")
        assert with_field("success_action_redirect", "javascript:alert(1)")[0] == 204
    await with_bucket(s3, work)


async def test_what_the_policy_does_not_allow_is_refused(s3: S3) -> None:
    def work(client: Any) -> None:
        form = client.generate_presigned_post("form", "k", Conditions=[["content-length-range", 2, 5]])

        def refused(data: bytes = b"abc", **changes: str | None) -> tuple[int, bytes]:
            fields = {name: value for name, value in {**form["fields"], **changes}.items() if value is not None}
            status, _, body = post(form["url"], fields, data)
            return status, body.partition(b"<Code>")[2].partition(b"<")[0]
        assert refused()[0] == 204
        assert refused(b"a") == (400, b"EntityTooSmall") and refused(b"abcdef") == (400, b"EntityTooLarge")
        assert refused(b"x" * 300_000) == (400, b"EntityTooLarge")
        assert refused(key="other") == (403, b"AccessDenied") and refused(acl="public-read") == (403, b"AccessDenied")
        assert refused(**{"x-amz-signature": "0" * 64}) == (403, b"SignatureDoesNotMatch")
        later = json.loads(base64.b64decode(form["fields"]["policy"]))
        later["conditions"] = [["starts-with", "$key", ""]]
        forged = base64.b64encode(json.dumps(later).encode()).decode()
        assert refused(policy=forged) == (403, b"SignatureDoesNotMatch")
        assert refused(policy=None) == (403, b"AccessDenied") and refused(key=None) == (400, b"InvalidArgument")
        assert refused(**{"x-amz-credential": "NOBODY/20260101/x/s3/aws4_request"})[0] in (400, 403)
        assert failure(lambda: client.get_object(Bucket="form", Key="other")) == (404, "NoSuchKey")
        old = client.generate_presigned_post("form", "k", ExpiresIn=-1)
        assert post(old["url"], old["fields"], b"x")[0] == 403
    await with_bucket(s3, work)


@pytest.mark.parametrize(("name", "value"), [
    ("Content-Type", "text/x\r\nA: b"), ("Cache-Control", "a\nb"), ("x-amz-meta-who", "a\r\nb"),
    ("x-amz-meta-who", "\x00"), ("x-amz-meta-who", "\x7f"), ("x-amz-meta-w o", "x"), ("x-amz-meta-wü", "x"),
    ("x-amz-meta-w:", "x"), ("x-amz-website-redirect-location", "/a\rb")])
async def test_what_cannot_stand_in_a_header_is_refused(s3: S3, name: str, value: str) -> None:
    def work(client: Any) -> None:
        form = client.generate_presigned_post("form", "k", Fields={name: value}, Conditions=[{name: value}])
        status, _, body = post(form["url"], form["fields"], b"x")
        assert status == 400 and b"<Code>InvalidArgument</Code>" in body, body
        assert failure(lambda: client.get_object(Bucket="form", Key="k")) == (404, "NoSuchKey")
        form = client.generate_presigned_post("form", "k", Fields={"x-amz-meta-who": "a\tü"},
                                              Conditions=[{"x-amz-meta-who": "a\tü"}])
        assert post(form["url"], form["fields"], b"x")[0] == 204
        assert client.get_object(Bucket="form", Key="k")["Body"].read() == b"x"
    await with_bucket(s3, work)


@given(st.binary(max_size=200), st.integers(1, 50))
@settings(max_examples=100)
def test_a_file_may_hold_anything_but_its_boundary(data: bytes, step: int) -> None:
    boundary = b"xyzzy"
    if b"\r\n--" + boundary in data:
        return
    reader, whole, found = FileReader(boundary), data + b"\r\n--xyzzy--\r\n", b""
    for at in range(0, len(whole), step):
        if not reader.is_done:
            found += reader.take(whole[at:at + step])
    assert found == data and reader.is_done


@given(st.binary(max_size=200) | st.text(alphabet="-xyz\r\n:;=\" namefil", max_size=80).map(str.encode))
@settings(max_examples=100)
def test_what_is_no_form_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        FormReader(b"xyz").feed(b"--xyz" + data)
    except S3Error as error:
        assert error.s3_code in ("MalformedPOSTRequest", "InvalidArgument", "MaxPostPreDataLengthExceededError")
