"""The cluster's secret: born once, whole, private."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fluffy.apps.cluster_secret import read_secret
from fluffy.base.errors import ConfigIllegal

_RACER = ("import sys; from pathlib import Path; from fluffy.apps.cluster_secret import read_secret;"
          "sys.stdin.readline(); print(read_secret(Path(sys.argv[1]), create=True).hex())")


def test_it_is_made_once_private_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "data" / "alpha.secret"
    secret = read_secret(path, create=True)
    assert len(secret) == 32
    assert secret == read_secret(path, create=True) == read_secret(path, create=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["alpha.secret"]


def test_processes_that_race_end_with_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "alpha.secret"
    racers = [subprocess.Popen([sys.executable, "-c", _RACER, str(path)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    secrets = {racer.communicate(timeout=30)[0].strip() for racer in racers}
    assert secrets == {path.read_text().strip()}


def test_without_leave_to_make_it_a_missing_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigIllegal, match="copy it from a node that has it"):
        read_secret(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "\x00" * 64])
def test_a_damaged_one_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigIllegal, match="64 hex digits"):
        read_secret(path, create=True)
    assert path.read_text() == text


def test_one_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    read_secret(path, create=True)
    path.chmod(0o644)
    with pytest.raises(ConfigIllegal, match="chmod 600"):
        read_secret(path, create=True)


def test_the_environment_wins_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUFFY_CLUSTER_SECRET", "ab" * 32)
    assert read_secret(tmp_path / "s", create=True) == b"\xab" * 32
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("FLUFFY_CLUSTER_SECRET", "short")
    with pytest.raises(ConfigIllegal, match="FLUFFY_CLUSTER_SECRET does not hold"):
        read_secret(tmp_path / "s", create=True)
