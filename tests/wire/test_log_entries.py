"""Log entries: the bytes that are on disks for ever, round trips, and everything that is not an entry."""

from __future__ import annotations

import random
from dataclasses import MISSING, fields, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import FeatureTooNew, FrameCorrupt, TooLarge
from fluffy.base.ids import ChunkId, ClusterUuid, NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import (
    COMMAND_KINDS,
    FEATURE_LEVEL,
    AddToken,
    Command,
    DeleteFile,
    ExpireVersions,
    ForgetChunks,
    Genesis,
    Header,
    MakeFolder,
    NodeRecord,
    NodeState,
    PublishPlacement,
    PutFile,
    RemoveFolder,
    ReplicasChanged,
    SetFeatureLevel,
)
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.wire.log_entries import (
    COMMAND_BYTES_MAX,
    GROUP_BYTES_MAX,
    GROUP_COMMANDS_MAX,
    decode_command,
    decode_group,
    decode_outcome,
    encode_command,
    encode_group,
    encode_outcome,
    group_bytes,
    level_of,
)
from tests.support.golden_jobs import JOBS_GOLDEN, SINCE_GOLDEN
from tests.support.golden_keeper import KEEPER_GOLDEN
from tests.support.golden_members import MEMBERS_GOLDEN
from tests.support.golden_object_uploads import OBJECT_UPLOADS_GOLDEN
from tests.support.golden_object_versions import OBJECT_VERSIONS_GOLDEN
from tests.support.golden_people import PEOPLE_GOLDEN
from tests.support.golden_rebuild import REBUILD_GOLDEN
from tests.support.golden_s3 import S3_GOLDEN
from tests.support.golden_tree import TREE_GOLDEN
from tests.support.golden_uploads import UPLOADS_GOLDEN
from tests.support.metadata_strategies import COMMANDS

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))
CHUNK = ChunkId(b"c" * 32)
HEADER_VALUES = 5  # kind and the four of Header

# One of every kind, and the bytes that the first version of this program wrote for it.
GOLDEN: list[tuple[Command, str]] = [
    (Genesis(HEADER, ClusterUuid("u"), "alpha", (NodeRecord(NodeNo(1), "one", "d1", "a", "h", 1, 2, 3, 4),), "admin",
             b"h" * 32, 3, 2, 8 << 20, 16384, 7, 100),
     "01dc001001c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a175a5616c706861919901a36f6e65a26431a161"
     "a16801020304a561646d696ec42068686868686868686868686868686868686868686868686868686868686868680302ce00800000cd"
     "40000764"),
    (PutFile(HEADER, "b/ü", 3, b"r" * 32, "ee", "text/plain", {"m": "1"}, {"t": ""}, b"abc", (), (), "x", True, False),
     "01dc001202c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4622fc3bc03c420727272727272727272727272"
     "7272727272727272727272727272727272727272a26565aa746578742f706c61696e81a16da13181a174a0c4036162639090a178c3c2"),
    (PutFile(HEADER, "b/c", 300, b"r" * 32, "ee", "", {}, {}, None, ((CHUNK, 300),), ((NodeNo(1), NodeNo(3)),)),
     "01dc001202c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f63cd012cc4207272727272727272727272"
     "727272727272727272727272727272727272727272a26565a08080c09192c42063636363636363636363636363636363636363636363"
     "63636363636363636363cd012c91920103c0c2c3"),
    (DeleteFile(HEADER, "b/a", True, "ee"),
     "019803c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61c3a26565"),
    (MakeFolder(HEADER, "b/d", True),
     "019704c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64c3"),
    (RemoveFolder(HEADER, "b/d"),
     "019605c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64"),
    (PublishPlacement(HEADER, 4, 5, (NodeState(NodeNo(1), "up", "a", 9),)),
     "019806c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010405919401a27570a16109"),
    (ReplicasChanged(HEADER, ((CHUNK, NodeNo(1)),), ((CHUNK, NodeNo(2)),)),
     "019707c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002019192c420636363636363636363636363636363636363"
     "6363636363636363636363636363019192c420636363636363636363636363636363636363636363636363636363636363636302"),
    (ForgetChunks(HEADER, 4, (CHUNK,), 1000),
     "019808c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010491c420636363636363636363636363636363636363"
     "6363636363636363636363636363cd03e8"),
    (ExpireVersions(HEADER, 4, 10),
     "019709c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201040a"),
    (SetFeatureLevel(HEADER, 1),
     "01960ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe56800020101"),
    (AddToken(HEADER, "bob", b"t" * 32, "laptop"),
     "01980bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62c42074747474747474747474747474747474"
     "74747474747474747474747474747474a66c6170746f70"),
    *PEOPLE_GOLDEN,
    *TREE_GOLDEN,
    *UPLOADS_GOLDEN,
    *KEEPER_GOLDEN,
    *MEMBERS_GOLDEN,
    *S3_GOLDEN,
    *JOBS_GOLDEN,
    *SINCE_GOLDEN,
    *REBUILD_GOLDEN,
    *OBJECT_VERSIONS_GOLDEN,
    *OBJECT_UPLOADS_GOLDEN,
]


@pytest.mark.parametrize(("command", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_the_bytes_of_every_kind_are_what_they_always_were(command: Command, golden: str) -> None:
    assert encode_command(command).hex() == golden
    assert decode_command(bytes.fromhex(golden)) == command


def test_a_field_that_came_later_needs_the_level_that_it_came_with() -> None:
    for command, _ in SINCE_GOLDEN:
        assert level_of(command) == 3
        assert level_of(replace(command, since_seq=0)) == (1 if isinstance(command, PutFile) else 2)


def test_every_kind_has_golden_bytes() -> None:
    assert {command.KIND for command, _ in GOLDEN} == set(COMMAND_KINDS)


def test_the_bytes_of_groups_and_outcomes_are_what_they_always_were() -> None:
    assert encode_group([b"abc", b""]) == bytes.fromhex("01 03000000 616263 00000000")
    assert encode_outcome(Accepted(7, {"generation": 1})) == bytes.fromhex("01 93 00 07 81 aa 67656e65726174696f6e 01")
    assert encode_outcome(Rejected("NoLeader", "m", {})) == bytes.fromhex("01 94 01 a8 4e6f4c6561646572 a1 6d 80")


def _encodable(command: Command) -> bool:
    try:
        encode_command(command)
    except (UnicodeEncodeError, OverflowError):  # texts and numbers that only tests of apply use
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(COMMANDS.filter(_encodable))
def test_what_is_encoded_is_decoded(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@pytest.mark.parametrize(("command", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_an_older_writers_shorter_command_takes_the_defaults(command: Command, golden: str) -> None:
    values = msgpack.unpackb(bytes.fromhex(golden)[1:])
    shorter = b"\x01" + msgpack.packb(values[:-1])
    last = fields(command)[1:][len(values) - HEADER_VALUES - 1]
    if last.default is MISSING:
        with pytest.raises(FrameCorrupt):
            decode_command(shorter)
    else:
        assert getattr(decode_command(shorter), last.name) == last.default


@pytest.mark.parametrize(("command", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_newer_writers_longer_command_demands_an_upgrade(command: Command, golden: str) -> None:
    values = msgpack.unpackb(bytes.fromhex(golden)[1:])
    values += [field.default for field in fields(command)[1:][len(values) - HEADER_VALUES:]]
    assert decode_command(b"\x01" + msgpack.packb(values)) == command
    with pytest.raises(FeatureTooNew):
        decode_command(b"\x01" + msgpack.packb([*values, 0]))


def test_kinds_and_versions_from_the_future_demand_an_upgrade() -> None:
    later = b"\x01" + msgpack.packb([99, b"", 0, 0, 0])
    for decode in (decode_command, decode_group, decode_outcome):
        with pytest.raises(FeatureTooNew):
            decode(b"\x02" + later[1:])
    for command in (later, encode_command(SetFeatureLevel(HEADER, FEATURE_LEVEL + 1))):
        with pytest.raises(FeatureTooNew):
            decode_command(command)


PLACES = [(number, place) for number, (_, golden) in enumerate(GOLDEN)
          for place in range(1, len(msgpack.unpackb(bytes.fromhex(golden)[1:])))]


@pytest.mark.parametrize(("number", "place"), PLACES)
def test_a_field_of_a_wrong_type_is_refused(number: int, place: int) -> None:
    """Nothing of these is right anywhere, so every field after the kind has its check."""
    values = msgpack.unpackb(bytes.fromhex(GOLDEN[number][1])[1:])
    timestamp = msgpack.Timestamp(1, 0)
    for wrong in (-1, 1 << 63, 1.5, [[[1]]], {"k": 1}, {"k": timestamp}, timestamp, [timestamp], [[b"c", -1]]):
        spoilt = [*values[:place], wrong, *values[place + 1:]]
        with pytest.raises(FrameCorrupt):
            decode_command(b"\x01" + msgpack.packb(spoilt))


def test_bombs_and_garbage_are_refused() -> None:
    deep = b"\x91" * 5_000
    lengths = [bytes([kind]) + b"\xff" * 4 + b"x" for kind in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF)]
    packed = map(msgpack.packb, ([2] * 5, {1: 2}, [-1, b"", 0, 0, 0], [True] * 5))
    bombs = [b"", b"\xc1", deep, deep + b"\x00", *lengths, *packed, b"\xc7\x01\x05x", b"\xd6\xff" + b"\x00" * 4,
             b"\x80", b"\x90\x00", b"\x95\x02" + b"\x00" * 4, b"\xa2\xff\xfe", b"\x01" * COMMAND_BYTES_MAX]
    for bomb in (b"", b"\x00", *(b"\x01" + bomb for bomb in bombs)):
        with pytest.raises(FrameCorrupt):
            decode_command(bomb)
        with pytest.raises(FrameCorrupt):
            decode_outcome(bomb)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(data: bytes) -> None:
    for decode in (decode_command, decode_group, decode_outcome):
        for candidate in (data, b"\x01" + data):
            try:
                decode(candidate)
            except (FrameCorrupt, FeatureTooNew):
                pass


def test_flipped_and_cut_bytes_are_a_command_or_refused() -> None:
    rng = random.Random(7)
    for _, golden in GOLDEN:
        data = bytes.fromhex(golden)
        for _ in range(300):
            spoilt = bytearray(data[:rng.randrange(len(data))] if rng.random() < 0.3 else data)
            for _ in range(rng.randrange(1, 3)):
                if spoilt:
                    spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            try:
                decode_command(bytes(spoilt))
            except (FrameCorrupt, FeatureTooNew):
                pass


def test_a_command_that_does_not_fit_is_refused_by_the_encoder() -> None:
    command = DeleteFile(HEADER, "x" * COMMAND_BYTES_MAX)
    with pytest.raises(TooLarge):
        encode_command(command)
    assert group_bytes([b"x" * COMMAND_BYTES_MAX]) == GROUP_BYTES_MAX
    assert decode_group(encode_group([b"x" * COMMAND_BYTES_MAX])) == [b"x" * COMMAND_BYTES_MAX]


@given(st.lists(st.binary(max_size=20), max_size=30))
def test_groups_come_apart_as_they_were_put_together(commands: list[bytes]) -> None:
    group = encode_group(commands)
    assert len(group) == group_bytes(commands)
    assert decode_group(group) == commands


def test_damaged_and_overfull_groups_are_refused() -> None:
    group = encode_group([b"abc", b"defg"])
    for end in range(len(group)):
        if end not in (1, 8):  # there a shorter group ends
            with pytest.raises(FrameCorrupt):
                decode_group(group[:end])
    with pytest.raises(FrameCorrupt):
        decode_group(b"\x01" + b"\x00" * 4 * (GROUP_COMMANDS_MAX + 1))
    with pytest.raises(FrameCorrupt):
        decode_group(b"\x01" + b"\x00" * GROUP_BYTES_MAX)
    with pytest.raises(InvariantBroken):
        encode_group([b""] * (GROUP_COMMANDS_MAX + 1))


@pytest.mark.parametrize("outcome", [
    Accepted(0), Accepted(1 << 62, {"a": 1, "b": [1, "x", b"y", None, True, {"z": 2}]}),
    Rejected("ChunksMissing", "…", {"chunks": ["aa"] * 50, "count": 1_000})])
def test_outcomes_come_back(outcome: Outcome) -> None:
    assert decode_outcome(encode_outcome(outcome)) == outcome


@pytest.mark.parametrize("values", [
    [], [0], [0, 1], [0, 1, 2], [0, "x", {}], [2, 1, {}], [1, "a", "b"], [1, 2, "b", {}], [1, "a", "b", {}, 0],
    {"a": 1}, 7, [True, "a", "b", {}], [False, 1, {}], [0, True, {}], [0, 1, {2: 3}]])
def test_what_is_no_outcome_is_refused(values: Any) -> None:
    with pytest.raises(FrameCorrupt):
        decode_outcome(b"\x01" + msgpack.packb(values))


def test_types_that_passed_once_do_not_let_bad_values_pass() -> None:
    good = PutFile(HEADER, "b/f", 5, b"h" * 32, "e", "t", {"k": "v"}, {}, b"hello", (), ())
    assert decode_command(encode_command(good)) == good
    values = msgpack.unpackb(encode_command(good)[1:], use_list=False)
    names = [field.name for field in fields(PutFile)][1:]
    for name, bad in (("size", -1), ("size", 1 << 63), ("meta", {"k": 1}), ("tags", {b"k": "v"}), ("size", True),
                      ("chunks", ((b"c" * 32, "1"),)), ("inline", "hello"), ("replicas", ((-1,),))):
        spoiled = list(values)
        spoiled[HEADER_VALUES + names.index(name)] = bad
        with pytest.raises(FrameCorrupt):
            decode_command(b"\x01" + msgpack.packb(spoiled))
        assert decode_command(encode_command(good)) == good
