"""Where the client finds its peers and its token, and whom it gives the local admin's token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fluffy.apps.client import make_cli
from fluffy.apps.connecting import connect
from fluffy.apps.local_clusters import note_cluster
from fluffy.apps.local_config import Wanted, prepare_config
from fluffy.apps.node_lock import LOCK_NAME, PID_NAME
from fluffy.base.errors import ConfigIllegal, QuerySyntax
from fluffy.client.shell.session import ConnectOptions

ONE, TWO, THREE = (f"http://127.0.0.1:{port}" for port in (7101, 7102, 7103))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty present folder, and a user without a configuration of their own."""
    for name in ("FLUFFY_PEERS", "FLUFFY_TOKEN", "FLUFFY_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(here: Path) -> Path:
    file = prepare_config(here / "cluster", Wanted(3, None, None, with_supernode=False))
    (file.parent / "admin.token").write_text("local-admin\n")
    return file


def test_the_configuration_names_peers_and_token(config: Path) -> None:
    found = connect(ConnectOptions(config=config))
    assert found.peers == (ONE, TWO, THREE)
    assert found.token == "local-admin"


def test_a_peer_of_the_configuration_is_asked_first_and_knows_the_token(config: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUFFY_CONFIG", str(config))
    for text in ("127.0.0.1:7102", TWO):
        found = connect(ConnectOptions(peer=text))
        assert found.peers == (TWO, ONE, THREE)
        assert found.token == "local-admin"
    assert connect(ConnectOptions(peer="localhost:7102")).token == "local-admin"


def test_a_foreign_peer_never_gets_the_local_admins_token(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUFFY_CONFIG", str(config))
    for options in (ConnectOptions(peer="elsewhere:1"), ConnectOptions(peer="127.0.0.1:9999")):
        found = connect(options)
        assert len(found.peers) == 1
        assert found.token is None
    monkeypatch.setenv("FLUFFY_PEERS", "elsewhere:1,elsewhere:2")
    found = connect(ConnectOptions())
    assert found.peers == ("http://elsewhere:1", "http://elsewhere:2")
    assert found.token is None
    assert connect(ConnectOptions(token="mine")).token == "mine"
    assert connect(ConnectOptions(peer="elsewhere:1", config=config)).token == "local-admin", "said explicitly"


def test_iptable_wins_over_the_configuration(config: Path) -> None:
    config.with_name("iptable.txt").write_text("two 127.0.0.1:9102\none 127.0.0.1:7101\nthree 127.0.0.1:7103\n")
    assert set(connect(ConnectOptions(config=config)).peers) == {ONE, "http://127.0.0.1:9102", THREE}


def test_a_broken_configuration_matters_only_when_it_is_needed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("nonsense: 1\n")
    monkeypatch.setenv("FLUFFY_CONFIG", str(config))
    with pytest.raises(ConfigIllegal):
        connect(ConnectOptions())
    with pytest.raises(ConfigIllegal):
        connect(ConnectOptions(peer="elsewhere:1", config=config))
    assert connect(ConnectOptions(peer="elsewhere:1")).peers == ("http://elsewhere:1",)
    with pytest.raises(QuerySyntax):
        connect(ConnectOptions(peer="what is this"))


def test_an_iptable_alone_is_enough(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluffy.apps.connecting.find_config", lambda: None)
    assert connect(ConnectOptions()).peers == ()
    (here / "iptable.txt").write_text("# members\n10.0.0.1:7101\nb 10.0.0.2:7101\n")
    assert connect(ConnectOptions()).peers == ("http://10.0.0.1:7101", "http://10.0.0.2:7101")
    (here / "iptable.txt").write_text("nonsense\n")
    with pytest.raises(ConfigIllegal, match=r"iptable\.txt line 1"):
        connect(ConnectOptions())


def test_an_iptable_here_goes_before_the_source_trees_own_configuration(here: Path) -> None:
    assert connect(ConnectOptions()).peers == (ONE, TWO, THREE), "that of the source tree, whatever the folder"
    (here / "iptable.txt").write_text("10.0.0.1:7101\n")
    found = connect(ConnectOptions())
    assert found.peers == ("http://10.0.0.1:7101",) and found.token is None
    prepare_config(here, Wanted(1, 17_000, None, with_supernode=False))
    assert connect(ConnectOptions()).peers == ("http://127.0.0.1:17101",)


def test_up_and_down_stand_beside_the_shells_commands() -> None:
    assert {"up", "down", "ls", "upload"} <= set(make_cli().names)


def test_of_several_supernodes_at_one_address_the_one_that_runs_knows_its_operator(
        here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    keeps = []
    for name in ("older", "running", "newest"):
        config = prepare_config(here / name, Wanted(1, None, None, with_supernode=True))
        note_cluster(os.environ, config)
        keeps.append(here / name / "supernode.keep")
        (keeps[-1] / "run").mkdir(parents=True)
        (keeps[-1] / "operator.token").write_text(f"of-{name}\n")
    url = "http://127.0.0.1:7000"
    assert connect(ConnectOptions(peer="127.0.0.1:7101")).operators == {url: "of-newest"}
    (keeps[1] / PID_NAME).write_text(f"{os.getpid()}\n")
    with (keeps[1] / "run" / LOCK_NAME).open("w"):
        assert connect(ConnectOptions(peer="127.0.0.1:7101")).operators == {url: "of-running"}
