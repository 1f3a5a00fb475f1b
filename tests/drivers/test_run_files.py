"""Words between the processes of a node: the newest whole one, or none."""

from __future__ import annotations

import json
import time
from pathlib import Path

from fluffy.drivers.json_file import JsonFile
from fluffy.drivers.run_files import AGE_MAX_S, KEEPER_FILE, Word, read_users, read_word, users_file, write_word


def test_the_newest_word_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert read_word(tmp_path, "x.json") is None
    write_word(tmp_path, "x.json", {"a": 1})
    write_word(tmp_path, "x.json", {"a": 2})
    word = read_word(tmp_path, "x.json")
    assert word is not None and word["a"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_old_damaged_and_future_words_are_no_words(tmp_path: Path) -> None:
    for written_s in (time.monotonic() - AGE_MAX_S - 1, time.monotonic() + 60, None):
        (tmp_path / "x.json").write_text(json.dumps({"a": 1, "written_s": written_s}))
        assert read_word(tmp_path, "x.json") is None
    for text in ("{", "[1]", "", "3"):
        (tmp_path / "x.json").write_text(text)
        assert read_word(tmp_path, "x.json") is None


def test_every_gateway_is_heard(tmp_path: Path) -> None:
    for worker in (0, 1, 10):
        write_word(tmp_path, users_file(worker), {"requests": worker})
    assert sorted(word["requests"] for word in read_users(tmp_path)) == [0, 1, 10]


def test_a_kept_value_survives_and_a_damaged_one_is_empty(tmp_path: Path) -> None:
    kept = JsonFile(tmp_path / "kept.json")
    assert kept.load() == {}
    kept.save({"after": "ab"})
    assert JsonFile(tmp_path / "kept.json").load() == {"after": "ab"}
    (tmp_path / "kept.json").write_text("{")
    assert kept.load() == {}


def test_a_word_that_cannot_be_said_stops_nobody(tmp_path: Path) -> None:
    """A full disk does that; a folder that is not there fails in the same way."""
    run_dir = tmp_path / "run"
    word = Word(run_dir, KEEPER_FILE)
    word.say({"a": 1})
    run_dir.mkdir()
    word.say({"a": 2})
    found = read_word(run_dir, KEEPER_FILE)
    assert found is not None and found["a"] == 2
