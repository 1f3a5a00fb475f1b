"""Commands, groups of commands, and outcomes as bytes: what log entries hold and what travels to the log process.

    command   version | msgpack [kind, request_id, at_ms, proposer, user_no, field, field, …]
    group     version | (u32le length | command)*          one Raft entry
    outcome   version | msgpack [0, seq, facts] or [1, code, message, facts]

Positional arrays: a PutFile takes a few microseconds each way. The version byte is the first one; these bytes are on
disks, so every format ever written must be read for ever (golden bytes in the tests). A command may be shorter than
this program's class (older writer: the last fields take their defaults); longer means a newer writer, and this node
must be upgraded before it may apply anything. Fields that a kind got later are left out at the end while they have
their defaults: an entry that does not use what is new has the bytes it always had, and older nodes read it.

Decoders check lengths, depth, kinds and types, and raise FrameCorrupt or FeatureTooNew, nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from typing import Any

import msgpack

from fluffy.base.checks import invariant
from fluffy.base.errors import FeatureTooNew, FrameCorrupt, TooLarge
from fluffy.base.units import MIB
from fluffy.core.metadata import outcome_codec
from fluffy.core.metadata.commands import (
    COMMAND_KINDS,
    FEATURE_LEVEL,
    LEVEL_2_KIND_MIN,
    LEVEL_3_KIND_MIN,
    Command,
    Header,
    NodeRecord,
    NodeState,
    SetFeatureLevel,
)
from fluffy.core.metadata.commands_jobs import JobOrder, JobResult
from fluffy.core.metadata.commands_people import Refusal
from fluffy.core.metadata.outcome_codec import OUTCOME_BYTES_MAX
from fluffy.core.metadata.outcomes import Outcome
from fluffy.wire.packer import KeptPacker

VERSION = b"\x01"
# One Raft entry; above it the library's own large-entry path would cost elections.
GROUP_BYTES_MAX = 1 * MIB
_LENGTH = struct.Struct("<I")
# A command must fit into a group of its own.
COMMAND_BYTES_MAX = GROUP_BYTES_MAX - len(VERSION) - _LENGTH.size
# A group of the smallest commands (11 bytes) would have 70,000; the log process takes fewer at once, so that one
# entry never takes a second to apply.
GROUP_COMMANDS_MAX = 4_096
_INT_MAX = (1 << 63) - 1  # SQLite's
_HEADER_FIELDS = 5  # kind and the four of Header

# A kind has few optional fields; garbage that happens to pass must not fill memory.
_TYPES_KNOWN_MAX = 64

_Check = Callable[[Any], Any]


class _Malformed(Exception):
    """A value of the wrong type; becomes FrameCorrupt."""


def encode_command(command: Command) -> bytes:
    """Raises TooLarge for more than COMMAND_BYTES_MAX: then the file has too many chunks for one command."""
    header = command.header
    spec = _SPECS[command.KIND]
    values = spec.values_of(command)
    for default in spec.later_defaults:
        if values[-1] != default:
            break
        values = values[:-1]
    packed = VERSION + _packer.pack(
        (command.KIND, header.request_id, header.at_ms, header.proposer, header.user_no, *values))
    if len(packed) > COMMAND_BYTES_MAX:
        raise TooLarge(f"a change of {len(packed)} bytes does not fit into the log; the file has too many chunks")
    return packed


def decode_command(data: bytes) -> Command:
    """The command of `encode_command`. Raises FrameCorrupt, FeatureTooNew.

    FeatureTooNew on a proposal means: refuse it; on a committed entry: this node must stop and be upgraded.
    """
    values = _unpack(data, COMMAND_BYTES_MAX)
    if type(values) is not tuple or len(values) < _HEADER_FIELDS:
        raise FrameCorrupt("a command is not an array with a header")
    kind = values[0]
    if type(kind) is not int or kind <= 0:
        raise FrameCorrupt("a command has no kind")
    spec = _SPECS.get(kind)
    if spec is None:
        raise FeatureTooNew(kind=kind)
    if len(values) - _HEADER_FIELDS > len(spec.checks):
        raise FeatureTooNew(kind=kind, fields=len(values))
    if len(values) - _HEADER_FIELDS < spec.required:
        raise FrameCorrupt("a command lacks fields")
    try:
        _, request_id, at_ms, proposer, user_no, *checked = _checked(spec, values)
        command: Command = spec.cls(Header(request_id, at_ms, proposer, user_no), *checked)
    except _Malformed as error:
        raise FrameCorrupt("a field of a command has the wrong type") from error
    if isinstance(command, SetFeatureLevel) and command.level > FEATURE_LEVEL:
        raise FeatureTooNew(level=command.level)
    return command


def level_of(command: Command) -> int:
    """The feature level that a program must know to read the command."""
    level = 1 if command.KIND < LEVEL_2_KIND_MIN else 2 if command.KIND < LEVEL_3_KIND_MIN else 3
    spec = _SPECS[command.KIND]
    levels = reversed(_LATER_FIELDS.get(command.KIND, ()))
    for came, value, default in zip(levels, reversed(spec.values_of(command)), spec.later_defaults, strict=False):
        if value != default:
            level = max(level, came)
    return level


def _checked(spec: _Spec, values: tuple[Any, ...]) -> Sequence[Any]:
    """The values, kind and header first, as the command's class wants them.

    What a text, blob, flag or None passes depends on its type alone, so types that passed once pass again, and only
    numbers and what holds other values are looked into each time: half the time that a PutFile would take.
    """
    types = tuple(map(type, values))
    deep = spec.passed.get(types)
    if deep is None:
        checks = (*_HEADER_CHECKS, *spec.checks)
        checked: list[Any] = [check(value) for check, value in zip(checks, values, strict=False)]
        if len(spec.passed) < _TYPES_KNOWN_MAX:
            spec.passed[types] = tuple((at, None if kind is int else checks[at])
                                       for at, kind in enumerate(types) if kind in (int, dict, tuple))
        return checked
    checked = list(values)
    for at, check in deep:
        value = values[at]
        if check is None:
            if not 0 <= value <= _INT_MAX:
                raise _Malformed
        elif value:  # not empty
            checked[at] = check(value)
    return checked


def encode_group(commands: Sequence[bytes]) -> bytes:
    """Splice encoded commands into one log entry, without decoding them. The caller keeps to the bounds."""
    parts = [VERSION]
    for command in commands:
        parts += (_LENGTH.pack(len(command)), command)
    group = b"".join(parts)
    invariant(len(group) <= GROUP_BYTES_MAX and len(commands) <= GROUP_COMMANDS_MAX, "groups are cut before they grow")
    return group


def decode_group(data: bytes) -> list[bytes]:
    """The encoded commands of a group. Raises FrameCorrupt, FeatureTooNew."""
    if not 0 < len(data) <= GROUP_BYTES_MAX:
        raise FrameCorrupt("a group of commands has an impossible length")
    _check_version(data)
    commands: list[bytes] = []
    at = len(VERSION)
    while at < len(data):
        if len(data) - at < _LENGTH.size or len(commands) == GROUP_COMMANDS_MAX:
            raise FrameCorrupt("a group of commands is cut off or too long")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > len(data) - at:
            raise FrameCorrupt("a group of commands is cut off")
        commands.append(data[at:at + length])
        at += length
    return commands


def group_bytes(commands: Sequence[bytes]) -> int:
    """How long `encode_group` would be; for cutting groups to GROUP_BYTES_MAX."""
    return len(VERSION) + sum(_LENGTH.size + len(command) for command in commands)


def encode_outcome(outcome: Outcome) -> bytes:
    return VERSION + outcome_codec.encode_outcome(outcome)


def decode_outcome(data: bytes) -> Outcome:
    """The outcome of `encode_outcome`. Raises FrameCorrupt, FeatureTooNew."""
    if not 0 < len(data) <= OUTCOME_BYTES_MAX + len(VERSION):
        raise FrameCorrupt("an outcome has an impossible length")
    _check_version(data)
    try:
        return outcome_codec.decode_outcome(data[len(VERSION):])
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise FrameCorrupt("an outcome is damaged") from error


def _check_version(data: bytes) -> None:
    if data[:1] != VERSION:
        if data[:1] > VERSION:
            raise FeatureTooNew(version=data[0])
        raise FrameCorrupt("a log entry has no version")


def _unpack(data: bytes, bytes_max: int) -> Any:
    if not 0 < len(data) <= bytes_max:
        raise FrameCorrupt("a command has an impossible length")
    _check_version(data)
    try:
        # The C decoder refuses arrays and texts longer than the input, and nesting beyond 1,024.
        return msgpack.unpackb(data[1:], use_list=False, strict_map_key=True, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        raise FrameCorrupt("a command is not msgpack") from error


# Checks: the value itself when it has the type, else _Malformed. `type() is`, so that bool is not int.

def _int(value: Any) -> Any:
    if type(value) is int and 0 <= value <= _INT_MAX:
        return value
    raise _Malformed


def _bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _Malformed


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise _Malformed


def _text_or_none(value: Any) -> str | None:
    return value if value is None else _text(value)


def _bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise _Malformed


def _bytes_or_none(value: Any) -> bytes | None:
    return value if value is None else _bytes(value)


def _texts(value: Any) -> dict[str, str]:
    if type(value) is dict:
        for key, text in value.items():
            if type(key) is not str or type(text) is not str:
                raise _Malformed
        return value
    raise _Malformed


def _int_or_none(value: Any) -> int | None:
    return None if value is None else int(_int(value))


def _bool_or_none(value: Any) -> bool | None:
    return value if value is None else _bool(value)


def _texts_or_none(value: Any) -> dict[str, str] | None:
    return value if value is None else _texts(value)


def _tuple(value: Any) -> tuple[Any, ...]:
    if type(value) is tuple:
        return value
    raise _Malformed


def _pairs(value: Any) -> tuple[tuple[bytes, int], ...]:
    """Chunk id with a length or a node number."""
    for pair in _tuple(value):
        if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not bytes:
            raise _Malformed
        _int(pair[1])
    return value  # type: ignore[no-any-return]


def _node_lists(value: Any) -> tuple[tuple[int, ...], ...]:
    for nodes in _tuple(value):
        for node_no in _tuple(nodes):
            _int(node_no)
    return value  # type: ignore[no-any-return]


def _voters(value: Any) -> tuple[tuple[str, str], ...]:
    """A name and a disk."""
    for pair in _tuple(value):
        if type(pair) is not tuple or len(pair) != 2:
            raise _Malformed
        _text(pair[0])
        _text(pair[1])
    return value  # type: ignore[no-any-return]


def _ids(value: Any) -> tuple[bytes, ...]:
    for chunk_id in _tuple(value):
        _bytes(chunk_id)
    return value  # type: ignore[no-any-return]


def _numbered(value: Any) -> tuple[tuple[int, bytes], ...]:
    """A number with some bytes."""
    for pair in _tuple(value):
        if type(pair) is not tuple or len(pair) != 2 or type(pair[1]) is not bytes:
            raise _Malformed
        _int(pair[0])
    return value  # type: ignore[no-any-return]


def _named(value: Any) -> tuple[tuple[str, int], ...]:
    """A text with a number."""
    for pair in _tuple(value):
        if type(pair) is not tuple or len(pair) != 2:
            raise _Malformed
        _text(pair[0])
        _int(pair[1])
    return value  # type: ignore[no-any-return]


def _text_list(value: Any) -> tuple[str, ...]:
    for text in _tuple(value):
        _text(text)
    return value  # type: ignore[no-any-return]


def _records(value: Any) -> tuple[NodeRecord, ...]:
    return tuple(NodeRecord(*_typed(record, _RECORD_CHECKS)) for record in _tuple(value))


def _states(value: Any) -> tuple[NodeState, ...]:
    return tuple(NodeState(*_typed(state, _STATE_CHECKS)) for state in _tuple(value))


def _refusals(value: Any) -> tuple[Refusal, ...]:
    return tuple(Refusal(*_typed(refusal, _REFUSAL_CHECKS)) for refusal in _tuple(value))


def _orders(value: Any) -> tuple[JobOrder, ...]:
    return tuple(JobOrder(*_typed(order, _ORDER_CHECKS)) for order in _tuple(value))


def _results(value: Any) -> tuple[JobResult, ...]:
    return tuple(JobResult(*_typed(result, _RESULT_CHECKS)) for result in _tuple(value))


def _ints(value: Any) -> tuple[int, ...]:
    for number in _tuple(value):
        _int(number)
    return value  # type: ignore[no-any-return]


def _typed(value: Any, checks: Sequence[_Check]) -> list[Any]:
    if len(_tuple(value)) != len(checks):
        raise _Malformed
    return [check(item) for check, item in zip(checks, value, strict=True)]


_HEADER_CHECKS: tuple[_Check, ...] = (_int, _bytes, _int, _int, _int)
_RECORD_CHECKS: tuple[_Check, ...] = (_int, _text, _text, _text, _text, _int, _int, _int, _int)
_STATE_CHECKS: tuple[_Check, ...] = (_int, _text, _text, _int)
_REFUSAL_CHECKS: tuple[_Check, ...] = (_int, _text, _text, _text, _text)
_ORDER_CHECKS: tuple[_Check, ...] = (_text, _bytes, _int, _int, _int, _text)
_RESULT_CHECKS: tuple[_Check, ...] = (_int, _int, _int, _text, _text, _bytes)
_record_values = attrgetter(*NodeRecord.__slots__)
_state_values = attrgetter(*NodeState.__slots__)
_refusal_values = attrgetter(*Refusal.__slots__)
_order_values = attrgetter(*JobOrder.__slots__)
_result_values = attrgetter(*JobResult.__slots__)


def _pack_record(value: Any) -> Any:
    if isinstance(value, NodeRecord):
        return _record_values(value)
    if isinstance(value, NodeState):
        return _state_values(value)
    if isinstance(value, Refusal):
        return _refusal_values(value)
    if isinstance(value, JobOrder):
        return _order_values(value)
    if isinstance(value, JobResult):
        return _result_values(value)
    raise TypeError(f"{type(value).__name__} is not part of any command")


_packer = KeptPacker(_pack_record)

# Kind -> the feature levels of its fields that came after the kind was first written; kinds not here got none.
_LATER_FIELDS: dict[int, tuple[int, ...]] = {
    1: (2,), 2: (2, 3), 3: (2,), 4: (2,), 5: (2,), 11: (2,), 25: (3,), 28: (2,), 61: (3,), 105: (3,)}
# A field's type as it is written in its class -> its check.
_CHECK_BY_TYPE: dict[str, _Check] = {
    "int": _int, "NodeNo": _int, "bool": _bool, "str": _text, "ClusterUuid": _text, "bytes": _bytes,
    "int | None": _int_or_none, "str | None": _text_or_none, "bytes | None": _bytes_or_none,
    "dict[str, str]": _texts, "dict[str, str] | None": _texts_or_none,
    "tuple[ChunkId, ...]": _ids,
    "tuple[tuple[ChunkId, int], ...]": _pairs, "tuple[tuple[ChunkId, NodeNo], ...]": _pairs,
    "tuple[tuple[NodeNo, ...], ...]": _node_lists, "tuple[tuple[int, bytes], ...]": _numbered,
    "tuple[NodeRecord, ...]": _records, "tuple[NodeState, ...]": _states,
    "tuple[str, ...]": _text_list,
    "tuple[Voter, ...]": _voters, "tuple[Refusal, ...]": _refusals, "tuple[JobOrder, ...]": _orders,
    "tuple[JobResult, ...]": _results, "tuple[int, ...]": _ints, "tuple[NodeNo, ...]": _ints,
    "bool | None": _bool_or_none,
    "tuple[tuple[str, int], ...]": _named,
}


@dataclass(frozen=True, slots=True)
class _Spec:
    """How one kind is read and written.

    `required`: fields without a default. `later_defaults`: of the fields that came later, last field first.
    `passed`: types of values that passed the checks -> which of them must be looked into, and how (None: numbers).
    """

    cls: type[Any]
    checks: tuple[_Check, ...]
    required: int
    later_defaults: tuple[Any, ...]
    values_of: Callable[[Any], tuple[Any, ...]]
    passed: dict[tuple[type, ...], tuple[tuple[int, _Check | None], ...]] = field(default_factory=dict)


def _spec(cls: type[Any]) -> _Spec:
    names = [field.name for field in fields(cls)][1:]
    types = [str(field.type) for field in fields(cls)][1:]
    invariant(set(types) <= set(_CHECK_BY_TYPE), f"every field of {cls.__name__} has a check")
    checks = tuple(_CHECK_BY_TYPE[name] for name in types)
    required = sum(field.default is MISSING for field in fields(cls)) - 1
    later = tuple(field.default for field in fields(cls)[:-1 - len(_LATER_FIELDS.get(cls.KIND, ())):-1])
    if len(names) == 1:
        only = attrgetter(names[0])
        return _Spec(cls, checks, required, later, lambda command: (only(command),))
    return _Spec(cls, checks, required, later, attrgetter(*names))


_SPECS: dict[int, _Spec] = {kind: _spec(cls) for kind, cls in COMMAND_KINDS.items()}
