"""`bench`: figures with what they belong to, beside older ones; and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.errors import Overloaded
from fluffy.client.bench import Figure
from fluffy.client.shell import bench
from tests.client.shell_door import Shell

SMALL = ("--large", "1", "--small", "10")
NAMES = ["put_large", "get_large", "put_small", "put_small_median", "put_small_p99", "get_small", "get_small_median",
         "get_small_p99", "list", "search"]


def home_of(shell: Shell) -> list[str]:
    return [entry.path for entry in shell.sdk.ls("/admin")]


def test_figures_stand_with_their_hardware_and_nothing_is_left(shell: Shell, tmp_path: Path) -> None:
    kept = tmp_path / "before.json"
    said = shell("bench", *SMALL, "--save", str(kept), "--json")
    assert said.code == 0, said.err
    assert list(said.json["figures"]) == NAMES
    assert all(figure["value"] > 0 for figure in said.json["figures"].values())
    assert said.json["hardware"]["client"]["cores"] and said.json["hardware"]["cluster"]["name"] == "test"
    assert json.loads(kept.read_text()) == said.json and said.err == ""
    assert home_of(shell) == [] and shell.sdk.trash_page("/admin").items == ()
    document = json.loads(kept.read_text())
    document["figures"]["put_large"]["value"] *= 1000
    document["figures"]["search"]["value"] *= 1000
    kept.write_text(json.dumps(document))
    said = shell("bench", *SMALL, "--compare", str(kept))
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert lines["put_large"].endswith("worse") and lines["search"].endswith("better")
    assert "from here:" in said.out and "cluster test: 3 nodes" in said.out and "measuring: " in said.err


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt, 130), (Overloaded, 3)])
def test_what_ends_it_early_leaves_nothing_behind(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                   end: type[BaseException], code: int) -> None:
    def measure(client: Any, folder: str, **_: object) -> Iterator[Figure]:
        client.put(f"{folder}/f", b"x")
        assert home_of(shell) == [folder]
        yield Figure("put_large", 1.0, "MiB/s", "more")
        raise end

    monkeypatch.setattr(bench, "measure", measure)
    assert shell("bench", "--save", str(tmp_path / "f")).code == code
    assert home_of(shell) == [] and not (tmp_path / "f").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "{\"figures\": 1}"])
def test_what_is_no_baseline_is_refused_before_anything_is_measured(shell: Shell, tmp_path: Path, text: str) -> None:
    (tmp_path / "f").write_text(text)
    said = shell("bench", "--compare", str(tmp_path / "f"))
    assert said.code == 1 and "bench --save" in said.err and "measuring" not in said.err
