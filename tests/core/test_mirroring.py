"""What is done about one file of a mirror, by what is seen at both ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fluffy.core.federation.mirroring import (
    MARK,
    ORIGINS_MAX,
    Act,
    Mark,
    MirrorFile,
    decide,
    kept_name,
    mark_for,
    origin_of,
    parse_mark,
)

SOURCE, TARGET, OTHER = (origin_of(name, "docs") for name in ("alpha", "beta", "gamma"))
HASH, OTHER_HASH = "a" * 64, "b" * 64
MODEL = MirrorFile(7, 5, "e" * 32, HASH, "text/plain", {"k": "v"}, {"mtime": "1.5"})


def copy_of(model: MirrorFile, source: str = SOURCE, **different: object) -> MirrorFile:
    mark = mark_for(model, source, None)
    made = replace(model, generation=1, meta={**model.said, MARK: mark.text})
    return replace(made, **different)  # type: ignore[arg-type]


def test_a_copy_is_known_by_its_mark() -> None:
    assert decide(MODEL, copy_of(MODEL), SOURCE, TARGET) is Act.NOTHING
    assert decide(None, copy_of(MODEL), SOURCE, TARGET) is Act.DELETE
    assert decide(MODEL, None, SOURCE, TARGET) is Act.CREATE
    assert decide(None, None, SOURCE, TARGET) is Act.NOTHING


@pytest.mark.parametrize("newer", [{"blake3": OTHER_HASH}, {"blake3": None, "etag": "f" * 32}])
def test_other_bytes_replace_what_came_by_the_mirror(newer: dict[str, object]) -> None:
    assert decide(replace(MODEL, **newer), copy_of(MODEL), SOURCE, TARGET) is Act.REPLACE  # type: ignore[arg-type]


@pytest.mark.parametrize("newer", [{"tags": {}}, {"content_type": "a/b"}, {"meta": {"mtime": "2"}}])
def test_other_labels_need_no_bytes(newer: dict[str, object]) -> None:
    assert decide(replace(MODEL, **newer), copy_of(MODEL), SOURCE, TARGET) is Act.RELABEL  # type: ignore[arg-type]


@pytest.mark.parametrize("touched", [{"blake3": OTHER_HASH}, {"blake3": None}, {"tags": {"mine": "1"}},
                                     {"content_type": "a/b"}])
def test_what_was_touched_is_others(touched: dict[str, object]) -> None:
    copy = copy_of(MODEL, **touched)
    assert decide(replace(MODEL, blake3="c" * 64), copy, SOURCE, TARGET) is Act.ASIDE
    assert decide(None, copy, SOURCE, TARGET) is Act.KEEP


def test_what_came_otherwise_is_left_alone_or_set_aside() -> None:
    for copy in (replace(MODEL, blake3=OTHER_HASH), copy_of(replace(MODEL, blake3=OTHER_HASH), OTHER)):
        assert decide(MODEL, copy, SOURCE, TARGET) is Act.ASIDE
        assert decide(None, copy, SOURCE, TARGET) is Act.NOTHING
    assert decide(MODEL, MODEL, SOURCE, TARGET) is Act.NOTHING
    assert decide(replace(MODEL, blake3=None), replace(MODEL, blake3=None), SOURCE, TARGET) is Act.ASIDE
    assert kept_name("a/b", replace(MODEL, generation=3)) == "a/b.kept-3-eeeeeeee"


def test_the_states_on_the_way_are_the_mirrors_too() -> None:
    newer = replace(MODEL, tags={"k": "w"}, meta={"mtime": "2"})
    mark = mark_for(newer, SOURCE, HASH, old_tags=MODEL.tags)
    halfway = replace(MODEL, meta={"mtime": "2", MARK: mark.text})
    assert decide(newer, halfway, SOURCE, TARGET) is Act.RELABEL
    assert decide(newer, replace(halfway, tags={"k": "w"}), SOURCE, TARGET) is Act.NOTHING
    assert decide(newer, replace(halfway, tags={"k": "x"}), SOURCE, TARGET) is Act.ASIDE
    sent = copy_of(replace(MODEL, blake3=None))
    assert decide(None, replace(sent, blake3=HASH), SOURCE, TARGET) is Act.DELETE
    assert decide(None, replace(sent, blake3=HASH, size=6), SOURCE, TARGET) is Act.KEEP


def test_circles_are_seen_however_long() -> None:
    there = copy_of(MODEL)
    assert decide(there, None, TARGET, SOURCE) is Act.CIRCLE
    further = copy_of(there, TARGET)
    assert further.mark is not None and further.mark.origins == (SOURCE, TARGET)
    assert decide(further, None, OTHER, SOURCE) is Act.CIRCLE
    assert decide(further, None, OTHER, origin_of("delta", "docs")) is Act.CREATE
    long = replace(MODEL, meta={MARK: Mark((SOURCE,), HASH, (OTHER,) * ORIGINS_MAX).text})
    assert decide(long, None, SOURCE, TARGET) is Act.CIRCLE


@pytest.mark.parametrize("text", ["", "1 x y z", f"2 {SOURCE} {HASH} {SOURCE}", f"1 {SOURCE} {HASH} ",
                                  f"1  {HASH} {SOURCE}", f"1 {SOURCE} {HASH} {','.join([SOURCE] * 9)}"])
def test_what_is_no_mark_is_none(text: str) -> None:
    assert parse_mark(text) is None
