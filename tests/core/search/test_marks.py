"""Marks of entries and of queries: an index that asks for them never loses an answer."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.federation.marks import (
    FILE_BIT,
    bits_of,
    grams_of_marks,
    marks_of_query,
    marks_of_row,
    tag_piece,
)
from fluffy.core.federation.tree import Placed, Sight, hit_of
from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.core.search.query import SearchQuery, Tag

TYPES = st.sampled_from(["", "text", "text/plain", "Text/Plain; charset=utf-8", "text/", "image/png", "image/svg/x"])
TAGS = st.dictionaries(st.sampled_from(["a", "b c", 'q"', "\\", "ä"]), st.sampled_from(["", "1", 'v"', "ä\n"]),
                       max_size=3)
ROWS = st.builds(CatalogRow, st.just(7), st.just(0), st.sampled_from(["report", "docs/"]), st.just(5), st.just(1),
                 st.just(""), TYPES, st.sampled_from(["ann", "bob"]), st.just(0), TAGS).map(
    lambda row: CatalogRow(7, 0, row.key, -1, 0, "", "", row.owner, 0) if row.key.endswith("/") else row)
QUERIES = st.builds(
    SearchQuery, st.just(()),
    st.lists(st.builds(Tag, st.sampled_from(["a", "b c", 'q"', "\\", "ä"]),
                       st.one_of(st.none(), st.sampled_from(["", "1", 'v"', "ä\n"]))), max_size=2).map(tuple),
    st.one_of(st.none(), st.sampled_from(["text", "text/", "text/plain", "image/", "image/svg/", "/",
                                          "text/plain; charset=utf-8"])),
    owner=st.one_of(st.none(), st.sampled_from(["ann", "bob"])))


@given(ROWS, QUERIES)
def test_whatever_fits_has_all_marks_of_the_query(row: CatalogRow, query: SearchQuery) -> None:
    hit = hit_of(1, Placed(1, row), "", {1: Sight(None)})
    assert hit is not None
    if query.fits(hit.found):
        marks, wanted = marks_of_row(row), marks_of_query(query)
        assert set(wanted) <= set(marks)
        bits = bits_of(wanted, is_file=query.only_files)
        assert bits_of(marks, is_file=not row.is_folder) & bits == bits
        assert all(tag_piece(tag) in json.dumps(dict(row.tags), ensure_ascii=False) for tag in query.tags)


def test_marks_tell_apart_what_people_filter_by() -> None:
    rows = [CatalogRow(1, 0, "f", 1, 1, "", content_type, owner, 0, tags) for content_type, owner, tags in (
        ("image/png", "ann", {}), ("image/gif", "ann", {}), ("text/plain", "bob", {"k": "v"}),
        ("text/plain", "bob", {"k": "w"}))]
    for query, fitting in ((SearchQuery(content_type="image/"), [0, 1]), (SearchQuery(content_type="image/gif"), [1]),
                           (SearchQuery(tags=(Tag("k", None),)), [2, 3]), (SearchQuery(tags=(Tag("k", "w"),)), [3]),
                           (SearchQuery(owner="bob"), [2, 3])):
        wanted = set(marks_of_query(query))
        assert [place for place, row in enumerate(rows) if wanted <= set(marks_of_row(row))] == fitting


def test_a_mark_is_three_characters_of_its_own_and_its_bits_fit_into_six_bytes() -> None:
    grams = grams_of_marks((0, 1, 6400, (1 << 32) - 1))
    assert len(set(grams)) == 4
    assert all(len(gram) == 3 and all("\ue000" <= character <= "\uf8ff" for character in gram) for gram in grams)
    assert bits_of((46, 93), is_file=True) == 1 << 47 | FILE_BIT
