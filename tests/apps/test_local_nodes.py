"""Ending the nodes of a cluster: exactly those, and really."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.apps.local_nodes import end_processes, running_pid

_HOLDER = """
import sys, time
from pathlib import Path
from fluffy.apps.node_lock import node_lock
with node_lock(Path(sys.argv[1]), "one"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder as a supervisor does; SIGTERM ends it."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_node_that_runs_is_found_and_ended(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert running_pid(tmp_path) == holder.pid
    assert end_processes([holder.pid]) == []
    assert holder.wait(5) != 0
    assert running_pid(tmp_path) is None


def test_a_stale_pid_file_that_names_somebody_else_s_process_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/server.lock").touch()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "server.pid").write_text(f"{stranger.pid}\n")
        assert running_pid(tmp_path) is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "99999999999999", "1 2"])
def test_a_damaged_pid_file_means_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.pid").write_text(text)
    assert running_pid(tmp_path) is None


def test_a_process_that_is_gone_needs_no_ending() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert end_processes([process.pid]) == []
