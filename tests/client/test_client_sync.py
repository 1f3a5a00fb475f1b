"""The blocking face: the same answers, one loop thread, Ctrl-C that tidies up."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fluffy
from fluffy import AsyncFluffy, Fluffy
from fluffy.base.errors import FileNotFound, LocalFileFailed
from fluffy.client.credentials import find_token
from fluffy.client.loop_thread import LoopThread
from tests.client.faulty_peer import FaultyPeer, refusal
from tests.client.shell_door import peer_in_thread
from tests.support.cluster import ROOT


@pytest.fixture
def remote() -> Iterator[FaultyPeer]:
    with peer_in_thread() as peer:
        yield peer


def test_it_has_every_verb_of_the_async_face_with_its_arguments_and_words() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}
    assert len(public(AsyncFluffy)) > 60
    assert public(AsyncFluffy) <= public(Fluffy)
    for name in public(AsyncFluffy):
        one, other = getattr(AsyncFluffy, name), getattr(Fluffy, name)
        if callable(one):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters), name
            assert inspect.getdoc(other), name


def test_the_package_offers_both_and_nothing_else() -> None:
    assert fluffy.Fluffy is Fluffy
    with pytest.raises(AttributeError):
        _ = fluffy.Nonsense  # type: ignore[attr-defined]


def test_files_go_in_and_out_from_many_threads(remote: FaultyPeer, tmp_path: Path) -> None:
    with Fluffy(remote.url, "good-token") as client, ThreadPoolExecutor(8) as threads:
        def there_and_back(number: int) -> bytes:
            client.put(f"/admin/{number}", str(number).encode())
            return client.get(f"/admin/{number}")
        assert list(threads.map(there_and_back, range(40))) == [str(number).encode() for number in range(40)]
        client.put("/admin/lines", (block for block in (b"a", b"", b"b")))
        assert remote.files["/admin/lines"] == b"ab"
        written: list[bytes] = []
        client.write_to("/admin/lines", written.append)
        assert b"".join(written) == b"ab"
        with pytest.raises(FileNotFound):
            client.download("/admin/none", tmp_path)
    client.close()
    with pytest.raises(RuntimeError):
        client.get("/admin/lines")


@pytest.mark.parametrize("call", ["download", "put"])
def test_ctrl_c_ends_a_call_and_tidies_up(remote: FaultyPeer, tmp_path: Path, call: str) -> None:
    remote.files["/admin/big"] = os.urandom(1_000_000)
    remote.faults.cut_downloads_after = [400_000]
    remote.faults.refuse = []
    began = threading.Event()

    def progress(done: int, total: int | None) -> None:
        remote.faults.refuse = [(503, refusal("NoLeader", "later"), {"Retry-After": "9"})] * 3
        began.set()

    def interrupt() -> None:
        began.wait(10)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    typist = threading.Thread(target=interrupt)
    typist.start()
    with Fluffy(remote.url, "good-token") as client:
        calls: dict[str, Callable[[], object]] = {
            "download": lambda: client.download("/admin/big", tmp_path, progress=progress),
            "put": lambda: client.put("/admin/new", _endless(began))}
        with pytest.raises(KeyboardInterrupt):
            calls[call]()
        typist.join()
        if call == "download":
            kept = (tmp_path / "big.fluffy-part").read_bytes()
            assert remote.files["/admin/big"].startswith(kept)
            assert len(kept) > 100_000
            remote.faults.refuse = []
            client.download("/admin/big", tmp_path)
            assert (tmp_path / "big").read_bytes() == remote.files["/admin/big"]
        assert "/admin/new" not in remote.files


def _endless(began: threading.Event) -> Iterator[bytes]:
    while True:
        began.set()
        time.sleep(0.01)
        yield b"x" * 1000


def test_the_token_is_looked_for_where_people_put_it(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    file = tmp_path / "admin.token"
    assert find_token(None, environ, [file]) is None
    own = tmp_path / ".config" / "fluffy" / "token"
    own.parent.mkdir(parents=True)
    own.write_text("own\n")
    assert find_token(None, environ, [file]) == "own"
    file.write_text("  local \n")
    assert find_token(None, environ, [file]) == "local"
    assert find_token(None, {**environ, "FLUFFY_TOKEN": "environment"}, [file]) == "environment"
    assert find_token("given", {**environ, "FLUFFY_TOKEN": "environment"}, [file]) == "given"


@pytest.mark.parametrize("text", ["two words", "x" * 600, "grün", "new\nline"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(LocalFileFailed):
        find_token(text, {}, [])


def test_a_callback_that_asks_its_own_client_is_told_instead_of_waiting_for_ever(remote: FaultyPeer) -> None:
    with Fluffy(remote.url, "good-token") as client:
        with pytest.raises(RuntimeError, match="callback"):
            client.put("/admin/f", b"x", progress=lambda done, total: client.get("/admin/f"))
        client.put("/admin/f", b"x")
        assert client.get("/admin/f") == b"x"


def test_a_client_that_is_forgotten_or_outlived_closes_its_connections(remote: FaultyPeer) -> None:
    client = Fluffy(remote.url, "good-token")
    client.put("/admin/f", b"x")
    thread = client._thread._thread
    del client
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    kept = Fluffy(remote.url, "good-token")
    only_there = asyncio.Event()
    work = kept._thread.start(_forget([kept], only_there))
    thread, loop = kept._thread._thread, kept._thread._loop
    del kept
    loop.call_soon_threadsafe(only_there.set)
    work.result(10)
    thread.join(10)
    assert not thread.is_alive(), "also when the last reference goes in the client's own thread"
    program = f"from fluffy import Fluffy\nf = Fluffy({remote.url!r}, 'good-token')\nprint(f.get('/admin/f'))\n"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60,
                          cwd=ROOT, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("b'x'\n", "", 0)


async def _forget(last_references: list[Fluffy], only_there: asyncio.Event) -> None:
    await only_there.wait()
    last_references.clear()


def test_ctrl_c_before_the_work_was_handed_over_leaves_no_work_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coroutine that nobody awaits is a warning, and warnings are errors here."""
    began: list[str] = []

    async def work() -> None:
        began.append("yes")

    async def nothing() -> None:
        pass

    def interrupted(coroutine: object, loop: object) -> None:
        raise KeyboardInterrupt

    loop = LoopThread("test")
    with monkeypatch.context() as early:
        early.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
    gc.collect()
    loop.close(nothing())
    assert began == []
