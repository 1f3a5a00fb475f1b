"""`fluffy up` and `fluffy down` with real nodes, as a person would use them."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fluffy.apps import server
from fluffy.apps.local_cluster import check_ports, show_token
from fluffy.apps.local_config import Wanted, prepare_config
from fluffy.apps.local_nodes import end_processes, running_pid
from fluffy.apps.node_lock import is_alive
from fluffy.apps.settings import load

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("one", "two", "three")


def free_base_port() -> int:
    """A base port whose whole family of ports is free now."""
    for _ in range(50):
        base = random.randrange(10_000, 28_000)
        if all(is_free(base + offset + node) for offset in (101, 201, 301, 401) for node in range(3)):
            return base
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(command: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    code = f"from fluffy.apps.local_cluster import {command}_command; {command}_command()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=110,
                          check=False, input=stdin, cwd="/", env=os.environ | {"PYTHONPATH": str(ROOT)})


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A cluster's folder; whatever runs in it is ended afterwards."""
    yield tmp_path
    pids = [pid for name in NAMES if (pid := running_pid(tmp_path / name)) is not None]
    assert end_processes(pids) == []


def test_a_cluster_is_started_used_damaged_mended_and_ended(folder: Path) -> None:
    base = free_base_port()
    up = run("up", "--nodes", "3", "--dir", str(folder), "--base-port", str(base), "--no-supernode", "--detach")
    assert up.returncode == 0, up.stderr
    pids = {name: running_pid(folder / name) for name in NAMES}
    assert None not in pids.values()
    assert [status_of(base + 101 + node, "/readyz") for node in range(3)] == [200, 200, 200]
    assert stat.S_IMODE((folder / "admin.token").stat().st_mode) == 0o600

    again = run("up", "--dir", str(folder), "--detach")
    assert again.returncode == 0
    assert again.stderr.count("runs already") == 3

    os.kill(pids["two"] or 0, signal.SIGKILL)
    wait_gone(pids["two"] or 0)
    mended = run("up", "--node", "two", "--dir", str(folder), "--detach")
    assert mended.returncode == 0, mended.stderr
    assert status_of(base + 102, "/readyz") == 200
    assert running_pid(folder / "one") == pids["one"]

    down = run("down", "--dir", str(folder))
    assert down.returncode == 0, down.stderr
    assert "3 nodes stopped" in down.stdout
    assert [running_pid(folder / name) for name in NAMES] == [None, None, None]
    for name in NAMES:
        assert list((folder / name / "run").glob("*.pid")) == []
    assert "no node was running" in run("down", "--dir", str(folder)).stdout


def test_the_admins_token_is_found_beside_the_configuration_wherever_that_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cluster: {name: alpha, replication: 1}\n"
                    "nodes: {one: {host: 127.0.0.1, http: 7101, raft: 7201, data: 7301}}\n")
    settings = load(path)
    show_token(settings)
    assert not os.path.lexists(tmp_path / "admin.token"), "there is none yet"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/alpha.admin.token").write_text("secret\n")
    for _ in range(2):
        show_token(settings)
        assert (tmp_path / "admin.token").read_text() == "secret\n"
    assert os.readlink(tmp_path / "admin.token") == "data/alpha.admin.token"


def test_a_cluster_does_not_take_another_ones_nodes_for_its_own(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever listens there would answer /readyz, and the cluster be called up while its own nodes had ended."""
    monkeypatch.setattr(server, "PORT_WAIT_S", 0.0)
    settings = load(prepare_config(tmp_path, Wanted(2, free_base_port(), None, with_supernode=False)))
    check_ports(settings, ["one", "two"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.node("two").http))
        other.listen()
        check_ports(settings, ["one"])
        with pytest.raises(click.ClickException, match=r"node two cannot use .*its http port.* --base-port"):
            check_ports(settings, ["one", "two"])


def test_one_node_of_a_stopped_cluster_can_be_started_alone_and_waits_for_the_others(folder: Path) -> None:
    base = free_base_port()
    run("up", "--nodes", "3", "--dir", str(folder), "--base-port", str(base), "--no-supernode", "--detach")
    run("down", "--dir", str(folder))
    first = run("up", "--node", "one", "--dir", str(folder), "--detach")
    assert first.returncode == 0, first.stderr
    assert "waits until more than half" in first.stdout
    assert status_of(base + 101, "/readyz") == 503
    second = run("up", "--node", "three", "--dir", str(folder), "--detach")
    assert second.returncode == 0, second.stderr
    assert "node three is up" in second.stdout
    assert status_of(base + 103, "/readyz") == 200


def test_with_a_certificate_the_door_speaks_tls_and_the_client_checks_it(folder: Path) -> None:
    base = free_base_port()
    run("up", "--nodes", "1", "--dir", str(folder), "--base-port", str(base), "--no-supernode", "--detach")
    run("down", "--dir", str(folder))
    make_certificate(folder)
    config = folder / "config.yaml"
    plain = config.read_text()
    config.write_text(plain.replace("{cert: null, key: null, ca: null}", "{cert: c.pem, key: k.pem, ca: c.pem}"))
    up = run("up", "--dir", str(folder), "--detach")
    assert up.returncode == 0, up.stderr
    status = shell(folder, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["leader"] == "one"
    config.write_text(plain.replace("{cert: null, key: null, ca: null}", "{cert: c.pem, key: k.pem, ca: null}"))
    assert shell(folder, "status", "--json").returncode == 3


def make_certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fluffy test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    (folder / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def shell(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FLUFFY_CONFIG": str(folder / "config.yaml")}
    return subprocess.run([sys.executable, str(ROOT / "client.py"), *arguments], capture_output=True, text=True,
                          timeout=110, check=False, cwd="/", env=environment)


def test_a_taken_port_is_named_at_once_and_nothing_is_left_running(folder: Path) -> None:
    base = free_base_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", base + 202))
        other.listen(1)
        up = run("up", "--nodes", "3", "--dir", str(folder), "--base-port", str(base), "--no-supernode", "--detach")
    assert up.returncode == 1
    assert f"cannot use 127.0.0.1:{base + 202} (its raft port)" in up.stderr
    assert [running_pid(folder / name) for name in NAMES] == [None, None, None]


def test_leaving_the_repl_stops_the_cluster(folder: Path) -> None:
    base = free_base_port()
    up = run("up", "--nodes", "1", "--dir", str(folder), "--base-port", str(base), "--no-supernode", stdin="exit\n")
    assert up.returncode == 0, up.stderr
    assert running_pid(folder / "one") is None


@pytest.mark.parametrize("arguments, said", [
    (("--node", "tow"), "did you mean two?"),
    (("--nodes", "8"), "8"),
    (("--nodes", "2"), "has 3 nodes, not 2"),
])
def test_a_wrong_wish_is_refused_before_anything_starts(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    config = folder / "config.yaml"
    config.write_text("cluster: {name: alpha}\nnodes:\n" + "".join(
        f"  {name}: {{host: 127.0.0.1, http: {i}, raft: {i + 100}, data: {i + 200}, dir: {name}}}\n"
        for i, name in enumerate(NAMES, start=9000)))
    load(config)
    up = run("up", "--dir", str(folder), "--detach", *arguments)
    assert up.returncode != 0
    assert said in up.stderr
    assert not any((folder / name).exists() for name in NAMES)


def test_down_without_a_cluster_says_so(tmp_path: Path) -> None:
    down = run("down", "--dir", str(tmp_path))
    assert down.returncode == 1
    assert "no cluster here" in down.stderr


def wait_gone(pid: int) -> None:
    end_s = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_cluster_comes_up_with_its_supernode_which_finds_its_files_and_goes_with_it(folder: Path) -> None:
    base = free_base_port()
    while not is_free(base):
        base = free_base_port()
    keep = folder / "supernode.keep"
    up = run("up", "--nodes", "1", "--dir", str(folder), "--base-port", str(base), "--detach")
    try:
        assert up.returncode == 0, up.stderr
        assert "the supernode runs already" in run("up", "--dir", str(folder), "--detach").stderr
        token = (folder / "admin.token").read_text().strip()
        asked(base + 101, "PUT", "/v1/files/admin/zq-file", token, b"x")
        found = wait_found(base, token, "zq-file")
        assert found["coverage"][0]["state"] == "fresh" and found["hits"][0]["cluster"] == "alpha"
        for secret in (folder / "supernode.token", keep / "operator.token"):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600

        # The state may be thrown away while it runs; what is kept is not lost with it.
        shutil.rmtree(folder / "supernode")
        assert wait_found(base, token, "zq-file")["hits"][0]["path"] == "/admin/zq-file"
        down = run("down", "--dir", str(folder))
        assert down.returncode == 0, down.stderr
        assert running_pid(keep) is None and status_of_or_none(base) is None
    finally:
        pid = running_pid(keep)
        assert end_processes([] if pid is None else [pid]) == []


def asked(port: int, method: str, path: str, token: str, body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)
    finally:
        connection.close()


def wait_found(port: int, token: str, name: str) -> Any:
    """Ask the supernode until it has found the file. Until then it says that it does not know all."""
    end_s = time.monotonic() + 20
    while True:
        found = asked(port, "GET", f"/v1/search?q={name}", token)
        if found["hits"]:
            return found
        assert found["coverage"][0]["state"] != "fresh" or time.monotonic() < end_s - 15
        assert time.monotonic() < end_s, found
        time.sleep(0.05)


def status_of_or_none(port: int) -> int | None:
    try:
        return status_of(port, "/healthz")
    except OSError:
        return None
