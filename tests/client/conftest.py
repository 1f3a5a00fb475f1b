from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fluffy.client import AsyncFluffy
from tests.client.faulty_peer import FaultyPeer, serving


@pytest.fixture
async def peer() -> AsyncIterator[FaultyPeer]:
    async with serving(FaultyPeer()) as running:
        yield running


@pytest.fixture
async def second() -> AsyncIterator[FaultyPeer]:
    async with serving(FaultyPeer()) as running:
        yield running


@pytest.fixture
async def client(peer: FaultyPeer) -> AsyncIterator[AsyncFluffy]:
    async with AsyncFluffy(peer.url, "good-token", patience_s=5.0) as fluffy:
        yield fluffy
