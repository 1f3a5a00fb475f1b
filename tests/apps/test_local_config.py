"""The configuration that `fluffy up` writes, and when it refuses to take an existing one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluffy.apps.local_config import NAMES, Wanted, add_node, prepare_config
from fluffy.apps.settings import load
from fluffy.base.errors import ConfigIllegal
from fluffy.wire.iptable import parse_iptable

NOTHING = Wanted(None, None, None, with_supernode=True)


def test_names_ports_and_files_are_the_promised_ones(tmp_path: Path) -> None:
    path = prepare_config(tmp_path / "new", Wanted(5, 17_000, "beta", with_supernode=True))
    settings = load(path)
    assert path == tmp_path / "new/config.yaml"
    assert list(settings.nodes) == ["one", "two", "three", "four", "five"]
    five = settings.node("five")
    assert (five.http, five.raft, five.data, five.s3) == (17_105, 17_205, 17_305, 17_405)
    assert five.dir == tmp_path / "new/five"
    assert settings.cluster.name == "beta"
    assert settings.cluster.admin_token_file == tmp_path / "new/admin.token"
    assert settings.supernode is not None
    assert settings.supernode.http == 17_000
    addresses = parse_iptable((tmp_path / "new/iptable.txt").read_text())
    assert [(address.name, address.url) for address in addresses] == [
        (node.name, node.url) for node in settings.nodes.values()]


@pytest.mark.parametrize("nodes, replication, quorum", [(1, 1, 1), (2, 2, 2), (3, 3, 2), (7, 3, 2)])
def test_small_clusters_keep_as_many_copies_as_they_have_nodes(
        tmp_path: Path, nodes: int, replication: int, quorum: int) -> None:
    cluster = load(prepare_config(tmp_path, Wanted(nodes, None, None, with_supernode=False))).cluster
    assert (cluster.replication, cluster.write_quorum) == (replication, quorum)
    assert cluster.supernodes == ()


def test_more_nodes_than_a_cluster_is_born_with_are_left_to_join(tmp_path: Path) -> None:
    path = prepare_config(tmp_path, Wanted(9, 17_000, None, with_supernode=False))
    assert list(load(path).nodes) == list(NAMES[:7])
    for name in NAMES[7:9]:
        add_node(path, name)
    settings = load(prepare_config(tmp_path, Wanted(9, 17_000, None, with_supernode=False)))
    assert list(settings.nodes)[7:] == ["eight", "nine"] and settings.node("nine").http == 17_109


def test_an_existing_config_is_taken_as_it_is(tmp_path: Path) -> None:
    path = prepare_config(tmp_path, Wanted(1, None, None, with_supernode=False))
    path.write_text(path.read_text() + "# mine\n")
    before = path.read_text()
    assert prepare_config(tmp_path, NOTHING) == path
    assert prepare_config(tmp_path, Wanted(1, 7000, "alpha", with_supernode=True)) == path
    assert path.read_text() == before


@pytest.mark.parametrize("wanted, said", [
    (Wanted(3, None, None, with_supernode=True), "has 1 nodes, not 3"),
    (Wanted(None, 8000, None, with_supernode=True), "port 7101, not 8101"),
    (Wanted(None, None, "beta", with_supernode=True), "is the cluster alpha, not beta"),
])
def test_an_existing_config_of_another_kind_is_refused_and_kept(tmp_path: Path, wanted: Wanted, said: str) -> None:
    path = prepare_config(tmp_path, Wanted(1, None, None, with_supernode=False))
    before = path.read_text()
    with pytest.raises(ConfigIllegal, match=said):
        prepare_config(tmp_path, wanted)
    assert path.read_text() == before


def test_a_wrong_wish_leaves_no_config_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigIllegal, match="out of range"):
        prepare_config(tmp_path, Wanted(3, 65_400, None, with_supernode=False))
    assert list(tmp_path.glob("*.yaml*")) == []


def test_one_more_node_gets_a_line_ports_and_a_folder_like_the_others(tmp_path: Path) -> None:
    path = prepare_config(tmp_path, Wanted(3, 17_000, None, with_supernode=False))
    add_node(path, "four")
    four = load(path).node("four")
    assert (four.http, four.raft, four.data, four.dir) == (17_104, 17_204, 17_304, tmp_path / "four")
    assert "four    127.0.0.1:17104" in (tmp_path / "iptable.txt").read_text()
    with pytest.raises(ConfigIllegal, match="has a node four already"):
        add_node(path, "four")
    with pytest.raises(ConfigIllegal, match="is not a name"):
        add_node(path, "a b")


def test_a_node_joins_a_hand_written_configuration_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cluster: {name: alpha, replication: 1}\nnodes:\n"
                    "  one:   {host: 127.0.0.1, http: 7101, raft: 7201, data: 7301, dir: data/one}\n"
                    "tls: {cert: null}\n")
    add_node(path, "two")
    assert load(path).node("two").dir == tmp_path / "data/two"
