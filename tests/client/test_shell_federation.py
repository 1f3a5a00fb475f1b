"""Many clusters from one shell: through a supernode, and `CLUSTER:/path` wherever a path is taken."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fluffy.client.shell.session import Connection, OtherCluster
from fluffy.drivers.mirror_work import MirrorWork
from fluffy.drivers.supernode_http import Supernodes
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_sides import Side
from tests.client.shell_door import Shell, in_thread
from tests.support.asking import user_of
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import SupernodeDoor, supernode_door


@asynccontextmanager
async def known_supernode(folder: Path) -> AsyncIterator[SupernodeDoor]:
    """Both clusters know the supernode; and one that does not answer, before it."""
    async with supernode_door(folder, "alpha", "beta") as door:
        for joined in door.clusters.values():
            joined.door.desk.supernodes = Supernodes(["http://127.0.0.1:9", door.url])
        sides = [Side(door.desk.clusters, *place, lambda: "") for place in (("alpha", "alice"), ("beta", "bob"))]
        work = MirrorWork(folder / "mirrors")
        door.desk.mirrors = (Mirror("m", sides[0], sides[1], work, door.desk.clock),)  # which nobody runs
        yield door
        work.close()
        for joined in door.clusters.values():
            await joined.door.desk.supernodes.close()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[SupernodeDoor]:
    with in_thread(known_supernode(tmp_path)) as door:
        yield door


@pytest.fixture
def shell(tmp_path: Path, far: SupernodeDoor, capsysbinary: pytest.CaptureFixture[bytes],
          monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """In front of beta, as bob, who is alice in alpha."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    user_of(far.clusters["alpha"].door, "alice")
    user_of(far.clusters["beta"].door, "bob")
    beta, alpha = far.clusters["beta"].door, far.clusters["alpha"].door
    shell = Shell(beta, capsysbinary, monkeypatch)
    shell.connection = Connection((beta.url,), "bob", others={"alpha": OtherCluster((alpha.url,), "alice")})
    yield shell
    shell.sdk.close()


def test_paths_of_another_cluster_are_taken_everywhere(shell: Shell) -> None:
    Path("local").write_bytes(b"text")
    assert shell("upload", "local", "alpha:/alice/docs/report").code == 0
    assert shell("cat", "alpha:/alice/docs/report").out == "text"
    assert shell("ls", "alpha:/alice/docs").out.split() == ["report"]
    assert shell("info", "alpha:/alice/docs/report", "--json").json["files"][0]["owner"] == "alice"
    assert shell("mv", "alpha:/alice/docs/report", "alpha:/alice/docs/other").code == 0
    assert shell("download", "alpha:/alice/docs/other", "got").code == 0
    assert Path("got").read_bytes() == b"text"
    assert shell("find", "alpha:/alice", "-type", "f").out.split() == ["/alice/docs/other"]
    assert shell("rm", "alpha:/alice/docs/other").code == 0
    assert shell("ls", "alpha:/alice/docs").out == ""
    assert shell("ls", "/bob").out == ""
    said = shell("mv", "alpha:/alice/docs/x", "/bob/y")
    assert said.code == 2 and "'cp' copies between clusters" in said.err
    said = shell("ls", "gamma:/x")
    assert said.code == 1 and "no cluster gamma" in said.err


def test_files_and_folders_are_copied_between_clusters(shell: Shell) -> None:
    for name in ("a", "b/c"):
        assert shell("upload", "-", f"alpha:/alice/tree/{name}", "--tag", "k=v", stdin=name.encode()).code == 0
    assert shell("cp", "-r", "alpha:/alice/tree", "/bob/taken").code == 0
    assert shell("cat", "/bob/taken/b/c").out == "b/c"
    assert shell("cp", "alpha:/alice/tree/a", "/bob/").code == 0
    assert shell("info", "/bob/a", "--json").json["files"][0]["tags"] == {"k": "v"}
    said = shell("cp", "/bob/a", "alpha:/alice/tree/a")
    assert said.code == 1
    assert shell("cp", "-f", "/bob/taken/b/c", "alpha:/alice/tree/a").code == 0
    assert shell("cat", "alpha:/alice/tree/a").out == "b/c"
    assert shell("cp", "alpha:/alice/tree", "/bob/x").code == 1


def test_clusters_are_shown_searched_listed_and_gone_to(shell: Shell, far: SupernodeDoor) -> None:
    assert shell("upload", "-", "alpha:/alice/report-1", stdin=b"x").code == 0
    assert shell("upload", "-", "/bob/report-2", stdin=b"x").code == 0
    for _ in range(100):
        if len(shell("search", "report", "--everywhere").out.split()) == 2:
            break
    assert shell("search", "report", "--everywhere").out.split() == ["alpha:/alice/report-1", "beta:/bob/report-2"]
    assert shell("search", "report", "--cluster", "alpha").out.split() == ["alpha:/alice/report-1"]
    found = shell("search", "report", "--everywhere", "--fresh", "--json").json
    assert [line["state"] for line in found["coverage"]] == ["fresh", "fresh"] and len(found["hits"]) == 2
    assert shell("catalog", "alpha:/alice").out.split() == ["report-1"]
    lines = {line["name"]: line for line in shell("clusters", "--json").json["clusters"]}
    assert (lines["alpha"]["you_are"], lines["beta"]["you_are"]) == ("alice", "bob")
    assert "alpha" in shell("clusters").out and "beta*" in shell("clusters").out
    said = shell.lines("use alpha", "pwd", "ls", "use beta", "ls", "use gamma")
    assert said.out.split("\n")[:5] == [
        "alice in cluster alpha", "/alice", "report-1", "bob in cluster beta", "report-2"]
    assert "no cluster gamma" in said.err
    assert shell("use", "alpha").code == 2


def test_a_peer_passes_a_search_on_with_the_asker_s_own_token(far: SupernodeDoor) -> None:
    door = far.clusters["alpha"].door
    request = urllib.request.Request(f"{door.url}/v1/search?q=nothing&everywhere=1",
                                     headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert {line["cluster"] for line in json.load(answer)["coverage"]} == {"alpha", "beta"}


def test_a_cluster_without_a_supernode_says_so(shell: Shell, far: SupernodeDoor) -> None:
    far.clusters["beta"].door.desk.supernodes = Supernodes(())
    said = shell("clusters")
    assert said.code == 1 and "cluster.supernodes" in said.err


def test_mirrors_are_shown(shell: Shell) -> None:
    shown = shell("mirrors").out
    assert shown.startswith("alpha:/alice -> beta:/bob  stopped, ") and "it has just started" in shown
    assert shell("mirrors", "--json").json["mirrors"][0]["name"] == "m"
