"""Signature Version 2 against the examples that S3's own documentation printed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.units import DAY_MS
from fluffy.wire.conditions import parse_http_date
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_signature import SKEW_MAX_MS, PayloadKind
from fluffy.wire.s3_signature_v2 import in_header, in_query, verify_v2

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
UPLOAD = {
    "x-amz-acl": "public-read", "content-type": "application/x-download", "content-md5": "4gJE4saaMU4BqNR0kLY+lw==",
    "x-amz-meta-reviewedby": "joe@johnsmith.net, jane@johnsmith.net", "x-amz-meta-filechecksum": "0x02661779",
    "x-amz-meta-checksumalgorithm": "crc32", "content-disposition": "attachment; filename=database.dat"}
EXAMPLES = [
    ("GET", "/johnsmith/photos/puppy.jpg", "", {}, "Tue, 27 Mar 2007 19:36:42 +0000", "bWq2s1WEIj+Ydj0vQ697zp+IXMU="),
    ("PUT", "/johnsmith/photos/puppy.jpg", "", {"content-type": "image/jpeg", "content-length": "94328"},
     "Tue, 27 Mar 2007 21:15:45 +0000", "MyyxeRY7whkBe+bq8fHCL/2kKUg="),
    ("GET", "/johnsmith/", "prefix=photos&max-keys=50&marker=puppy", {}, "Tue, 27 Mar 2007 19:42:41 +0000",
     "htDYFYduRNen8P9ZfE/s9SuKy0U="),
    ("GET", "/johnsmith/", "acl", {}, "Tue, 27 Mar 2007 19:44:46 +0000", "c2WLPFtWHVgbEmeEG93a4cG37dM="),
    ("PUT", "/static.johnsmith.net/db-backup.dat.gz", "", UPLOAD, "Tue, 27 Mar 2007 21:06:08 +0000",
     "ilyl83RwaSoYIEdixDQcA4OnAnc=")]


def check(method: str, resource: str, query: str, headers: dict[str, str], signature: str, *,
          shift_ms: int = 0) -> None:
    date_ms = (parse_http_date(headers.get("date", "")) or 0) * 1000
    signed = in_header(f"AWS {KEY}:{signature}", headers)
    assert signed.access_key == KEY and signed.payload_kind is PayloadKind.UNSIGNED and not signed.is_presigned
    verify_v2(signed, SECRET, method=method, resource=resource, raw_query=query, headers=headers,
              now_ms=date_ms + shift_ms)


@pytest.mark.parametrize("method,resource,query,headers,date,signature", EXAMPLES)
def test_the_examples_of_the_documentation(method: str, resource: str, query: str, headers: dict[str, str], date: str,
                                           signature: str) -> None:
    said = {**headers, "date": date}
    check(method, resource, query, said, signature, shift_ms=SKEW_MAX_MS)
    for changed in (("POST", resource, query, said), (method, resource + "x", query, said),
                    (method, resource, "torrent", said), (method, resource, query, {**said, "x-amz-acl": "private"}),
                    (method, resource, query, {**said, "content-type": "x"})):
        with pytest.raises(S3Error) as caught:
            check(*changed, signature)
        assert caught.value.s3_code == "SignatureDoesNotMatch"
    for shift_ms in (-SKEW_MAX_MS - 1, SKEW_MAX_MS + 1):
        with pytest.raises(S3Error) as caught:
            check(method, resource, query, said, signature, shift_ms=shift_ms)
        assert caught.value.s3_code == "RequestTimeTooSkewed"


QUERY = {"AWSAccessKeyId": KEY, "Expires": "1175139620", "Signature": "NpgCjnDzrM+WFzoENXmpNDUsSn8="}
ENDS_MS = 1175139620_000


def check_url(resource: str, now_ms: int, **changes: str) -> None:
    fields = {**QUERY, **changes}
    signed = in_query(fields, {})
    verify_v2(signed, SECRET, method="GET", resource=resource, raw_query="", headers={}, now_ms=now_ms)


def test_the_url_of_the_documentation_and_its_end() -> None:
    check_url("/johnsmith/photos/puppy.jpg", ENDS_MS - 1)
    check_url("/johnsmith/photos/puppy.jpg", ENDS_MS - 7 * DAY_MS)
    for now_ms in (ENDS_MS, ENDS_MS - 8 * DAY_MS):
        with pytest.raises(S3Error) as caught:
            check_url("/johnsmith/photos/puppy.jpg", now_ms)
        assert caught.value.s3_code == "AccessDenied"
    with pytest.raises(S3Error):
        check_url("/johnsmith/photos/puppy.jpg", ENDS_MS - 1, Expires="1175139621")


@settings(max_examples=60)
@given(st.text(max_size=80), st.dictionaries(st.sampled_from(["AWSAccessKeyId", "Signature", "Expires", "acl"]),
                                             st.text(max_size=40)), st.text(max_size=60))
def test_what_is_made_up_is_refused_and_nothing_else_happens(header: str, fields: dict[str, str], query: str) -> None:
    for signed_by in (lambda: in_header("AWS " + header, {"date": header}), lambda: in_query(fields, {})):
        with pytest.raises(S3Error):
            verify_v2(signed_by(), SECRET, method="GET", resource="/b/k", raw_query=query, headers={"date": header},
                      now_ms=ENDS_MS)


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"x-amz-date": "", "date": ""}])
def test_a_request_says_when_it_was_signed(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        in_header(f"AWS {KEY}:{EXAMPLES[0][5]}", headers)
    assert caught.value.s3_code == "AccessDenied"


SIGNED = {"date": EXAMPLES[0][4]}


def test_chunks_that_nobody_signed_have_no_signature() -> None:
    with pytest.raises(S3Error):
        in_header(f"AWS {KEY}:{EXAMPLES[0][5]}", {
            **SIGNED, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    for headers in ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
                    {"x-amz-trailer": "x-amz-checksum-crc32", "content-encoding": "gzip,aws-chunked"}):
        signed = in_header(f"AWS {KEY}:{EXAMPLES[0][5]}", {**SIGNED, **headers})
        assert signed.payload_kind is PayloadKind.UNSIGNED_CHUNKS_TRAILER
