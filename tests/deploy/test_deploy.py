"""The files in deploy/: what they start understands them. `python -m tests.deploy.check` asks their own validators."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluffy import __version__
from fluffy.apps.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GIVEN = {"FLUFFY_CLUSTER_SECRET": "ab" * 32, "FLUFFY_ADMIN_TOKEN": "t" * 43, "GRAFANA_PASSWORD": "p"}
NODES = ("one", "two", "three", "four", "five")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def settings_of(monkeypatch: pytest.MonkeyPatch, folder: Path, environ: dict[str, Any]) -> Settings:
    """What a program in a container makes of its variables. Raises ConfigIllegal."""
    for name in [name for name in os.environ if name.startswith("FLUFFY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    for name, text in environ.items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: GIVEN[match[1]], str(text)))
    return load()


@pytest.mark.parametrize("name", NODES)
def test_a_node_of_compose_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    service = compose()["services"][name]
    settings = settings_of(monkeypatch, tmp_path, service["environment"])
    assert settings.node(service["environment"]["FLUFFY_NODE"]).name == name
    assert list(settings.nodes) == list(NODES) and all(node.host == node.name for node in settings.nodes.values())
    assert settings.cluster.replication == 3 and settings.secret() == bytes.fromhex(GIVEN["FLUFFY_CLUSTER_SECRET"])
    published = {int(port.split(":")[-1]) for port in service.get("ports", ())}
    assert published <= {settings.nodes[one].http for one in settings.nodes} | {7401}
    assert service["volumes"] == [f"{name}:/var/lib/fluffy"], "its data outlives it"


def test_the_supernode_of_compose_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    supernode = settings_of(monkeypatch, tmp_path, compose()["services"]["supernode"]["environment"]).supernode
    assert supernode is not None and (supernode.host, supernode.http) == ("supernode", 7100)
    assert [cluster.peers for cluster in supernode.clusters] == [tuple(f"http://{name}:7101" for name in NODES)]


def test_compose_says_no_secret_and_opens_no_port_to_the_world() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    named = set(re.findall(r"\$\{(\w+)", text))
    example = re.findall(r"^(\w+)=$", (DEPLOY / "example.env").read_text(), re.MULTILINE)
    assert named == set(example)
    assert all(port.startswith("127.0.0.1:") for service in compose()["services"].values()
               for port in service.get("ports", ()))


@pytest.mark.parametrize("name", [*NODES, "supernode"])
def test_what_compose_runs_of_ours_is_locked_in(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 30, "gateways 15 s, keeper 5 s, log 10 s"


def test_the_image_runs_what_is_installed_as_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    scripts = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^ENTRYPOINT \["fluffy-server"\]$', text, re.MULTILINE) and "fluffy-server = " in scripts
    assert re.search(r'^HEALTHCHECK .*CMD \["fluffy-health"\]$', text, re.MULTILINE) and "fluffy-health = " in scripts
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / word).exists() for word in source.split())
        ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        assert all(f"!{word}" in ignored for word in source.split())


def test_the_chart_is_of_this_version_and_its_variables_are_keys(monkeypatch: pytest.MonkeyPatch,
                                                                  tmp_path: Path) -> None:
    chart = yaml.safe_load((DEPLOY / "helm/fluffy/Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    text = (DEPLOY / "helm/fluffy/templates/statefulset.yaml").read_text()
    named = set(re.findall(r"name: (FLUFFY_[A-Z_]+)", text))
    (tmp_path / "pem").write_text("x")
    example = {"FLUFFY_NODES": "fluffy-0=fluffy-0.fluffy-peers.default.svc.cluster.local", "FLUFFY_TLS_CERT": "pem",
               "FLUFFY_TLS_KEY": "pem", "FLUFFY_CLUSTER_REPLICATION": "1", "FLUFFY_CLUSTER_NAME": "alpha",
               "FLUFFY_CLUSTER_SECRET": "ab" * 32, "FLUFFY_ADMIN_TOKEN": "t" * 43, "FLUFFY_TOKEN": "t",
               "FLUFFY_NODE": "fluffy-0"}
    assert named - {"FLUFFY_"} == set(example)
    assert settings_of(monkeypatch, tmp_path, example).node("fluffy-0").scheme == "https"


@pytest.mark.parametrize(("file", "script"), [
    ("fluffy@.service", "fluffy-server"), ("fluffy-supernode.service", "fluffy-supernode")])
def test_a_unit_starts_what_is_installed_and_gives_it_time_to_drain(file: str, script: str) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / file)
    service = unit["Service"]
    assert service["ExecStart"].split()[0] == f"/opt/fluffy/bin/{script}"
    assert service["RestartPreventExitStatus"] == "78" and service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 30
    assert service["ProtectSystem"] == "strict" and service["NoNewPrivileges"] == "yes"
