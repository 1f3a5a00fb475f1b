"""Tokens that were looked up a moment ago are kept in memory, but not without bound."""

from __future__ import annotations

import pytest

from fluffy.gateways.native import auth
from fluffy.gateways.native.auth import Tokens
from fluffy.services.tokens import hash_of
from tests.support.asking import user_of
from tests.support.native_door import Door


def test_memory_is_bounded_and_who_was_forgotten_is_looked_up_again(
        door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "TOKENS_CACHED_MAX", 3)
    names = [f"user{number}" for number in range(5)]
    for name in names:
        user_of(door, name)
    tokens = Tokens(door.cluster.reader, door.desk.clock)
    for name in names * 2:
        user = tokens.user_of(hash_of(name), 0)
        assert user is not None and user.name == name
        assert len(tokens._known) <= 3
    assert tokens.user_of(hash_of("nobody"), 0) is None and len(tokens._known) <= 3
