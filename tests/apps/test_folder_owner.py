"""Acts of root on a node's folder leave nothing there that the node's own user could not use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.apps.folder_owner import as_owner_of
from fluffy.apps.identity import load_or_create_identity
from fluffy.apps.reset_node import reset_node
from fluffy.apps.settings import load
from tests.apps.test_settings import config

SOMEBODY = 10001


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where others than its owner may look (pytest's own folders are closed)."""
    with tempfile.TemporaryDirectory(prefix="fluffy-owner-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users' rights")
def test_root_resets_a_node_as_its_owner(open_folder: Path) -> None:
    settings = load(config(open_folder))
    node = settings.node("one")
    node.dir.mkdir(parents=True)
    load_or_create_identity(settings, node)
    for path in (node.dir, *node.dir.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    groups = os.getgroups()
    reset_node(settings, node)
    assert {path.lstat().st_uid for path in (node.dir, *node.dir.rglob("*"))} == {SOMEBODY}
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


def test_who_owns_the_folder_or_is_not_root_stays_who_one_is(tmp_path: Path) -> None:
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with as_owner_of(tmp_path):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == before
