"""node.json: a folder is one node's, of one cluster, under one secret, for good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluffy.apps.identity import (
    Identity,
    load_or_create_identity,
    record_cluster_uuid,
    record_log,
    refuse_lost_log,
)
from fluffy.apps.reset_node import reset_node
from fluffy.apps.settings import load
from fluffy.base.errors import IdentityMismatch, StartRefused
from fluffy.base.ids import ClusterUuid

_CONFIG = """\
cluster: {name: NAME, replication: 1, secret_file: SECRET}
nodes:
  one: {host: 127.0.0.1, http: 1, raft: 2, data: 3, dir: ONE}
  two: {host: 127.0.0.1, http: 4, raft: 5, data: 6, dir: TWO}
"""


def identity(folder: Path, node: str = "one", **changes: str) -> Identity:
    text = _CONFIG
    for word, value in ({"NAME": "alpha", "SECRET": "s", "ONE": "1", "TWO": "2"} | changes).items():
        text = text.replace(word, value)
    (folder / "config.yaml").write_text(text)
    settings = load(folder / "config.yaml")
    return load_or_create_identity(settings, settings.node(node))


def test_it_is_made_once_and_stays(tmp_path: Path) -> None:
    first = identity(tmp_path)
    assert first == identity(tmp_path)
    assert first.cluster_uuid is None
    assert first.disk_uuid != identity(tmp_path, "two").disk_uuid
    assert json.loads((tmp_path / "1/node.json").read_text()).keys() == {
        "format", "name", "disk_uuid", "cluster_uuid", "cluster", "secret_check"}


def test_it_does_not_hold_the_secret(tmp_path: Path) -> None:
    identity(tmp_path)
    assert (tmp_path / "s").read_text().strip() not in (tmp_path / "1/node.json").read_text()


def test_another_node_s_folder_is_refused(tmp_path: Path) -> None:
    identity(tmp_path)
    with pytest.raises(IdentityMismatch, match="belongs to node 'one', not to 'two'"):
        identity(tmp_path, "two", ONE="2", TWO="1")


def test_another_cluster_s_secret_is_refused(tmp_path: Path) -> None:
    identity(tmp_path)
    identity(tmp_path, "two", SECRET="other")
    with pytest.raises(IdentityMismatch, match="another cluster secret"):
        identity(tmp_path, SECRET="other")


def test_another_cluster_s_name_is_refused(tmp_path: Path) -> None:
    identity(tmp_path)
    with pytest.raises(IdentityMismatch, match="belongs to the cluster 'alpha'"):
        identity(tmp_path, NAME="beta")


def test_a_lost_secret_is_not_made_anew_for_a_node_that_has_lived(tmp_path: Path) -> None:
    identity(tmp_path)
    (tmp_path / "s").unlink()
    with pytest.raises(StartRefused, match="copy it from a node that has it"):
        identity(tmp_path)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("trace", ["log", "meta.db", "chunks"])
def test_a_folder_with_data_but_without_a_name_is_refused(tmp_path: Path, trace: str) -> None:
    (tmp_path / "1" / trace).mkdir(parents=True)
    with pytest.raises(IdentityMismatch, match="holds a node's data"):
        identity(tmp_path)


def test_the_cluster_is_recorded_once_for_good(tmp_path: Path) -> None:
    identity(tmp_path)
    for _ in range(2):
        record_cluster_uuid(tmp_path / "1", ClusterUuid("u-1"))
    assert identity(tmp_path).cluster_uuid == "u-1"
    with pytest.raises(IdentityMismatch, match="UUID u-1"):
        record_cluster_uuid(tmp_path / "1", ClusterUuid("u-2"))


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"format": 1}', '{"format": "1"}', "\x00" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    identity(tmp_path)
    (tmp_path / "1/node.json").write_text(damage)
    with pytest.raises(IdentityMismatch, match="is damaged"):
        identity(tmp_path)


def test_a_newer_version_s_file_is_refused_by_that_reason(tmp_path: Path) -> None:
    identity(tmp_path)
    path = tmp_path / "1/node.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(IdentityMismatch, match="newer version"):
        identity(tmp_path)


def test_a_node_that_lost_its_log_must_not_go_on_and_one_that_has_none_yet_may(tmp_path: Path) -> None:
    record_cluster_uuid(_folder(tmp_path), ClusterUuid("u"))
    just_admitted = identity(tmp_path)
    refuse_lost_log(_folder(tmp_path), just_admitted)
    (_folder(tmp_path) / "log").mkdir()
    segment = _folder(tmp_path) / "log" / "000000000001.seg"
    segment.touch()
    record_log(_folder(tmp_path), just_admitted)
    refuse_lost_log(_folder(tmp_path), identity(tmp_path))
    segment.unlink()
    with pytest.raises(IdentityMismatch, match="reset-node one"):
        refuse_lost_log(_folder(tmp_path), identity(tmp_path))


def test_a_reset_node_is_a_newcomer_with_its_chunks(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    record_cluster_uuid(folder, ClusterUuid("u"))
    before = identity(tmp_path)
    for name in ("log/1.seg", "checkpoints/1.db", "chunks/ab/x", "manifests/u/y", "meta.1.db", "seed.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "meta.db").symlink_to("meta.1.db")
    settings = load(tmp_path / "config.yaml")
    aside, moved = reset_node(settings, settings.node("one"))
    after = identity(tmp_path)
    assert after.cluster_uuid is None and after.disk_uuid != before.disk_uuid and not after.has_log
    assert (folder / "chunks/ab/x").exists() and (folder / "manifests/u/y").exists()
    assert {"log", "checkpoints", "meta.db", "meta.1.db", "seed.json", "node.json"} == set(moved)
    assert not (folder / "log").exists() and (aside / "log/1.seg").exists()


def _folder(tmp_path: Path) -> Path:
    identity(tmp_path)
    return tmp_path / "1"
