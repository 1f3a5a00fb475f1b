"""POST policies: what a page may have its visitors upload."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_policy import parse_policy

NOW_MS = 1_700_000_000_000
LATER = "2030-01-01T12:00:00.000Z"


def packed(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def policy(*conditions: object, expiration: object = LATER):
    return parse_policy(packed({"expiration": expiration, "conditions": list(conditions)}))


def code_of(call) -> str:
    with pytest.raises(S3Error) as caught:
        call()
    return caught.value.s3_code


def test_fields_must_be_as_the_policy_demands() -> None:
    found = policy({"bucket": "b"}, ["starts-with", "$key", "user/"], ["eq", "$Content-Type", "text/plain"])
    good = {"bucket": "b", "key": "user/x", "content-type": "text/plain", "policy": "…", "x-amz-signature": "…",
            "x-ignore-this": "1"}
    found.check(good, NOW_MS)
    for change in ({"bucket": "c"}, {"key": "other"}, {"content-type": "text/html"}, {"acl": "public-read"}):
        assert code_of(lambda change=change: found.check({**good, **change}, NOW_MS)) == "AccessDenied"
    missing = dict(good)
    del missing["key"]
    assert code_of(lambda: found.check(missing, NOW_MS)) == "AccessDenied"
    policy(["starts-with", "$key", ""]).check({"key": "anything"}, NOW_MS)


def test_words_and_fields_may_be_written_in_any_case() -> None:
    found = policy({"bUcKeT": "b"}, ["StArTs-WiTh", "$KeY", "user/"], ["EQ", "$ACL", "private"],
                   ["CONTENT-length-range", 1, 2])
    found.check({"bucket": "b", "key": "user/x", "acl": "private"}, NOW_MS)
    assert code_of(lambda: found.check({"bucket": "b", "key": "x", "acl": "private"}, NOW_MS)) == "AccessDenied"
    assert code_of(lambda: found.check_size(3)) == "EntityTooLarge"


def test_a_policy_ends() -> None:
    found = policy(expiration="2023-11-14T22:13:20Z")
    found.check({}, NOW_MS - 1)
    assert code_of(lambda: found.check({}, NOW_MS)) == "AccessDenied"


def test_the_size_is_bounded() -> None:
    found = policy(["content-length-range", 2, "5"])
    for size in (2, 5):
        found.check_size(size)
    assert code_of(lambda: found.check_size(1)) == "EntityTooSmall"
    assert code_of(lambda: found.check_size(6)) == "EntityTooLarge"


@pytest.mark.parametrize("text", [
    "", "x" * 40_000, "ü", "abc", packed([]), packed({}), packed({"expiration": LATER}),
    packed({"expiration": "tomorrow", "conditions": []}), packed({"expiration": "2030-02-31T00:00:00Z",
                                                                  "conditions": []}),
    packed({"expiration": LATER, "conditions": ["x"]}), packed({"expiration": LATER, "conditions": [["eq", "key",
                                                                                                     "x"]]}),
    packed({"expiration": LATER, "conditions": [["eq", "$key", 1]]}), packed({"expiration": LATER,
                                                                              "conditions": [{"a": 1}]}),
    packed({"expiration": LATER, "conditions": [["content-length-range", -1, 2]]}),
    packed({"expiration": LATER, "conditions": [["content-length-range", True, 2]]}),
    packed({"expiration": LATER, "conditions": [{}]}), packed({"expiration": LATER, "conditions": [[1, "$key", "x"]]}),
    packed({"expiration": LATER, "conditions": [{"a": "b"}] * 201}), base64.b64encode(b"[" * 20_000).decode()])
def test_what_is_no_policy_is_refused(text: str) -> None:
    assert code_of(lambda: parse_policy(text)) == "InvalidPolicyDocument"


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                 max_size=3),
                     max_leaves=8)


@given(_JSON, st.text(max_size=40))
@settings(max_examples=100)
def test_reading_never_ends_in_another_way(conditions: object, text: str) -> None:
    for source in (packed({"expiration": LATER, "conditions": conditions}), packed(conditions), text):
        try:
            parse_policy(source)
        except S3Error as error:
            assert error.s3_code == "InvalidPolicyDocument"
