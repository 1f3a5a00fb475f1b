"""`admin`: backups and digests through the shell and a real door."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fluffy.core.metadata.backup import check_backup
from fluffy.core.metadata.tree_digest import tree_digest
from fluffy.drivers.backup_files import FOLDER_NAME
from tests.client.shell_door import Shell


def test_a_backup_is_one_file_that_holds_the_tree(shell: Shell) -> None:
    shell.sdk.put("/admin/a", b"one")
    shell.sdk.put("/admin/d/b", b"x" * 5000)
    assert shell("admin", "backup", "b.fluffy").code == 0
    with closing(sqlite3.connect("b.fluffy")) as db:
        label = check_backup(db)
        assert (label.cluster, label.files, label.bytes) == ("test", 2, 5003)
        told = shell("admin", "digest", "--json").json
        assert told["digest"] == tree_digest(db).digest and told["files"] == 2
    node_dir = shell.door.cluster.node_dir
    assert list((node_dir / FOLDER_NAME).iterdir()) == [], "nothing stays behind on the node"


def test_a_backup_does_not_replace_a_file_unless_told(shell: Shell) -> None:
    with open("b.fluffy", "w") as file:
        file.write("mine")
    assert shell("admin", "backup", "b.fluffy").code == 1
    with open("b.fluffy") as file:
        assert file.read() == "mine"
    assert shell("admin", "backup", "b.fluffy", "--force").code == 0


@pytest.mark.parametrize("words", [("backup",), ("digest", "x"), ("nonsense",), ()])
def test_wrong_usage_is_told(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell("admin", *words).code == 2
