"""`python client.py` by a Python that cannot run it: the one in .venv does, or a sentence says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fluffy import entry
from fluffy.base.checks import EXIT_REFUSED_TO_START

ROOT = Path(__file__).resolve().parents[2]


def test_all_dependencies_are_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    assert {*entry.PACKAGES} == {*named} - {"pyyaml"} | {"yaml"}
    assert project["requires-python"] == ">=" + ".".join(map(str, entry.PYTHON_MIN))
    assert entry.EXIT_REFUSED == EXIT_REFUSED_TO_START


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The program in a folder without an environment."""
    (tmp_path / "fluffy").mkdir()
    for name in ("client.py", "fluffy/__init__.py", "fluffy/entry.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """By a Python that finds nothing but its own library."""
    return subprocess.run([sys.executable, "-S", "client.py", "ls", "-l"], capture_output=True, text=True, timeout=30,
                          check=False, cwd=folder, env={})


def test_without_packages_a_sentence_says_what_to_do(bare: Path) -> None:
    done = run(bare)
    assert done.returncode == EXIT_REFUSED_TO_START
    assert done.stderr.startswith("client.py: this Python (") and "aiohttp" in done.stderr
    assert f"'make run' in {bare} makes" in done.stderr and "Traceback" not in done.stderr


def test_the_python_of_the_environment_goes_on(bare: Path) -> None:
    own = bare / ".venv/bin/python"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\necho "$@"\n')
    own.chmod(0o755)
    done = run(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "client.py ls -l\n", "")


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert entry.what_is_wrong() == "this is Python 3.9, and Fluffy needs 3.11 or newer"
