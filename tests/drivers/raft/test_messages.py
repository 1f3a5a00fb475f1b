"""Nothing but well-formed messages of known types reaches the library."""

from __future__ import annotations

import pickle
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import FrameCorrupt
from fluffy.drivers.raft.messages import MESSAGE_BYTES_MAX, decode_message, encode_message

APPEND = {"type": "append_entries", "term": 2, "commit_index": 3, "seq": 9, "prevLogIdx": 4, "prevLogTerm": 1,
          "entries": ((b"\x00a", 5, 2), (b"\x00b", 6, 2))}
VALID: list[dict[str, Any]] = [
    APPEND,
    {"type": "append_entries", "term": 2, "commit_index": 3, "seq": 9, "serialized": None},
    {"type": "append_entries", "term": 2, "commit_index": 3, "seq": 9, "serialized": (b"x", True, False),
     "snap": (1, 0)},
    {"type": "next_node_idx", "term": 2, "seq": 1, "next_node_idx": 5, "reset": False, "success": True},
    {"type": "request_vote", "term": 2, "last_log_index": 1, "last_log_term": 1, "transfer": False},
    {"type": "response_vote", "term": 2},
    {"type": "pre_vote", "term": 2, "last_log_index": 1, "last_log_term": 1},
    {"type": "pre_vote_granted", "term": 2},
    {"type": "higher_term", "term": 2},
    {"type": "timeout_now", "term": 2},
    {"type": "apply_command", "command": b"\x00x", "request_id": 1},
    {"type": "apply_command_response", "request_id": 1, "log_idx": 5, "log_term": 2},
    {"type": "apply_command_response", "request_id": 1, "error": 4},
    {"type": "read_index", "read_id": 1},
    {"type": "read_index", "read_id": 1, "term": 4},
    {"type": "read_index_answer", "read_id": 1, "index": 7},
    {"type": "refused", "reason": "because"},
    {"type": "clock", "wall_ms": 1_700_000_000_000},
]


MAY_LACK = {("apply_command", "request_id"), ("read_index", "term")}


@pytest.mark.parametrize("message", VALID, ids=lambda message: str(message["type"]))
def test_every_kind_comes_back_as_it_was(message: dict[str, Any]) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("message", VALID, ids=lambda message: str(message["type"]))
def test_a_missing_or_foreign_field_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(FrameCorrupt):
        decode_message(encode_message({**message, "extra": 1}))
    for name in ("term", "seq", "request_id", "read_id", "reason", "command", "commit_index", "wall_ms"):
        if name in message:
            if (message["type"], name) not in MAY_LACK:
                with pytest.raises(FrameCorrupt):
                    decode_message(encode_message({key: value for key, value in message.items() if key != name}))
            with pytest.raises(FrameCorrupt):
                decode_message(encode_message({**message, name: -1}))


@pytest.mark.parametrize("entries", [
    ((b"\x00a", 6, 2),), ((b"\x00a", 5, 2), (b"\x00b", 7, 2)), ((b"", 5, 2),), ((b"\x00a", 5),), (("text", 5, 2),), 7])
def test_entries_that_do_not_follow_each_other_are_refused(entries: object) -> None:
    with pytest.raises(FrameCorrupt):
        decode_message(encode_message({**APPEND, "entries": entries}))


def test_utility_messages_pickles_and_bombs_are_refused() -> None:
    for data in (encode_message({"type": "status"}), msgpack.packb(["add", "127.0.0.1:1"]), pickle.dumps({"type": "x"}),
                 b"\xdf\xff\xff\xff\xff", b"\x91" * 100_000, bytes(MESSAGE_BYTES_MAX + 1),
                 msgpack.packb(msgpack.ExtType(5, b"x" * 10)), b""):
        with pytest.raises(FrameCorrupt):
            decode_message(data)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_is_raised(data: bytes) -> None:
    try:
        message = decode_message(data)
    except FrameCorrupt:
        return
    assert message["type"] in {valid["type"] for valid in VALID}
