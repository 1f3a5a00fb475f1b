"""`supernode.mirrors`: what is taken, and the sentences of its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluffy.apps.settings import load
from fluffy.base.errors import ConfigIllegal

HEAD = """cluster: {name: none}
supernode:
  host: 127.0.0.1
  http: 7000
  mirrors:
"""


def config(folder: Path, *mirrors: tuple[str, str]) -> Path:
    path = folder / "config.yaml"
    path.write_text(HEAD + "".join(
        f"    m{number}: {{from: '{source}', to: '{target}', from_token_file: a, to_token_file: b}}\n"
        for number, (source, target) in enumerate(mirrors)), encoding="utf-8")
    return path


def test_mirrors_are_read(tmp_path: Path) -> None:
    supernode = load(config(tmp_path, ("alpha:/docs", "beta:/my docs"), ("beta:/my docs", "gamma:/docs"))).supernode
    assert supernode is not None
    first, second = supernode.mirrors
    assert (first.name, str(first.source), str(first.target)) == ("m0", "alpha:/docs", "beta:/my docs")
    assert first.source_token_file == tmp_path / "a" and second.target_token_file == tmp_path / "b"


@pytest.mark.parametrize(("mirrors", "words"), [
    ([("alpha:/a", "beta:/a"), ("beta:/a", "alpha:/a")], "closes a circle: beta:/a -> alpha:/a -> beta:/a"),
    ([("a:/x", "b:/x"), ("b:/x", "c:/x"), ("c:/x", "a:/x")], "closes a circle: c:/x -> a:/x -> b:/x -> c:/x"),
    ([("alpha:/a", "alpha:/b")], "in the same cluster"),
    ([("alpha:/a", "gamma:/a"), ("beta:/a", "gamma:/a")], "target of mirror m0 already"),
    ([("alpha:/a/b", "beta:/a")], "no bucket of a cluster"),
    ([("/a", "beta:/a")], "no bucket of a cluster"),
    ([("alpha:/", "beta:/a")], "no bucket of a cluster"),
    ([("alpha:/..", "beta:/a")], "line 6"),
])
def test_what_cannot_be_is_refused(tmp_path: Path, mirrors: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(ConfigIllegal) as caught:
        load(config(tmp_path, *mirrors))
    assert words in caught.value.message


def test_both_tokens_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "    m: {from: 'alpha:/a', to: 'beta:/a'}\n", encoding="utf-8")
    with pytest.raises(ConfigIllegal, match="from_token_file"):
        load(path)
