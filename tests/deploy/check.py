"""Asks the validators of the files in deploy/, as many as are here, and says which are not.

    python -m tests.deploy.check          (make deploycheck)

compose: `docker compose config`, and the schema of the Compose specification (package check-jsonschema); the chart:
what Helm (package helm-python-sdk) makes of it is held against the schemas of Kubernetes (package kubernetes-validate);
the units: `systemd-analyze verify`. The packages are the extra `deploy`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm/fluffy"
GIVEN = {"FLUFFY_CLUSTER_SECRET": "ab" * 32, "FLUFFY_ADMIN_TOKEN": "t" * 43, "GRAFANA_PASSWORD": "p"}
# Of Kubernetes: the oldest that the chart says, and a new one.
VERSIONS = ("1.27", "1.34")
VARIANTS: tuple[dict[str, Any], ...] = (
    {}, {"tlsSecret": "t", "antiAffinity": "preferred", "replicas": 5, "existingSecret": "s",
         "persistence": {"storageClass": "local"}, "nodeSelector": {"disk": "ssd"}, "podAnnotations": {"a": "b"}},
    {"cluster": {"keys": {"cluster.repair.mode": "fast"}}, "tolerations": [{"key": "k", "operator": "Exists"}]})
# In a process of its own: Helm is a library of another language there.
_RENDER = """
import json, sys
from helm_python.chart import Chart
made = Chart.load(sys.argv[1]).render(json.loads(sys.argv[2]), name="store", namespace="files")
with open(sys.argv[3], "w") as file:
    file.write("\\n".join(f"---\\n{text}" for name, text in made.items() if not name.endswith(".txt")))
"""


class Missing(Exception):
    """A validator is not on this machine."""


def main() -> None:
    failed = False
    for check in (compose_by_docker, compose_by_schema, chart_by_helm, units_by_systemd):
        name = check.__name__.replace("_", " ")
        try:
            problems = list(check())
        except Missing as missing:
            print(f"--    {name}: not checked, {missing} is not here")
            continue
        failed = failed or bool(problems)
        print("\n".join([f"{'WRONG' if problems else 'ok   '} {name}", *problems]))
    sys.exit(1 if failed else 0)


def compose_by_docker() -> Iterator[str]:
    if _run(_program("docker"), "compose", "version").returncode != 0:
        raise Missing("docker compose")
    yield from _problems(_run("docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"))


def compose_by_schema() -> Iterator[str]:
    _package("check_jsonschema")
    yield from _problems(_run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
                              str(DEPLOY / "compose.yaml")))


def chart_by_helm() -> Iterator[str]:
    _package("helm_python")
    _package("kubernetes_validate")
    with tempfile.TemporaryDirectory() as folder:
        for number, values in enumerate(VARIANTS):
            made = Path(folder) / f"values{number}.yaml"
            rendered = _run(sys.executable, "-c", _RENDER, str(CHART), json.dumps(values), str(made))
            yield from _problems(rendered)
            for version in VERSIONS if rendered.returncode == 0 else ():
                yield from _problems(_run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version,
                                          str(made)))
        refused = _run(sys.executable, "-c", _RENDER, str(CHART), '{"replicas": 1}', str(Path(folder) / "none"))
        if "bornWith" not in refused.stderr:
            yield "a chart with fewer replicas than it is born with is not refused"


def units_by_systemd() -> Iterator[str]:
    """With a program that is here in the place of ours, and the user that installs make."""
    analyze = _program("systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted((DEPLOY / "systemd").glob("*.service")):
            text = "".join("ExecStart=/bin/true\n" if line.startswith("ExecStart=") else
                           f"{line.partition('=')[0]}=root\n" if line.startswith(("User=", "Group=")) else line
                           for line in file.read_text().splitlines(keepends=True))
            unit = Path(folder) / file.name.replace("@.", "@one.")
            unit.write_text(text)
            (Path(folder) / file.name).write_text(text)
            done = _run(analyze, "verify", str(unit))
            yield from [line for line in (done.stdout + done.stderr).splitlines() if file.stem in line]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(name)
    return found


def _package(name: str) -> None:
    if find_spec(name) is None:
        raise Missing(f"the Python package {name}")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **GIVEN}, timeout=300)


def _problems(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()[:40]


if __name__ == "__main__":
    main()
