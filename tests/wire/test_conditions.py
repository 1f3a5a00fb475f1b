"""Conditional headers decide as RFC 9110 13.2.2 orders, and odd text in them never stops a read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import QuerySyntax
from fluffy.wire.conditions import (
    ReadConditions,
    evaluate,
    http_date,
    parse_http_date,
    parse_tags,
    range_applies,
    rfc3339,
)

ETAG, MODIFIED_S = "abc", 784111777
DATE, EARLIER, LATER = (http_date(MODIFIED_S + shift) for shift in (0, -1, 1))


@pytest.mark.parametrize(("conditions", "status"), [
    (ReadConditions(), 200),
    (ReadConditions(if_match='"abc"'), 200), (ReadConditions(if_match="*"), 200), (ReadConditions(if_match="abc"), 200),
    (ReadConditions(if_match='W/"abc"'), 412), (ReadConditions(if_match='"x", "abc"'), 200),
    (ReadConditions(if_match='"x"'), 412),
    (ReadConditions(if_none_match='"abc"'), 304), (ReadConditions(if_none_match='W/"abc"'), 304),
    (ReadConditions(if_none_match="*"), 304), (ReadConditions(if_none_match='"x"'), 200),
    (ReadConditions(if_modified_since=DATE), 304), (ReadConditions(if_modified_since=LATER), 304),
    (ReadConditions(if_modified_since=EARLIER), 200), (ReadConditions(if_modified_since="yesterday"), 200),
    (ReadConditions(if_unmodified_since=EARLIER), 412), (ReadConditions(if_unmodified_since=DATE), 200),
    (ReadConditions(if_none_match='"x"', if_modified_since=LATER), 200),
    (ReadConditions(if_match='"abc"', if_unmodified_since=EARLIER), 200),
    (ReadConditions(if_match='"x"', if_none_match='"abc"'), 412),
])
def test_conditions_of_a_read(conditions: ReadConditions, status: int) -> None:
    assert evaluate(conditions, etag=ETAG, modified_s=MODIFIED_S) == status


@pytest.mark.parametrize(("if_range", "applies"), [
    (None, True), ('"abc"', True), ('W/"abc"', False), ('"x"', False), (DATE, True), (EARLIER, False), (LATER, False),
    ("nonsense", False),
])
def test_a_changed_file_is_sent_whole(if_range: str | None, applies: bool) -> None:
    assert range_applies(if_range, etag=ETAG, modified_s=MODIFIED_S) is applies


@pytest.mark.parametrize("header", ['"open', '"a" "b"', ", ,", '"a",,"b', "a b", '"' + "x" * 9000 + '",  "y"'])
def test_a_tag_list_that_cannot_be_read_is_refused(header: str) -> None:
    with pytest.raises(QuerySyntax):
        parse_tags(header)


@given(st.text(max_size=100))
def test_any_text_is_tags_or_a_refusal(text: str) -> None:
    try:
        tags = parse_tags(text)
    except QuerySyntax:
        return
    assert tags.any or tags.all


@given(st.text(max_size=100))
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert parse_http_date(text) is None or isinstance(parse_http_date(text), int)


@given(st.integers(0, 4_000_000_000))
def test_a_date_written_and_read_is_the_same_second(at_s: int) -> None:
    assert parse_http_date(http_date(at_s)) == at_s


def test_times_in_json_keep_their_milliseconds() -> None:
    assert rfc3339(784111777_007) == "1994-11-06T08:49:37.007Z"
