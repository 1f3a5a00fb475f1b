from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fluffy.client import AsyncFluffy
from tests.client.faulty_peer import FaultyPeer, serving
from tests.client.shell_door import Shell, door_in_thread


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


@pytest.fixture
def shell(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes],
          monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """The shell in front of a real door; the local folder is an empty one."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with door_in_thread(tmp_path / "node") as door:
        shell = Shell(door, capsysbinary, monkeypatch)
        yield shell
        shell.sdk.close()
