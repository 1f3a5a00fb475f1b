"""What `fluffy up` says and does while a node is not ready: soon, in words, and only what is known."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fluffy.apps import local_cluster, local_nodes
from fluffy.apps.local_config import Wanted, prepare_config
from fluffy.apps.settings import Settings, load
from tests.apps.test_local_cluster import free_base_port

LEADERLESS = json.dumps({"error": {"code": "NotReady", "message": "there is no leader yet"}}).encode()


class Door(BaseHTTPRequestHandler):
    """A node that lives and is not ready."""

    def do_GET(self) -> None:
        status, body = (200, b"{}") if self.path == "/healthz" else (503, LEADERLESS)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def alive(settings: Settings, *names: str) -> Iterator[None]:
    doors = [ThreadingHTTPServer(("127.0.0.1", settings.node(name).http), Door) for name in names]
    threads = [threading.Thread(target=door.serve_forever, args=(0.01,)) for door in doors]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        for door, thread in zip(doors, threads, strict=True):
            door.shutdown()
            thread.join()
            door.server_close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Three nodes, none with a folder here: they are on other machines, for all that is known."""
    monkeypatch.setattr(local_nodes, "TELL_AFTER_S", 0.2)
    monkeypatch.setattr(local_nodes, "POLL_S", 0.01)
    return load(prepare_config(tmp_path, Wanted(3, free_base_port(), None, with_supernode=False)))


def wait(settings: Settings, timeout_s: float, **more: Any) -> tuple[str | None, list[str]]:
    told: list[str] = []
    node = settings.node("two")
    node.dir.mkdir(parents=True, exist_ok=True)
    (node.dir / local_nodes.LOG_NAME).write_text("its last line\n")
    return local_nodes.wait_ready(settings, [node], [], timeout_s, told.append, **more), told


def test_a_node_whose_majority_is_silent_counts_as_started_and_says_who_is_missing(
        settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_nodes, "running_pid", lambda folder: 1)
    with alive(settings, "two"):
        assert wait(settings, 30.0) == (
            None, ["still waiting for node two: there is no leader yet (one, three do not answer)"])


def test_a_node_that_waits_for_something_else_is_told_about_once_and_left_running(
        settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_nodes, "running_pid", lambda folder: 1)
    with alive(settings, "one", "two", "three"):
        told = ["still waiting for node two: there is no leader yet"]
        assert wait(settings, 0.5, alive_is_enough=True) == (None, told)
        problem, said = wait(settings, 0.5)
        assert said == told and problem is not None
        assert problem.startswith("node two is not ready after 0 s: there is no leader yet; the end of")
        assert problem.endswith("its last line")


def test_a_node_without_a_log_of_ours_is_told_about_like_others(
        settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody started it by hand."""
    monkeypatch.setattr(local_nodes, "running_pid", lambda folder: 1)
    node = settings.node("two")
    with alive(settings, "one", "two", "three"):
        assert local_nodes.wait_ready(settings, [node], [], 0.1, lambda text: None) == (
            "node two is not ready after 0 s: there is no leader yet")


def test_ctrl_c_ends_what_was_started_and_nothing_else(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        pid = 12345

        def poll(self) -> None:
            return None

    def interrupted(*_: object, **__: object) -> str | None:
        raise KeyboardInterrupt

    ended: list[list[int]] = []
    monkeypatch.setattr(local_cluster, "running_pid", lambda folder: 1 if folder.name == "one" else None)
    monkeypatch.setattr(local_cluster, "start_node", lambda settings, node, join: local_nodes.NodeProcess(
        replace(node), Process()))  # type: ignore[arg-type]
    monkeypatch.setattr(local_cluster, "wait_ready", interrupted)
    monkeypatch.setattr(local_cluster, "end_processes", lambda pids: ended.append(list(pids)) or [])
    with pytest.raises(KeyboardInterrupt):
        local_cluster._start(settings, ["one", "two"])
    assert ended == [[12345]]
