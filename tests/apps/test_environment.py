"""The configuration as environment variables: the same settings as from a file, the same refusals, and a real node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fluffy.apps import health
from fluffy.apps import settings as settings_module
from fluffy.apps.environment import variable_of
from fluffy.apps.genesis import admin_token
from fluffy.apps.settings import ENVIRONMENT_KEYS, Settings, find_config, load
from fluffy.base.errors import ConfigIllegal
from fluffy.base.units import MIB
from tests.support.cluster import ROOT, free_address

SECRET = "ab" * 32
TOKEN = "a-token-that-the-operator-chose"
NODES = "one=10.0.0.1@a two=10.0.0.2:81:82:83:84 three=[::3]:81"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and an environment without any configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FLUFFY_")]:
        monkeypatch.delenv(name)


def loaded(monkeypatch: pytest.MonkeyPatch, **environ: str) -> Settings:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    return load()


def refusal(monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    with pytest.raises(ConfigIllegal) as caught:
        loaded(monkeypatch, **{"FLUFFY_CLUSTER_NAME": "alpha", "FLUFFY_NODES": NODES, **environ})
    return caught.value.message


def test_no_file_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = loaded(monkeypatch, FLUFFY_CLUSTER_NAME="alpha", FLUFFY_NODES=NODES)
    one, two, three = settings.nodes.values()
    assert (one.host, one.http, one.raft, one.data, one.s3, one.zone) == ("10.0.0.1", 7101, 7201, 7301, 7401, "a")
    assert (two.host, two.http, two.raft, two.data, two.s3, two.zone) == ("10.0.0.2", 81, 82, 83, 84, "two")
    assert (three.host, three.http, three.raft) == ("::3", 81, 7201)
    assert one.dir == tmp_path / "data/one" and not settings.from_file


def test_every_key_has_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("x")
    said = dict.fromkeys(ENVIRONMENT_KEYS, "1") | {
        "cluster.name": "beta", "cluster.chunk_size": "16MiB", "cluster.consistency": "local", "cluster.fsync": "false",
        "cluster.repair.mode": "quiet", "cluster.repair.down_after": "11s", "cluster.repair.grace": "3m",
        "cluster.cache_size": "64MiB", "cluster.supernodes": "http://s:1, http://t:2", "cluster.election": "2s",
        "cluster.checkpoint.entries": "500", "cluster.checkpoint.every": "7m", "cluster.s3_domain": "s3.example.org",
        "cluster.inline_max": "1KiB", "cluster.secret_file": "there/s", "cluster.admin_token_file": "there/t",
        "supernode.host": "0.0.0.0", "supernode.dir": "catalog", "supernode.catalog": "postgresql://u@h/d",
        "tls.cert": "pem", "tls.key": "pem", "tls.ca": "pem"}
    by_environment = loaded(monkeypatch, FLUFFY_NODES="one=h", FLUFFY_SUPERNODE_CLUSTERS="beta=http://h:1,http://i:2",
                            **{variable_of(key): text for key, text in said.items()})
    lines = ["nodes: {one: {host: h, http: 7101, raft: 7201, data: 7301, s3: 7401}}\nsupernode:\n"
             "  clusters: {beta: {peers: ['http://h:1', 'http://i:2'], token_file: data/beta.supernode.token}}\n"]
    lines += [f"  {key.rpartition('.')[2]}: {text}\n" for key, text in said.items() if key.startswith("supernode.")]
    for section in ("tls", "cluster"):
        lines.append(f"{section}:\n")
        lines += [f"  {key.removeprefix(section + '.')}: {text}\n" for key, text in said.items()
                  if key.startswith(section + ".") and key.count(".") == 1 and key != "cluster.supernodes"]
    lines.append("  supernodes: ['http://s:1', 'http://t:2']\n")
    for part in ("repair", "checkpoint"):
        lines.append(f"  {part}:\n")
        lines += [f"    {key.rpartition('.')[2]}: {text}\n" for key, text in said.items() if f".{part}." in key]
    for name in list(os.environ):
        if name.startswith("FLUFFY_"):
            monkeypatch.delenv(name)
    (tmp_path / "config.yaml").write_text("".join(lines))
    by_file = load()
    assert by_environment.cluster == by_file.cluster and by_environment.nodes == by_file.nodes
    assert by_environment.supernode == by_file.supernode and by_environment.tls == by_file.tls
    assert by_file.cluster.chunk_size == 16 * MIB


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "cluster: {name: alpha, repair: {mode: fast, grace: 1m}, replication: 1}\n"
        "nodes: {one: {host: 10.0.0.1, http: 1, raft: 2, data: 3, zone: z}}\n")
    settings = loaded(monkeypatch, FLUFFY_CLUSTER_REPAIR_MODE="quiet", FLUFFY_CLUSTER_TRASH_DAYS="3")
    assert (settings.cluster.repair_mode, settings.cluster.grace_ms, settings.cluster.trash_days) == (
        "quiet", 60_000, 3)
    assert settings.from_file and settings.nodes["one"].zone == "z"


@pytest.mark.parametrize(("name", "text", "said"), [
    ("FLUFFY_CLUSTER_REPLICATON", "3", "is no key of the configuration; did you mean FLUFFY_CLUSTER_REPLICATION?"),
    ("FLUFFY_CLUSTER_REPLICATION", "nine", "FLUFFY_CLUSTER_REPLICATION, cluster.replication: 'nine' is not a whole"),
    ("FLUFFY_CLUSTER_REPAIR_MODE", "slow", "FLUFFY_CLUSTER_REPAIR_MODE, cluster.repair.mode: 'slow' is not one of"),
    ("FLUFFY_TLS_CERT", "none.pem", "FLUFFY_TLS_CERT, tls.cert: the file"),
    ("FLUFFY_NODES", "one", "FLUFFY_NODES: 'one' is not like NAME=HOST"),
    ("FLUFFY_NODES", "one=h one=i", "FLUFFY_NODES: one stands there twice"),
    ("FLUFFY_NODES", "one=h:1:2:3:4:5", "more than four ports"),
    ("FLUFFY_NODES", "one=h:port", "FLUFFY_NODES, nodes.one.http: 'port' is not a whole number"),
    ("FLUFFY_SUPERNODE_CLUSTERS", "alpha", "FLUFFY_SUPERNODE_CLUSTERS: 'alpha' is not like NAME=URL,URL")])
def test_a_wrong_variable_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, text: str,
                                                 said: str) -> None:
    assert said in refusal(monkeypatch, **{name: text})


def test_without_nodes_in_the_environment_a_file_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_config() == ROOT / "config.yaml"
    monkeypatch.setenv("FLUFFY_NODES", NODES)
    assert find_config() is None
    monkeypatch.setenv("FLUFFY_CONFIG", "elsewhere.yaml")
    assert "elsewhere.yaml cannot be read" in refusal(monkeypatch)


def test_on_a_machine_that_is_set_up_its_configuration_is_found_from_everywhere(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_module, "__file__", str(tmp_path / "site-packages/fluffy/apps/settings.py"))
    monkeypatch.setattr(settings_module, "MACHINE_CONFIG", tmp_path / "machine.yaml")
    assert find_config() is None
    (tmp_path / "machine.yaml").write_text("")
    assert find_config() == tmp_path / "machine.yaml" and find_config(of_machine=False) is None
    (tmp_path / "config.yaml").write_text("")
    assert find_config() == Path("config.yaml")


def test_the_admin_s_token_may_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLUFFY_ADMIN_TOKEN", TOKEN)
    assert admin_token(tmp_path / "t") == TOKEN and not (tmp_path / "t").exists()
    for weak in ("short", "x" * 600, "with a space in the middle of it"):
        monkeypatch.setenv("FLUFFY_ADMIN_TOKEN", weak)
        with pytest.raises(ConfigIllegal, match="openssl rand"):
            admin_token(tmp_path / "t")


def test_a_node_starts_in_an_empty_folder_with_nothing_but_variables(tmp_path: Path) -> None:
    """As a container starts it: the same entry point, no file, no argument. Serves within 5 s on a quiet machine."""
    host = free_address()
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FLUFFY_NODE": "one", "FLUFFY_NODES": f"one={host}",
               "FLUFFY_CLUSTER_NAME": "alpha", "FLUFFY_CLUSTER_REPLICATION": "1", "FLUFFY_CLUSTER_SECRET": SECRET,
               "FLUFFY_ADMIN_TOKEN": TOKEN, "FLUFFY_CLUSTER_WORKERS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", *words], env=environ, cwd=tmp_path, capture_output=True, text=True,
                              check=False, timeout=30)

    with (tmp_path / "log").open("wb") as log, subprocess.Popen(
            [sys.executable, "-m", "fluffy.apps.server"], env=environ, cwd=tmp_path, stdout=log, stderr=log) as node:
        try:
            until_s = time.monotonic() + 60
            while run("fluffy.apps.health", "--ready").returncode != 0:
                assert time.monotonic() < until_s and node.poll() is None, (tmp_path / "log").read_text()[-2000:]
            environ["FLUFFY_TOKEN"] = TOKEN
            (tmp_path / "f").write_text("hello")
            done = run("fluffy.apps.client", "upload", "f", "/admin/f")
            assert done.returncode == 0, done.stderr
            assert run("fluffy.apps.client", "cat", "/admin/f").stdout == "hello"
        finally:
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0
    assert run("fluffy.apps.health").returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "f", "log"]


def test_health_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = CliRunner().invoke
    monkeypatch.setenv("FLUFFY_CLUSTER_NAME", "alpha")
    monkeypatch.setenv("FLUFFY_NODES", f"one={free_address()}:9")
    done = ask(health.main, ["oen"])
    assert done.exit_code == 1 and "did you mean one?" in done.output
    done = ask(health.main, [])
    assert done.exit_code == 1 and "FLUFFY_NODE" in done.output
    done = ask(health.main, ["one"])
    assert done.exit_code == 1 and "silent" in done.output
