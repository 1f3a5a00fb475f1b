"""Signatures: the examples of S3's public documentation, what clients may vary, what must never pass."""

import hashlib
import hmac
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_signature import (
    EMPTY_SHA256,
    SKEW_MAX_MS,
    PayloadKind,
    derive_key,
    parse_authorization,
    parse_stamp,
    sign,
    verify,
)

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP = "20130524T000000Z"
NOW_MS = 1369353600_000
HOST = "examplebucket.s3.amazonaws.com"


def authorization(names: str, signature: str, access_key: str = KEY, scope: str = "20130524/us-east-1/s3/aws4_request"):
    return (f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}")


def headers_of(**more: str) -> dict[str, str]:
    found = {"host": HOST, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": STAMP}
    found.update({name.replace("_", "-"): value for name, value in more.items()})
    return found


def check(method: str, path: str, query: str, headers: dict[str, str], now_ms: int = NOW_MS, secret: str = SECRET):
    signed = parse_authorization(method, path, query, headers)
    assert signed is not None
    return verify(signed, secret, method=method, raw_path=path, raw_query=query, headers=headers, now_ms=now_ms)


def code_of(method: str, path: str, query: str, headers: dict[str, str], now_ms: int = NOW_MS,
            secret: str = SECRET) -> str:
    with pytest.raises(S3Error) as caught:
        check(method, path, query, headers, now_ms, secret)
    return caught.value.s3_code


GET_RANGE = ("GET", "/test.txt", "", headers_of(range="bytes=0-9", authorization=authorization(
    "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")))
PUT_STRANGE_NAME = ("PUT", "/test$file.text", "", headers_of(
    date="Fri, 24 May 2013 00:00:00 GMT", x_amz_storage_class="REDUCED_REDUNDANCY",
    x_amz_content_sha256="44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    authorization=authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")))
GET_LIFECYCLE = ("GET", "/", "lifecycle", headers_of(authorization=authorization(
    "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")))
LIST = ("GET", "/", "prefix=J&max-keys=2", headers_of(authorization=authorization(
    "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")))
PRESIGNED_QUERY = ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
                   "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                   "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@pytest.mark.parametrize("request_", [GET_RANGE, PUT_STRANGE_NAME, GET_LIFECYCLE, LIST],
                         ids=["range", "strange name", "lifecycle", "list"])
def test_the_documented_examples_verify(request_) -> None:
    key = check(*request_)
    assert key.scope == "20130524/us-east-1/s3/aws4_request"
    assert key.amz_date == STAMP and request_[3]["authorization"].endswith(key.seed)


def test_the_documented_presigned_url_verifies_while_it_lives() -> None:
    headers = {"host": HOST}
    check("GET", "/test.txt", PRESIGNED_QUERY, headers)
    check("GET", "/test.txt", PRESIGNED_QUERY, headers, NOW_MS + 86_399_000)
    assert code_of("GET", "/test.txt", PRESIGNED_QUERY, headers, NOW_MS + 86_400_000) == "AccessDenied"
    assert code_of("GET", "/test.txt", PRESIGNED_QUERY, headers, NOW_MS - SKEW_MAX_MS - 1000) == "AccessDenied"


def test_a_url_for_no_time_at_all_is_over() -> None:
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest("GET", f"https://{HOST}/test.txt")
    S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "us-east-1", expires=0).add_auth(request)
    query = request.url.partition("?")[2]
    at_ms = parse_stamp(query.partition("X-Amz-Date=")[2][:16])
    assert at_ms is not None and code_of("GET", "/test.txt", query, {"host": HOST}, at_ms) == "AccessDenied"


@pytest.mark.parametrize("change", [
    ("X-Amz-Expires=86400", "X-Amz-Expires=86401"), ("us-east-1", "us-east-2"), ("20130524T000000Z",
                                                                                 "20130524T000001Z"),
    ("SignedHeaders=host", "SignedHeaders=host%3Brange"), ("aeeed9", "aeeed8"), ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
    ("&X-Amz-Date", "&versionId=1&X-Amz-Date")])
def test_a_presigned_url_altered_anywhere_is_refused(change: tuple[str, str]) -> None:
    query = PRESIGNED_QUERY.replace(*change)
    assert query != PRESIGNED_QUERY
    assert code_of("GET", "/test.txt", query, {"host": HOST, "range": "bytes=0-1"}) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("method,path,host", [("PUT", "/test.txt", HOST), ("GET", "/test.tx", HOST),
                                              ("GET", "/test.txt", "other.s3.amazonaws.com")])
def test_a_presigned_url_is_for_one_method_path_and_host(method: str, path: str, host: str) -> None:
    assert code_of(method, path, PRESIGNED_QUERY, {"host": host}) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("query,code", [
    (PRESIGNED_QUERY.replace("X-Amz-Expires=86400", "X-Amz-Expires=604801"), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY.replace("X-Amz-Expires=86400", "X-Amz-Expires=-1"), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY.replace("X-Amz-Expires=86400&", ""), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY.replace("T000000Z", ""), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY.replace("%2Fs3%2F", "%2Fec2%2F"), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY + "&X-Amz-Signature=0", "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY[:-64], "AuthorizationQueryParametersError"),
    (PRESIGNED_QUERY + "&x=%zz", "InvalidURI")])
def test_a_presigned_url_that_is_none_is_refused(query: str, code: str) -> None:
    assert code_of("GET", "/test.txt", query, {"host": HOST}) == code


def test_a_wrong_secret_is_refused() -> None:
    assert code_of(*GET_RANGE, secret=SECRET[:-1]) == "SignatureDoesNotMatch"


def test_clocks_may_differ_by_a_quarter_of_an_hour() -> None:
    check(*GET_RANGE, now_ms=NOW_MS + SKEW_MAX_MS)
    check(*GET_RANGE, now_ms=NOW_MS - SKEW_MAX_MS)
    assert code_of(*GET_RANGE, now_ms=NOW_MS + SKEW_MAX_MS + 1000) == "RequestTimeTooSkewed"
    assert code_of(*GET_RANGE, now_ms=NOW_MS - SKEW_MAX_MS - 1000) == "RequestTimeTooSkewed"


def test_an_outsider_does_not_learn_the_clock_before_the_signature_holds() -> None:
    assert code_of(*GET_RANGE, now_ms=NOW_MS * 2, secret="x") == "SignatureDoesNotMatch"


def test_nothing_claimed_is_nobody() -> None:
    assert parse_authorization("GET", "/", "list-type=2", {"host": HOST}) is None


@pytest.mark.parametrize("header,code", [
    ("Basic eA==", "InvalidRequest"), ("AWS x:y", "InvalidRequest"), ("AWS4-ECDSA-P256-SHA256 x", "NotImplemented"),
    ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
    (authorization("host", "0" * 64) + ",Signature=1", "AuthorizationHeaderMalformed"),
    (authorization("x-amz-date", "0" * 64), "AuthorizationHeaderMalformed"),
    (authorization("x-amz-date;host", "0" * 64), "AuthorizationHeaderMalformed"),
    (authorization("host;host", "0" * 64), "AuthorizationHeaderMalformed"),
    (authorization("Host", "0" * 64), "AuthorizationHeaderMalformed"),
    (authorization("host", "0" * 64), "AccessDenied"),  # x-amz-date is not signed
    (authorization("host;x-amz-content-sha256;x-amz-date", "0" * 63), "SignatureDoesNotMatch"),
    (authorization("host;x-amz-content-sha256;x-amz-date", "0" * 64), "SignatureDoesNotMatch"),
    (authorization("host;x-amz-content-sha256;x-amz-date", "Ü" * 64), "SignatureDoesNotMatch"),
    (authorization("host", "0" * 64, scope="20130525/us-east-1/s3/aws4_request"), "AuthorizationHeaderMalformed"),
    (authorization("host", "0" * 64, scope="20130524/us-east-1/s3/aws5_request"), "AuthorizationHeaderMalformed"),
    (authorization("host", "0" * 64, access_key="a/b"), "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA256 " + "x" * 5000, "AuthorizationHeaderMalformed")])
def test_a_header_that_is_none_is_refused(header: str, code: str) -> None:
    assert code_of("GET", "/", "", headers_of(authorization=header)) == code


def test_both_ways_of_signing_at_once_are_refused() -> None:
    assert code_of("GET", "/test.txt", PRESIGNED_QUERY, GET_RANGE[3]) == "InvalidArgument"


def test_a_request_signed_in_its_header_says_what_its_body_is() -> None:
    headers = headers_of(authorization=authorization("host;x-amz-date", "0" * 64))
    del headers["x-amz-content-sha256"]
    assert code_of("GET", "/", "", headers) == "InvalidRequest"
    headers = headers_of(authorization=authorization("host;x-amz-content-sha256;x-amz-date", "0" * 64),
                         x_amz_content_sha256="abc")
    assert code_of("GET", "/", "", headers) == "InvalidArgument"


def test_headers_of_amazon_put_in_on_the_way_are_refused() -> None:
    method, path, query, headers = GET_RANGE
    assert code_of(method, path, query, {**headers, "x-amz-acl": "public-read"}) == "AccessDenied"
    presigned = {"host": HOST, "x-amz-acl": "public-read"}
    assert code_of("GET", "/test.txt", PRESIGNED_QUERY, presigned) == "AccessDenied"


def test_the_date_header_counts_where_there_is_no_other() -> None:
    headers = {"host": HOST, "date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-content-sha256": EMPTY_SHA256}
    signed = signed_like_a_client("GET", "/a", "", headers, "date;host;x-amz-content-sha256")
    check("GET", "/a", "", signed)


# A client of our own, written down from the documentation and nothing of ours but the key.

def signed_like_a_client(method: str, canonical_path: str, canonical_query: str, headers: dict[str, str], names: str,
                         values: dict[str, str] | None = None) -> dict[str, str]:
    seen = headers | (values or {})
    lines = "".join(f"{name}:{seen[name]}\n" for name in names.split(";"))
    text = f"{method}\n{canonical_path}\n{canonical_query}\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    scope = "20130524/eu-central-1/s3/aws4_request"
    key = derive_key(SECRET, "20130524", "eu-central-1")
    signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{STAMP}\n{scope}\n{digest}".encode(), "sha256").hexdigest()
    return {**headers, "authorization": authorization(names, signature, scope=scope)}


NAMES = "host;x-amz-content-sha256;x-amz-date"


@pytest.mark.parametrize("sent,canonical", [
    ("/b/a%20b", "/b/a%20b"), ("/b/a b", "/b/a%20b"), ("/b/a+b", "/b/a%2Bb"), ("/b/%7e~", "/b/~~"),
    ("/b/%c3%bc", "/b/%C3%BC"), ("/b//x/../y/", "/b//x/../y/"), ("/b/a%2Fb", "/b/a/b"), ("/b/(x)!*'",
                                                                                         "/b/%28x%29%21%2A%27"),
    ("/b/%25", "/b/%25"), ("", "/"), ("/b/%ff", "/b/%FF"), ("/b/a=b&c@d:e$,;", "/b/a%3Db%26c%40d%3Ae%24%2C%3B")])
def test_paths_are_encoded_once_and_not_tidied(sent: str, canonical: str) -> None:
    check("GET", sent, "", signed_like_a_client("GET", canonical, "", headers_of(), NAMES))


@pytest.mark.parametrize("sent,canonical", [
    ("b=1&a=2", "a=2&b=1"), ("acl", "acl="), ("acl=", "acl="), ("a=x+y", "a=x%20y"), ("a=x%2By", "a=x%2By"),
    ("a=2&a=1", "a=1&a=2"), ("prefix=a/b", "prefix=a%2Fb"), ("a=%c3%bc", "a=%C3%BC"), ("&&a=1&", "a=1"),
    ("a=1=2", "a=1%3D2"), ("A=1&a=1&B=1", "A=1&B=1&a=1"), ("a-b=1&a=1", "a=1&a-b=1"), ("a=~", "a=~")])
def test_queries_are_decoded_encoded_and_sorted(sent: str, canonical: str) -> None:
    check("GET", "/b", sent, signed_like_a_client("GET", "/b", canonical, headers_of(), NAMES))


@pytest.mark.parametrize("sent,canonical", [
    ("  a  b\t", "a b"), ("a,b", "a,b"), ("a, b", "a, b"), ("a, b", "a,b"), ("", ""), ("ü", "ü"), ("\udcff", "\udcff")])
def test_header_values_lose_spaces_and_repeated_ones_are_joined(sent: str, canonical: str) -> None:
    names = NAMES + ";x-amz-meta-x"
    headers = headers_of(x_amz_meta_x=sent)
    check("GET", "/b", "", signed_like_a_client("GET", "/b", "", headers, names, {"x-amz-meta-x": canonical}))


@settings(max_examples=60)
@given(st.text(max_size=40), st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=5))
def test_whatever_a_client_encodes_verifies(path: str, fields: dict[str, str]) -> None:
    path, fields = "/b/" + path.encode(errors="ignore").decode(), {
        key.encode(errors="ignore").decode(): value.encode(errors="ignore").decode() for key, value in fields.items()}
    fields = {name: value for name, value in fields.items() if not name.startswith("X-Amz-") and name}
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in fields.items())
    query = "&".join(f"{name}={value}" for name, value in encoded)
    sent_path = quote(path, safe="/-_.~")
    check("GET", sent_path, query, signed_like_a_client("GET", sent_path, query, headers_of(), NAMES))


@settings(max_examples=60)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=300),
       st.dictionaries(st.sampled_from(["host", "date", "x-amz-date", "x-amz-content-sha256", "x-amz-acl", "range"]),
                       st.text(max_size=60)))
def test_what_is_made_up_is_refused_and_nothing_else_happens(path: str, query: str, header: str,
                                                             headers: dict[str, str]) -> None:
    for more in ({}, {"authorization": header}, {"authorization": "AWS4-HMAC-SHA256 " + header}):
        try:
            signed = parse_authorization("GET", path, query, {**headers, **more})
        except S3Error:
            continue
        if signed is not None:
            with pytest.raises(S3Error):
                verify(signed, SECRET, method="GET", raw_path=path, raw_query=query, headers=headers, now_ms=NOW_MS)


@settings(max_examples=100)
@given(st.integers(0, len(PRESIGNED_QUERY) - 1), st.characters(codec="ascii"))
def test_no_character_of_a_presigned_url_may_change(at: int, character: str) -> None:
    query = PRESIGNED_QUERY[:at] + character + PRESIGNED_QUERY[at + 1:]
    try:
        signed = parse_authorization("GET", "/test.txt", query, {"host": HOST})
        if signed is None:
            return  # nobody's, so it has nobody's rights
        verify(signed, SECRET, method="GET", raw_path="/test.txt", raw_query=query, headers={"host": HOST},
               now_ms=NOW_MS)
    except S3Error:
        return
    # Another spelling of the same, like %2f for %2F.
    assert query.lower() == PRESIGNED_QUERY.lower()


def test_bodies_are_vouched_for_in_five_ways() -> None:
    kinds = {"UNSIGNED-PAYLOAD": PayloadKind.UNSIGNED, "0" * 64: PayloadKind.HASHED,
             "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": PayloadKind.SIGNED_CHUNKS,
             "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": PayloadKind.SIGNED_CHUNKS_TRAILER,
             "STREAMING-UNSIGNED-PAYLOAD-TRAILER": PayloadKind.UNSIGNED_CHUNKS_TRAILER}
    for text, kind in kinds.items():
        signed = parse_authorization("PUT", "/b/k", "", signed_like_a_client(
            "PUT", "/b/k", "", headers_of(x_amz_content_sha256=text), NAMES))
        assert signed is not None and signed.payload_kind is kind and signed.payload == text


def test_stamps_are_times_that_exist() -> None:
    assert parse_stamp(STAMP) == NOW_MS
    assert parse_stamp("20130231T000000Z") is None and parse_stamp("2013") is None


def test_a_signature_is_what_hmac_makes() -> None:
    assert sign(b"k", "t") == hmac.new(b"k", b"t", "sha256").hexdigest()
