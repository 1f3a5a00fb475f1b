"""config.yaml: defaults, units, the sentences of its refusals, and iptable.txt beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fluffy.apps import settings as settings_module
from fluffy.apps.settings import check_for_birth, find_config, load
from fluffy.base.errors import ConfigIllegal
from fluffy.base.units import MIB

ROOT = Path(__file__).resolve().parents[2]
NODES = "".join(f"  {name}: {{host: 127.0.0.1, http: {7101 + i}, raft: {7201 + i}, data: {7301 + i}}}\n"
                for i, name in enumerate(("one", "two", "three")))


def config(folder: Path, cluster: str = "", nodes: str = NODES, rest: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(f"cluster:\n  name: alpha\n{cluster}nodes:\n{nodes}{rest}", encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigIllegal) as caught:
        load(path)
    return caught.value.message


def test_the_repository_s_own_config_is_good_and_names_every_key() -> None:
    own = load(ROOT / "config.yaml")
    assert list(own.nodes) == ["one", "two", "three"]
    assert own.cluster.secret_file == ROOT / "data/alpha.secret"
    written = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert tuple(sorted(written)) == tuple(sorted(settings_module.TOP_KEYS))
    assert set(written["cluster"]) == set(settings_module.CLUSTER_KEYS)
    assert set(written["cluster"]["repair"]) == set(settings_module.REPAIR_KEYS)
    assert set(written["cluster"]["checkpoint"]) == set(settings_module.CHECKPOINT_KEYS)
    assert all(set(node) == set(settings_module.NODE_KEYS) for node in written["nodes"].values())
    assert set(written["supernode"]) == set(settings_module.SUPERNODE_KEYS)
    assert set(written["tls"]) == set(settings_module.TLS_KEYS)


def test_the_repository_s_own_config_comments_every_key_of_the_cluster() -> None:
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    keys = (*settings_module.CLUSTER_KEYS, *settings_module.REPAIR_KEYS, *settings_module.NODE_KEYS)
    for key in keys:
        if key not in ("repair", "checkpoint"):
            assert any(line.strip().startswith(f"{key}:") and "#" in line for line in lines), key


def test_defaults_are_the_written_ones(tmp_path: Path) -> None:
    """A config that says only what it must means the same as the complete one."""
    for name in ("config.yaml", "iptable.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    complete = load(tmp_path / "config.yaml").cluster
    (tmp_path / "iptable.txt").unlink()
    short = load(config(tmp_path, "  supernodes: ['http://127.0.0.1:7000']\n  workers: 1\n")).cluster
    assert short == complete


def test_relative_folders_are_relative_to_the_config_and_not_to_where_one_stands(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    found = load(config(tmp_path, "  secret_file: s/x.secret\n"))
    assert found.nodes["one"].dir == tmp_path / "data/one"  # type: ignore[index]
    assert found.cluster.secret_file == tmp_path / "s/x.secret"
    assert found.cluster.admin_token_file == tmp_path / "s/x.admin.token"


@pytest.mark.parametrize("text, said", [
    ("  replicaton: 3\n", "line 3: unknown key cluster.replicaton; did you mean replication?"),
    ("  repair: {down_afer: 10s}\n", "did you mean down_after?"),
    ("  colour: red\n", "known are: name, replication"),
    ("  replication: 3\n  replication: 2\n", "stands twice (first in line 3)"),
    ("  replication: six\n", "'six' is not a whole number"),
    ("  replication: 6\n", "out of range: from 1 to 5"),
    ("  replication: true\n", "is not a whole number"),
    ("  write_quorum: 4\n", "4 copies cannot be waited for when replication makes only 3"),
    ("  replication: 2\n  write_quorum: 3\n", "makes only 2"),
    ("  chunk_size: 8 megs\n", "is not a size"),
    ("  chunk_size: 65MiB\n", "out of range: from 64.0 KiB to 64.0 MiB"),
    ("  chunk_size: 100001\n", "multiple of 4KiB"),
    ("  chunk_size: 64KiB\n  inline_max: 64KiB\n", "smaller than chunk_size"),
    ("  cache_size: 1MiB\n", "smaller than one chunk"),
    ("  consistency: storng\n", "did you mean strong?"),
    ("  fsync: maybe\n", "neither true nor false"),
    ("  fsync: \n  scrub_days: [1]\n", "here belongs a single value"),
    ("  repair: fast\n", "here belongs a map"),
    ("  repair: {down_after: 10}\n", "10 is not a time"),
    ("  repair: {down_after: 1ms}\n", "out of range: from 1s to 1h"),
    ("  supernodes: http://h:1\n", "here belongs a list"),
    ("  supernodes: [h:1]\n", "is not a URL"),
    ("  election: 2\n", "is not a time"),
    ("  secret_file: 1.5\n", "here belongs a text"),
    ("  secret_file: &a x\n  admin_token_file: *a\n", "aliases"),
    ("  secret_file: 'x\n", "this is not YAML"),
    ("  secret_file: !!python/object/apply:os.system ['true']\n", "here belongs a single value"),
    ("  ? [a]\n  : 1\n", "a key must be a plain word"),
])
def test_a_wrong_value_is_refused_by_line_and_sentence(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(config(tmp_path, text))
    assert said in message
    assert message.startswith("config.yaml")


@pytest.mark.parametrize("nodes, said", [
    ("  one: {host: 127.0.0.1, http: 1, raft: 2, data: 3, s3: 1}\n", "nodes.one.s3 and nodes.one.http are both"),
    ("  one: {host: localhost, http: 1, raft: 2, data: 3}\n  two: {host: 127.0.0.1, http: 4, raft: 2, data: 5}\n",
     "nodes.two.raft and nodes.one.raft are both 127.0.0.1:2"),
    ("  one: {host: 127.0.0.1, http: 1, raft: 2, data: 3, dir: x}\n"
     "  two: {host: 127.0.0.1, http: 4, raft: 5, data: 6, dir: x/y}\n", "overlap"),
    ("  one: {host: 127.0.0.1, http: 1, raft: 2}\n", "nodes.one.data is missing"),
    ("  one: {http: 1, raft: 2, data: 3}\n", "nodes.one.host is missing"),
    ("  one: {host: 'a b', http: 1, raft: 2, data: 3}\n", "is not a host"),
    ("  one: {host: 127.0.0.1, http: 70000, raft: 2, data: 3}\n", "out of range: from 1 to 65535"),
    ("  one: {host: 127.0.0.1, htp: 1, raft: 2, data: 3}\n", "did you mean http?"),
    ("  'o ne': {host: 127.0.0.1, http: 1, raft: 2, data: 3}\n", "is not a name"),
    ("  {}\n", "names neither nodes nor a supernode"),
])
def test_wrong_nodes_are_refused(tmp_path: Path, nodes: str, said: str) -> None:
    assert said in refusal(config(tmp_path, "  replication: 1\n", nodes=nodes))


@pytest.mark.parametrize("tls, said", [
    ("{cert: c.pem}", "cert and key go together"),
    ("{cert: c.pem, key: gone.pem}", "gone.pem does not exist"),
    ("{crt: c.pem}", "did you mean cert?"),
])
def test_half_a_certificate_is_refused(tmp_path: Path, tls: str, said: str) -> None:
    (tmp_path / "c.pem").touch()
    assert said in refusal(config(tmp_path, rest=f"tls: {tls}\n"))


def test_with_a_certificate_the_nodes_are_reached_by_https(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch()
    found = load(config(tmp_path, rest="tls: {cert: c.pem, key: k.pem}\n"))
    assert next(node.url for node in found.nodes.values()) == "https://127.0.0.1:7101"
    assert found.tls.key == tmp_path / "k.pem"


def unborn(path: Path) -> str:
    with pytest.raises(ConfigIllegal) as caught:
        check_for_birth(load(path))
    return caught.value.message


def test_a_cluster_is_not_born_with_fewer_nodes_than_copies_but_one_of_them_may_join_another(tmp_path: Path) -> None:
    message = unborn(config(tmp_path, "  replication: 5\n"))
    assert "5 copies need as many nodes, but there are 3" in message and "--join" in message


def test_more_than_seven_nodes_are_refused(tmp_path: Path) -> None:
    nodes = "".join(f"  n{i}: {{host: 127.0.0.{i}, http: 1, raft: 2, data: 3}}\n" for i in range(1, 9))
    assert "8 nodes; a cluster starts with at most 7" in unborn(config(tmp_path, nodes=nodes))


def test_an_unknown_node_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigIllegal, match="did you mean three"):
        load(config(tmp_path)).node("tree")


def test_iptable_wins_for_host_and_http_port_by_name(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "iptable.txt").write_text("two 127.0.0.2:9000\n")
    nodes = load(path).nodes
    assert (nodes["two"].host, nodes["two"].http, nodes["two"].raft) == ("127.0.0.2", 9000, 7202)  # type: ignore[index]
    assert nodes["one"].url == "http://127.0.0.1:7101"  # type: ignore[index]


def test_iptable_without_names_fits_the_nodes_in_order(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "iptable.txt").write_text("127.0.0.4:1\n127.0.0.1:7102\n127.0.0.6:3\n")
    assert [node.url for node in load(path).nodes.values()] == [
        "http://127.0.0.4:1", "http://127.0.0.1:7102", "http://127.0.0.6:3"]


@pytest.mark.parametrize("text, said", [
    ("oen 127.0.0.2:9000\n", "line 1: the configuration has no node 'oen'; did you mean one?"),
    ("127.0.0.2:9000\n", "not clear which node"),
    ("one 127.0.0.1:7102\n", "are both 127.0.0.1:7102"),
    ("one\n", "iptable.txt line 1"),
])
def test_an_iptable_that_fits_no_node_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = config(tmp_path)
    (tmp_path / "iptable.txt").write_text(text)
    assert said in refusal(path)


def test_the_file_is_found_by_environment_then_here_then_in_the_source_tree(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUFFY_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_config() == ROOT / "config.yaml"
    config(tmp_path)
    assert find_config() == Path("config.yaml")
    monkeypatch.setenv("FLUFFY_CONFIG", "/elsewhere/c.yaml")
    assert find_config() == Path("/elsewhere/c.yaml")
    assert "cannot be read" in refusal(find_config() or Path())


def test_a_supernode_s_own_config_needs_no_nodes(tmp_path: Path) -> None:
    rest = ("supernode: {host: 127.0.0.1, http: 7000, clusters: {beta: {peers: ['http://127.0.0.1:1/'], "
            "token_file: t}}}\n")
    supernode = load(config(tmp_path, nodes="  {}\n", rest=rest)).supernode
    assert supernode is not None
    assert supernode.clusters[0].peers == ("http://127.0.0.1:1",)
    assert supernode.clusters[0].token_file == tmp_path / "t"


@given(st.binary(max_size=300))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    assert refusal(path).startswith("config.yaml")


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (2 * MIB))
    assert "Is it the right file?" in refusal(path)
