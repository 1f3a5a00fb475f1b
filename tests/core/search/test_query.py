"""The query language: what is accepted, what it means for a name, and a sentence for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import QuerySyntax
from fluffy.core.search.plan import grams_of, index_cursor, parse_cursor, scan_cursor
from fluffy.core.search.query import TERMS_MAX, SearchQuery, fold, parse_query

TEXTS = st.text(st.sampled_from("abcABC äÖß\u0301éİ%_*?[]!\"\\.😀-"), max_size=12)


@pytest.mark.parametrize(("text", "name", "fits"), [
    ("port", "Report.PDF", True), ("PORT", "report", True), ("report 2024", "2024-report", True),
    ("report 2024", "2023-report", False), ("*.pdf", "a.PDF", True), ("*.pdf", "a.pdf.txt", False),
    ("a?c", "abc", True), ("a?c", "abbc", False), ("[ab]x", "bx", True), ("[!ab]x", "bx", False),
    ('"a b"', "xa bx", True), ('"a b"', "b a", False), ('"*.pdf"', "the *.pdf file", True), ('"*.pdf"', "a.pdf", False),
    (r"\*", "a*b", True), (r"\*", "ab", False), ("100%", "100% done", True), ("a_b", "aXb", False),
    ("STRASSE", "straße", True), ("caf\u00e9", "CAFE\u0301", True), ("😀", "a😀b", True), ("*a* *b", "ab", True)])
def test_a_text_fits_names_as_people_expect(text: str, name: str, fits: bool) -> None:
    assert parse_query(text).fits_name(name) is fits


@pytest.mark.parametrize("given_", [
    {"text": ""}, {"text": "   "}, {"text": '"open'}, {"text": "end\\"}, {"text": '""'}, {"text": "a/b"},
    {"text": "a\0"}, {"text": "x" * 257}, {"text": " ".join("x" * (TERMS_MAX + 1))}, {"text": "[ab"}, {"tag": "=v"},
    {"tag": "a=b&"}, {"tag": "&".join(f"k{n}" for n in range(9))}, {"text": "\ud800"}, {"min_size": 5, "max_size": 4},
    {"since_ms": 5, "until_ms": 4}, {"bucket": "only"}, {"owner": "x" * 600}])
def test_bad_queries_are_refused_with_a_sentence(given_: dict[str, object]) -> None:
    with pytest.raises(QuerySyntax) as caught:
        parse_query(**given_)  # type: ignore[arg-type]
    assert len(caught.value.message) > 20


@given(TEXTS)
def test_any_text_is_parsed_or_refused_and_nothing_else(text: str) -> None:
    try:
        query = parse_query(text)
    except QuerySyntax:
        return
    assert query.terms


@given(TEXTS, TEXTS)
def test_trigrams_of_a_query_are_in_every_name_that_fits(text: str, name: str) -> None:
    try:
        query = parse_query(text)
    except QuerySyntax:
        return
    if query.fits_name(name):
        assert all(gram in fold(name) for gram in grams_of(query))


@given(TEXTS.filter(lambda text: text.strip() and "/" not in text))
def test_a_quoted_name_finds_itself(name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse_query(quoted).fits_name(f"x{name}y") or fold(name) not in fold(f"x{name}y")


@given(st.integers(0, 10**17), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_cursors_come_back_as_they_went(number: int, key: str) -> None:
    assert parse_cursor(index_cursor(number)) == number
    assert parse_cursor(scan_cursor((number, key))) == (number, key)
    assert parse_cursor(None) is None


@pytest.mark.parametrize("after", ["x", "n", "nx", "n1:", "p1", "p:a", "n" + "9" * 30, "p1:\ud800"])
def test_strange_cursors_are_refused(after: str) -> None:
    with pytest.raises(QuerySyntax):
        parse_cursor(after)


def test_filters_on_what_only_files_have_find_files() -> None:
    assert SearchQuery(content_type="a/").only_files
    assert parse_query(min_size=0).only_files
    assert not parse_query("x").only_files
