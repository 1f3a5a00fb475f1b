"""The state's store: what was checked when it was proposed is not decoded again, and nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.base.errors import FrameCorrupt
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Header, MakeFolder
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.drivers.raft import state_store
from fluffy.drivers.raft.state_store import KEY_BYTES, StateStore
from fluffy.wire.log_entries import decode_command, encode_command, encode_group
from tests.drivers.raft.lab import genesis


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path)
    store.apply([(2, 1, encode_group([encode_command(genesis())]))])
    yield store
    store.close()


def folder(name: str, request: int) -> bytes:
    header = Header(RequestId(request.to_bytes(16, "big")), 1, NodeNo(1), UserNo(1))
    return encode_command(MakeFolder(header, f"admin/{name}"))


def test_a_checked_command_is_decoded_once(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def counting(data: bytes) -> object:
        decoded.append(data)
        return decode_command(data)

    monkeypatch.setattr(state_store, "decode_command", counting)
    mine, other = folder("mine", 1), folder("other", 2)
    store.check(mine)
    [outcomes] = store.apply([(3, 1, encode_group([mine, other]))])
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert decoded == [mine, other]


def test_another_command_with_the_same_beginning_is_not_taken_for_it(store: StateStore) -> None:
    long = "a-name-that-is-longer-than-the-key"
    checked, applied = folder(f"{long}-1", 1), folder(f"{long}-2", 1)
    assert checked[:KEY_BYTES] == applied[:KEY_BYTES]
    store.check(checked)
    [outcomes] = store.apply([(3, 1, encode_group([applied]))])
    assert isinstance(outcomes[0], Accepted)
    [outcomes] = store.apply([(4, 1, encode_group([folder(f"{long}-2", 3)]))])
    assert isinstance(outcomes[0], Rejected), "it was the second one that was made"


def test_garbage_is_refused_by_the_check(store: StateStore) -> None:
    with pytest.raises(FrameCorrupt):
        store.check(b"\x01garbage")


def test_proposals_that_never_come_back_are_forgotten(store: StateStore) -> None:
    for number in range(3 * state_store.CHECKED_COMMANDS_MAX):
        store.check(folder("x", number))
    assert len(store._checked) <= state_store.CHECKED_COMMANDS_MAX
