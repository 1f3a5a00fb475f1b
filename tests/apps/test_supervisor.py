"""The supervisor with real processes, really killed; only what they do all day is made up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluffy.apps.children import Backoff, Child, ChildSpec
from fluffy.apps.node_lock import is_alive, read_pid

# Runs three children in three stages. A child's behaviour is its file in FOLDER (read at its start).
_SUPERVISOR = """
import sys
from pathlib import Path
from fluffy.apps.children import Backoff, Child, ChildSpec
from fluffy.apps.node_lock import node_lock
from fluffy.apps.supervisor import Supervisor, signal_inbox
from fluffy.base.errors import StartRefused
from fluffy.drivers.logs import setup_logging
folder = Path(sys.argv[1])
setup_logging("server", "one")
with signal_inbox() as inbox, node_lock(folder, "one") as lock:
    children = [
        Child(ChildSpec(name, (sys.executable, "-c", (folder / "child.py").read_text(), str(folder), name), stage, 3.0),
              folder / "run", Backoff(0.05, 0.2, 1.0), lock)
        for name, stage in (("log", 2), ("gateway", 0), ("keeper", 1))]
    sys.exit(Supervisor(children).run(inbox))
"""
_CHILD = """
import os, signal, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
mode = (folder / name).read_text() if (folder / name).exists() else "good"
def note(word):
    fd = os.open(folder / "story", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{name} {word}\\n".encode())
    os.close(fd)
def drain(*_):
    if mode != "stubborn":
        note("drained")
        sys.exit(0)
signal.signal(signal.SIGTERM, drain)
note("started")
if mode == "refuses":
    print("the journal is damaged", file=sys.stderr)
    sys.exit(78)
if mode == "crashes":
    sys.exit(70)
time.sleep(60)
"""


class Node:
    """A supervisor over made-up children in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "run").mkdir()
        (folder / "child.py").write_text(_CHILD)
        self._errors = (folder / "stderr").open("wb")
        self.process: subprocess.Popen[bytes] = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen([sys.executable, "-c", _SUPERVISOR, str(self.folder)], stderr=self._errors)
        return self.process

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def pid(self, child: str) -> int | None:
        return read_pid(self.folder / "run" / f"{child}.pid")

    def story(self) -> list[str]:
        path = self.folder / "story"
        return path.read_text().splitlines() if path.exists() else []

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def begun(self) -> bool:
        return {"log started", "gateway started", "keeper started"} <= set(self.story())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    try:
        until(node.begun)
        yield node
    finally:
        node.close()


def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.01)


def pids(node: Node) -> list[int]:
    found = [node.pid(name) for name in ("log", "gateway", "keeper")]
    assert None not in found
    return [pid for pid in found if pid is not None]


def test_sigterm_drains_doors_first_and_the_log_last(node: Node) -> None:
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(20) == 0
    assert [line for line in node.story() if "drained" in line] == [
        "gateway drained", "keeper drained", "log drained"]
    assert read_pid(node.folder / "server.pid") is None
    assert list((node.folder / "run").glob("*.pid")) == []


@pytest.mark.parametrize("name", ["log", "gateway", "keeper"])
def test_a_killed_child_comes_back_and_the_others_are_left_alone(node: Node, name: str) -> None:
    before = {child: node.pid(child) for child in ("log", "gateway", "keeper")}
    os.kill(before[name] or 0, signal.SIGKILL)
    until(lambda: node.story().count(f"{name} started") == 2)
    until(lambda: node.pid(name) not in (None, before[name]))
    assert all(node.pid(child) == before[child] for child in before if child != name)


def test_killing_the_supervisor_kills_its_children_and_frees_the_folder(node: Node) -> None:
    children = pids(node)
    node.process.kill()
    node.process.wait()
    until(lambda: not any(map(is_alive, children)))
    node.start()
    until(lambda: node.story().count("log started") == 2)


def test_a_second_supervisor_of_the_folder_is_refused(node: Node) -> None:
    second = subprocess.run([sys.executable, "-c", _SUPERVISOR, str(node.folder)], capture_output=True, text=True,
                            timeout=60, check=False)
    assert "runs already" in second.stderr
    assert f"process {node.process.pid}" in second.stderr
    assert node.story().count("log started") == 1
    assert read_pid(node.folder / "server.pid") == node.process.pid


def test_a_child_that_refuses_to_start_ends_the_node_with_78_and_is_not_tried_again(node: Node) -> None:
    (node.folder / "log").write_text("refuses")
    os.kill(node.pid("log") or 0, signal.SIGKILL)
    assert node.process.wait(20) == 78
    assert node.story().count("log started") == 2
    assert "the journal is damaged" in node.stderr()
    assert "gateway drained" in node.story()


def test_a_child_that_crashes_again_and_again_is_tried_with_growing_pauses(node: Node) -> None:
    (node.folder / "keeper").write_text("crashes")
    os.kill(node.pid("keeper") or 0, signal.SIGKILL)
    until(lambda: node.story().count("keeper started") >= 5)
    assert node.process.poll() is None
    (node.folder / "keeper").write_text("good")
    until(lambda: node.pid("keeper") is not None and node.story()[-1] == "keeper started")


def test_a_child_that_does_not_drain_is_killed_at_its_deadline(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("stubborn")
    node = Node(tmp_path)
    try:
        until(node.begun)
        begin_s = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
        assert time.monotonic() - begin_s >= 3.0
        assert "log drained" in node.story()
    finally:
        node.close()


def test_a_second_sigterm_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("stubborn")
    node = Node(tmp_path)
    try:
        until(node.begun)
        children = pids(node)
        node.process.send_signal(signal.SIGTERM)
        until(lambda: "server.draining" in node.stderr())
        begin_s = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 128 + signal.SIGTERM
        assert time.monotonic() - begin_s < 2.5
        assert not any(map(is_alive, children))
    finally:
        node.close()


def test_ctrl_c_of_a_terminal_reaches_only_the_supervisor(node: Node) -> None:
    """Children are process groups of their own: otherwise Ctrl-C would end the log before the doors are drained."""
    assert all(os.getpgid(pid) == pid for pid in pids(node))


def test_pauses_double_up_to_the_bound_and_begin_anew_after_a_stable_life() -> None:
    backoff = Backoff(0.1, 1.0, 5.0)
    pauses = [backoff.after(0.0, 0.0)]
    for _ in range(5):
        pauses.append(backoff.after(pauses[-1], 0.5))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.after(1.0, 5.0) == 0.1


def test_a_child_runs_although_nobody_can_note_its_process_id(tmp_path: Path) -> None:
    """A full disk does that; a folder that is not there fails in the same way."""
    child = Child(ChildSpec("log", (sys.executable, "-c", "import time; time.sleep(60)"), 2, 3.0), tmp_path / "absent",
                  Backoff(0.05, 0.2, 1.0))
    child.start()
    try:
        assert child.running and child.reap() is None
    finally:
        child.signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 10
    while child.reap() is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not child.running
