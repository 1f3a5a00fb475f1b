"""JSON logs: one event one line, facts as fields, no credentials."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.drivers.logs import LINE_CHARS_MAX, JsonLines


def line(event: str, name: str = "fluffy.room", exc_info: Any = None, **fields: Any) -> str:
    record = logging.getLogger(name).makeRecord(name, logging.WARNING, "f", 1, event, (), exc_info, extra=fields)
    return JsonLines("log", "one").format(record)


def test_an_event_is_one_line_with_its_fields() -> None:
    text = line("replica.lost", node_id=3, chunk=b"\x01" * 32, where={"zone": "a"}, error=ValueError("x\ny"))
    assert "\n" not in text
    found = json.loads(text)
    assert found.pop("ts").endswith("Z")
    assert found == {"level": "warning", "process": "log", "node": "one", "event": "replica.lost", "fields": {
        "node_id": 3, "chunk": "0101010101010101…", "where": {"zone": "a"}, "error": "ValueError: x\ny"}}


@pytest.mark.parametrize("name", ["token", "Authorization", "cluster_secret", "password", "cookie_text"])
def test_credentials_are_never_written_at_any_depth(name: str) -> None:
    text = line("login", **{name: "hunter2", "headers": {name: "hunter2", "more": [{name: ["hunter2"]}]}})
    assert "hunter2" not in text


def test_a_traceback_stays_on_the_line() -> None:
    try:
        raise KeyError("lost")
    except KeyError as error:
        text = line("bug", exc_info=(type(error), error, error.__traceback__))
    assert "KeyError" in json.loads(text)["fields"]["traceback"]
    assert "\n" not in text


def test_other_libraries_are_named() -> None:
    assert json.loads(line("x", name="aiohttp.server"))["fields"] == {"logger": "aiohttp.server"}


def test_a_line_has_a_bound() -> None:
    text = line("big" * LINE_CHARS_MAX, body="x" * 10 * LINE_CHARS_MAX, more=["y" * 100] * 10_000)
    assert len(text) <= LINE_CHARS_MAX
    assert json.loads(text)["cut"] is True


_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
                       lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(_values)
def test_any_value_gives_one_line_of_strict_json(value: Any) -> None:
    text = line("event", value=value)
    assert len(text.splitlines()) == 1
    text.encode()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
