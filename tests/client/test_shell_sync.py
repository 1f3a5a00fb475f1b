"""push, pull, import, export and sync from the command line, in front of a real door."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.shell_door import Shell


@pytest.fixture
def tree() -> Path:
    """A small tree `src` in the present local folder: nested, empty, large enough for chunks, executable, old."""
    top = Path("src")
    (top / "a" / "b").mkdir(parents=True)
    (top / "empty").mkdir()
    for number in range(20):
        (top / "a" / f"{number:02}.txt").write_bytes(os.urandom(50 + number))
    (top / "a" / "b" / "deep ü").write_bytes(b"deep")
    (top / "nothing").write_bytes(b"")
    (top / "large").write_bytes(os.urandom(1_500_000))
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    os.utime(top / "run.sh", ns=(1, 1_234_567_890_123_456_789))
    return top


def facts(shell: Shell, *arguments: str, code: int = 0) -> Any:
    said = shell(*arguments, "--json")
    assert said.code == code, said.out + said.err
    return said.json


def content(top: Path) -> dict[str, tuple[bytes, int, int] | None]:
    """Bytes, mode and time of each file; None for folders."""
    return {path.relative_to(top).as_posix(): None if path.is_dir() else (
        path.read_bytes(), path.stat().st_mode & 0o777, path.stat().st_mtime_ns) for path in top.rglob("*")}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another machine: another local folder, another memory. Use `with_` it by changing to it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    yield folder


def test_what_is_pushed_comes_back_by_pull_elsewhere(shell: Shell, tree: Path, elsewhere: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    done = facts(shell, "push", "src")
    assert (done["sent"], done["same"], done["failed"]) == (24, 0, 0)
    assert done["remote"] == "/admin/src"
    before = content(tree)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("XDG_STATE_HOME", str(elsewhere.parent / "state2"))
    assert facts(shell, "pull", "src")["fetched"] == 24
    assert content(Path("src")) == before
    assert facts(shell, "pull", "src")["fetched"] == 0
    assert facts(shell, "push", "src") | {"seconds": 0} == facts(shell, "push", "src") | {"seconds": 0}
