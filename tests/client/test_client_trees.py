"""Whole folders: what is refused is named and does not stop the rest; what cannot be reached stops it all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fluffy.base.errors import LocalFileExists, LocalFileFailed, PeerUnreachable, QuorumLost
from tests.client.shell_door import Shell


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a" / "b").mkdir(parents=True)
    for number in range(60):
        (top / "a" / f"{number:03}").write_bytes(os.urandom(100 + number))
    (top / "a" / "b" / "deep").write_bytes(b"deep")
    return top


def names(shell: Shell) -> list[str]:
    return sorted(entry.path for entry in shell.sdk.list("admin"))


def test_what_cannot_be_stored_is_named_and_the_rest_is_stored(shell: Shell, tree: Path) -> None:
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    Path(os.fsdecode(os.fsencode(tree) + b"/not-utf8-\xff")).write_bytes(b"x")
    (tree / "a" / "bad\nname").write_bytes(b"x")
    done: list[str] = []
    result = shell.sdk.put_tree(tree, "/admin/t", lambda path, size: done.append(path))
    assert result.files == 61 == len(done)
    assert len(result.failures) == 4
    assert len(names(shell)) == 61


def test_it_comes_back_as_it_was(shell: Shell, tree: Path, tmp_path: Path) -> None:
    shell.sdk.put_tree(tree, "/admin/t")
    back = tmp_path / "back"
    (back / "a").mkdir(parents=True)
    (back / "a" / "000").write_bytes(b"mine")
    result = shell.sdk.get_tree("/admin/t", back)
    assert [type(error) for _, error in result.failures] == [LocalFileExists]
    assert (back / "a" / "000").read_bytes() == b"mine"
    assert shell.sdk.get_tree("/admin/t", back, overwrite=True).failures == []
    for file in tree.rglob("*"):
        assert file.is_dir() or (back / file.relative_to(tree)).read_bytes() == file.read_bytes()


def test_a_tree_is_deleted_in_one_step(shell: Shell, tree: Path) -> None:
    shell.sdk.put_tree(tree, "/admin/t")
    shell.sdk.put("/admin/keep", b"x")
    deleted = shell.sdk.delete_tree("/admin/t")
    sizes = [file.stat().st_size for file in tree.rglob("*") if file.is_file()]
    assert (deleted.files, deleted.bytes) == (61, sum(sizes))
    assert [entry.path for entry in shell.sdk.ls("/admin")] == ["/admin/keep"]


def test_a_folder_that_cannot_be_read_is_said(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(LocalFileFailed):
        shell.sdk.put_tree(tmp_path / "nowhere", "/admin/t")


def test_a_lost_cluster_ends_it(tree: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from_nowhere = Shell.client_of(f"http://127.0.0.1:{port}", patience_s=0.2)
    with from_nowhere as sdk, pytest.raises(PeerUnreachable):
        sdk.put_tree(tree, "/admin/t")


def test_a_lost_majority_ends_it(shell: Shell, tree: Path) -> None:
    with Shell.client_of(shell.connection.peers[0], patience_s=0.5) as sdk:
        sdk.mkdir("/admin/t", parents=True)
        shell.door.cluster.log.refuse_with = QuorumLost()
        with pytest.raises(QuorumLost):
            sdk.put_tree(tree, "/admin/t")
        shell.door.cluster.log.refuse_with = None
        assert sdk.put_tree(tree, "/admin/t").files == 61
