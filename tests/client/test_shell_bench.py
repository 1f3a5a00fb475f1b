"""`bench`: figures with what they belong to, beside older ones; and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.errors import Overloaded, QuerySyntax
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MIB
from fluffy.client import bench_repair
from fluffy.client.bench import Figure
from fluffy.client.shell import bench
from fluffy.core.metadata.commands import ReplicasChanged
from tests.client.shell_door import Shell
from tests.support.local_log import header

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


def missing(shell: Shell) -> list[ChunkId]:
    rows = shell.door.cluster.log.db.execute("SELECT chunk_id FROM chunks WHERE copies < wanted ORDER BY chunk_no")
    return [ChunkId(row[0]) for row in rows]


def buckets_of(shell: Shell) -> list[str]:
    return [bucket.name for bucket in shell.sdk.buckets()]


def test_repair_is_measured_on_files_of_its_own_only(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sdk.mkdir("/team")
    shell.sdk.put("/team/of-somebody", b"y" * 300_000)
    others = missing(shell)  # the door's chunks have two copies of three
    seen: list[int] = []

    def make_some() -> None:
        lacking = [chunk_id for chunk_id in missing(shell) if chunk_id not in others]
        seen.append(len(lacking))
        shell.door.cluster.log.apply(ReplicasChanged(
            header(), tuple((chunk_id, NodeNo(3)) for chunk_id in lacking[:10]), ()))

    monkeypatch.setattr(bench_repair, "_rest", make_some)
    said = shell("bench", *SMALL, "--repair", "--json")
    assert said.code == 0, said.err
    assert list(said.json["figures"]) == [*NAMES, "repair"]
    assert said.json["figures"]["repair"]["value"] > 0 and said.json["figures"]["repair"]["unit"] == "MiB/s"
    assert seen[0] > 10 and seen == [seen[0] - 10 * round_ for round_ in range(len(seen))]
    assert missing(shell) == others and buckets_of(shell) == ["admin", "team"]
    assert shell.sdk.get("/team/of-somebody") == b"y" * 300_000


def test_repair_that_never_ends_is_told_as_what_was_made(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_repair, "WATCH_S", 0.2)
    [figure] = bench_repair.measure_repair(shell.sdk, bench_repair.Copies(2, 3), MIB, str)
    assert (figure.name, figure.value) == ("repair", 0)
    assert buckets_of(shell) == ["admin"]


@pytest.mark.parametrize(("replication", "quorum", "nodes", "said"), [
    (3, 2, 3, (2, 3)), (3, 2, 5, (2, 3)), (3, 2, 2, None), (2, 2, 3, (2, 3)), (2, 2, 2, None), (1, 1, 1, None),
    (1, 1, 3, (1, 2)), (5, 3, 5, (4, 5)), (5, 5, 7, None), (5, 3, 4, None)])
def test_repair_needs_a_node_for_the_copy(replication: int, quorum: int, nodes: int,
                                          said: tuple[int, int] | None) -> None:
    states = ["up"] * nodes + ["down", "draining"]
    status = {"settings": {"replication": replication, "write_quorum": quorum},
              "nodes": [{"state": state} for state in states]}
    if said is None:
        with pytest.raises(QuerySyntax, match=f"{nodes}"):
            bench_repair.copies_of(status)
    else:
        assert bench_repair.copies_of(status) == bench_repair.Copies(*said)
