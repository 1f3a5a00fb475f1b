"""A folder's version: whoever has it knows, by one number, whether the folder still lists what it listed."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.queries_labels import labels_of
from tests.support.tree_machine import FOLDERS, act
from tests.support.tree_people import PeoplePair

Listing = tuple[object, ...]


def listings(pair: PeoplePair) -> dict[str, tuple[str, Listing]]:
    """Of every folder that is there: (version, all that a listing can show)."""
    found: dict[str, tuple[str, Listing]] = {}
    for path in sorted(FOLDERS):
        if queries.kind_at(pair.state.db, parse_path(path)) == "folder":
            page = queries.list_folder(pair.state.db, parse_path(path), None, 1000)
            labels = labels_of(pair.state.db, parse_path(path), page)
            found[path] = (page.version, (page.entries, tuple(sorted(
                (name, repr(label)) for name, label in labels.items()))))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_version_never_stands_for_two_listings_of_a_path(seed: int) -> None:
    rng, seen, kept = random.Random(seed), dict[tuple[str, str], Listing](), 0
    with closing(PeoplePair()) as pair:
        for _ in range(300):
            before = listings(pair)
            act(pair, rng)
            pair.tick()
            for path, (version, listing) in listings(pair).items():
                assert version and seen.setdefault((path, version), listing) == listing, path
                kept += before.get(path, ("", ()))[0] == version
    assert kept > 600, "what happens elsewhere leaves a version as it is"


def test_what_happens_further_down_or_beside_leaves_the_version_alone() -> None:
    with closing(PeoplePair()) as pair:
        for path in ("admin/d/a", "admin/d/e/a", "new/a"):
            pair.put(path, b"x")
        before = listings(pair)["admin/d"][0]
        for path in ("admin/d/e/a", "admin/b", "new/a"):
            pair.put(path, b"another")
        pair.tag("admin/d/e/a", "k")
        assert listings(pair)["admin/d"][0] == before
        for change in (lambda: pair.put("admin/d/a", b"y"), lambda: pair.tag("admin/d/a", "k"),
                       lambda: pair.touch("admin/d/a"), lambda: pair.delete_folder("admin/d/e"),
                       lambda: pair.move("admin/d/a", "admin/d/b", False), lambda: pair.delete("admin/d/b")):
            change()
            pair.tick()
            after = listings(pair)["admin/d"][0]
            assert after != before
            before = after


def test_the_root_has_no_version_since_each_user_sees_other_buckets() -> None:
    with closing(PeoplePair()) as pair:
        pair.put("admin/a", b"x")
        assert queries.list_folder(pair.state.db, parse_path(""), None, 10).version == ""
