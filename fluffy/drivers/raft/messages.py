"""What nodes say to each other about the log: msgpack maps, checked field by field before the library sees them.

The library would accept anything that unpickles and then index into it. Here a message is either of a known type with
fields of the right kind, or `FrameCorrupt`. Utility messages and the library's piecewise entries do not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from fluffy.base.errors import FrameCorrupt
from fluffy.base.units import MIB

Message = dict[str, Any]

# A batch of entries stops growing at 1 MiB and its last entry is at most 1 MiB; a snapshot part is 1 MiB.
MESSAGE_BYTES_MAX = 4 * MIB
ENTRIES_PER_MESSAGE_MAX = 100_000
_INDEX_MAX = 1 << 62


def _number(value: object) -> bool:
    return type(value) is int and 0 <= value < _INDEX_MAX


def _flag(value: object) -> bool:
    return type(value) is bool


def _entries(value: object) -> bool:
    return (isinstance(value, tuple) and len(value) <= ENTRIES_PER_MESSAGE_MAX
            and all(isinstance(entry, tuple) and len(entry) == 3 and type(entry[0]) is bytes and len(entry[0]) > 0
                    and _number(entry[1]) and _number(entry[2]) for entry in value))


def _consecutive(message: Message) -> bool:
    """Entries must follow each other and what precedes them: the library appends them blindly."""
    expected = message["prevLogIdx"] + 1
    for _, index, _ in message["entries"]:
        if index != expected:
            return False
        expected += 1
    return True


def _part(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) == 3 and type(value[0]) is bytes
                             and _flag(value[1]) and _flag(value[2]))


def _pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _number(value[0]) and _number(value[1])


def _command(value: object) -> bool:
    return type(value) is bytes and 0 < len(value) <= 2 * MIB


def _text(value: object) -> bool:
    return type(value) is str and len(value) <= 1000


_Fields = dict[str, Callable[[object], bool]]
_REQUIRED: dict[str, _Fields] = {
    "append_entries": {"term": _number, "commit_index": _number, "seq": _number},
    "next_node_idx": {"term": _number, "seq": _number, "next_node_idx": _number, "reset": _flag, "success": _flag},
    "request_vote": {"term": _number, "last_log_index": _number, "last_log_term": _number, "transfer": _flag},
    "response_vote": {"term": _number},
    "pre_vote": {"term": _number, "last_log_index": _number, "last_log_term": _number},
    "pre_vote_granted": {"term": _number},
    "higher_term": {"term": _number},
    "timeout_now": {"term": _number},
    "apply_command": {"command": _command},
    "apply_command_response": {"request_id": _number},
    "read_index": {"read_id": _number},
    "read_index_answer": {"read_id": _number, "index": _number},
    "refused": {"reason": _text},
    "clock": {"wall_ms": _number},
}
_OPTIONAL: dict[str, _Fields] = {
    "append_entries": {"entries": _entries, "prevLogIdx": _number, "prevLogTerm": _number, "serialized": _part,
                       "snap": _pair},
    "next_node_idx": {"snap": _pair},
    "read_index": {"term": _number},
    "apply_command": {"request_id": _number},
    "refused": {"gone": _flag},
    "apply_command_response": {"error": _number, "log_idx": _number, "log_term": _number},
}


def encode_message(message: Message) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def decode_message(data: bytes | memoryview) -> Message:
    """A checked message, arrays as tuples. Raises FrameCorrupt."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise FrameCorrupt("a raft message is too long")
    try:
        message = msgpack.unpackb(data, raw=False, use_list=False, strict_map_key=True, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise FrameCorrupt("a raft message is not msgpack") from error
    if not isinstance(message, dict):
        raise FrameCorrupt("a raft message is not a map")
    _check(message)
    return message


def _check(message: Message) -> None:
    kind = message.get("type")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None:
        raise FrameCorrupt("a raft message of unknown type")
    optional = _OPTIONAL.get(str(kind), {})
    for name, value in message.items():
        check = required.get(name) or optional.get(name)
        if name != "type" and (check is None or not check(value)):
            raise FrameCorrupt(f"field {name} of a raft message {kind} is not allowed")
    if any(name not in message for name in required):
        raise FrameCorrupt(f"a raft message {kind} lacks a field")
    if kind == "append_entries":
        _check_append(message)
    if kind == "apply_command_response" and ("error" in message) == ("log_idx" in message and "log_term" in message):
        raise FrameCorrupt("an answer to a command is neither a place nor an error")


def _check_append(message: Message) -> None:
    if "prevLogIdx" in message:
        if "entries" not in message or "prevLogTerm" not in message or not _consecutive(message):
            raise FrameCorrupt("entries of a raft message do not follow each other")
    elif "serialized" not in message or (message["serialized"] is not None and "snap" not in message):
        raise FrameCorrupt("a snapshot part without its number")
