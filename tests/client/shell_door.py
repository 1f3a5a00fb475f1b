"""A real native door in a thread of its own, and the shell in front of it, for tests of commands."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import pytest

from fluffy.client.shell.main import build_cli, run_command_line
from fluffy.client.shell.session import Connection
from fluffy.client.sync import Fluffy
from tests.client.faulty_peer import FaultyPeer, serving
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import Door, running_door

T = TypeVar("T")


@contextmanager
def in_thread(serving: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Hold an async context open in a thread with a loop of its own, for tests that have none."""
    found: Queue[T | BaseException] = Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with serving as served:
                found.put(served)
                await stop.wait()
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            found.put(error)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    served = found.get(timeout=30)
    if isinstance(served, BaseException):
        raise served
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
    if not found.empty():
        failure = found.get()
        assert isinstance(failure, BaseException)
        raise failure


def door_in_thread(folder: Path) -> AbstractContextManager[Door]:
    return in_thread(running_door(folder))


def peer_in_thread() -> AbstractContextManager[FaultyPeer]:
    return in_thread(serving(FaultyPeer()))


class Stdin(io.TextIOWrapper):
    """Standard input with given bytes; no terminal."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")


@dataclass
class Said:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs one-shot command lines, and lines of a session, against one door."""

    def __init__(self, door: Door, capsys: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self.door = door
        self.connection = Connection((door.url,), ADMIN_TOKEN)
        self.sdk = self.client_of(door.url)
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Said:
        self._monkeypatch.setattr(sys, "stdin", Stdin(stdin))
        self._capsys.readouterr()
        code = run_command_line(build_cli(lambda _: self.connection), arguments)
        said = self._capsys.readouterr()
        return Said(code, said.out.decode(), said.err.decode())

    @staticmethod
    def client_of(url: str, patience_s: float = 30.0) -> Fluffy:
        return Fluffy(url, ADMIN_TOKEN, patience_s=patience_s)

    def raw(self, *arguments: str) -> bytes:
        """Standard output of a command that succeeds, as bytes."""
        self._capsys.readouterr()
        assert run_command_line(build_cli(lambda _: self.connection), arguments) == 0
        return self._capsys.readouterr().out

    def lines(self, *lines: str) -> Said:
        """A session whose input is no terminal."""
        return self(stdin="\n".join(lines).encode() + b"\n")
