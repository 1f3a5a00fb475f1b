"""`server.py NAME`: how it refuses to start, and what it would start."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fluffy.apps import server as server_program
from fluffy.apps.local_config import Wanted, prepare_config
from fluffy.apps.server import child_specs
from fluffy.apps.settings import load
from fluffy.base.errors import StartRefused

ROOT = Path(__file__).resolve().parents[2]
_CONFIG = """\
cluster: {name: alpha, replication: 1, secret_file: s, workers: 3}
nodes:
  one: {host: 127.0.0.1, http: 1, raft: 2, data: 3, dir: d1}
  two: {host: 127.0.0.1, http: 4, raft: 5, data: 6, dir: d2}
"""


def server(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "server.py"), *arguments], capture_output=True, text=True,
                          timeout=60, check=False, cwd=folder, env=os.environ | environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds the config of two nodes. None of the tests gets as far as starting one."""
    (tmp_path / "config.yaml").write_text(_CONFIG)
    return tmp_path


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    """The one sentence with which a start is refused."""
    ended = server(folder, *arguments, **environment)
    assert ended.returncode == 78, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    return lines[0]


def hold_ports(folder: Path) -> None:
    """Make the first start fail at its ports, after it has made the folder's identity, on any machine."""
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("127.0.0.1", "192.0.2.1"))  # documentation addresses: nobody's


def test_an_unknown_name_is_refused_with_the_nearest(folder: Path) -> None:
    assert "config.yaml has no node 'on'; did you mean one?" in refusal(folder, "on")


def test_a_misspelt_key_is_refused_with_its_line_and_the_nearest(folder: Path) -> None:
    (folder / "config.yaml").write_text(_CONFIG.replace("workers", "wokers"))
    assert "config.yaml line 1: unknown key cluster.wokers; did you mean workers?" in refusal(folder, "one")


def test_without_a_config_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path, "one", FLUFFY_CONFIG="gone.yaml")
    assert "gone.yaml" in refusal(tmp_path, "one", "--config", "gone.yaml")


def test_an_address_that_cannot_be_used_is_named(folder: Path) -> None:
    hold_ports(folder)
    sentence = refusal(folder, "one")
    assert re.search(r"node one cannot use 192\.0\.2\.1:1 \(its http port\): .+; stop the program", sentence)
    assert not (folder / "d1/server.pid").exists()


def test_the_s3_port_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateways share it among themselves, so they would share it with those of another cluster as well."""
    monkeypatch.setattr(server_program, "PORT_WAIT_S", 0.0)
    node = load(prepare_config(tmp_path, Wanted(1, None, None, with_supernode=False))).node("one")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(StartRefused, match=rf"cannot use 127\.0\.0\.1:{taken} \(its s3 port\)"):
            server_program.check_ports_free(replace(node, http=0, raft=0, data=0, s3=taken))
    server_program.check_ports_free(replace(node, http=0, raft=0, data=0, s3=None))


def test_another_node_s_folder_is_refused(folder: Path) -> None:
    hold_ports(folder)
    refusal(folder, "one")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("d1", "tmp").replace("d2", "d1").replace("tmp", "d2"))
    assert "belongs to node 'one', not to 'two'" in refusal(folder, "two")


def test_another_cluster_s_secret_is_refused(folder: Path) -> None:
    hold_ports(folder)
    refusal(folder, "one")
    assert "another cluster secret" in refusal(folder, "one", FLUFFY_CLUSTER_SECRET="ab" * 32)


def test_a_folder_that_cannot_be_made_is_refused(folder: Path) -> None:
    (folder / "d1").write_text("a file")
    assert "cannot be made or used" in refusal(folder, "one")


def test_who_joins_needs_the_secret_of_the_cluster_first(folder: Path) -> None:
    assert "copy it from a node that has it" in refusal(folder, "one", "--join", "127.0.0.1:7101")
    assert not list(folder.glob("*.secret")) and not (folder / "d1/node.json").exists()


def test_wrong_usage_is_two(folder: Path) -> None:
    assert server(folder).returncode == 2


def test_one_gateway_has_the_data_port_and_all_read_the_same_config(folder: Path) -> None:
    settings = load(folder / "config.yaml")
    specs = child_specs(settings, settings.node("two"))
    assert [(spec.name, spec.stage) for spec in specs] == [
        ("log", 2), ("gateway-0", 0), ("gateway-1", 0), ("gateway-2", 0), ("keeper", 1)]
    assert [spec.name for spec in specs if "--data-port" in spec.argv] == ["gateway-0"]
    assert all(spec.argv[3:6] == ("two", "--config", str(folder / "config.yaml")) for spec in specs)


def test_a_supernode_without_a_section_says_what_is_missing(tmp_path: Path) -> None:
    path = prepare_config(tmp_path, Wanted(1, None, None, with_supernode=False))
    ended = subprocess.run([sys.executable, str(ROOT / "supernode.py"), "--config", str(path)], capture_output=True,
                           text=True, timeout=60, check=False, cwd=tmp_path)
    assert ended.returncode == 78
    assert "has no section supernode" in ended.stderr
