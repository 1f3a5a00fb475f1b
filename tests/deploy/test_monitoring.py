"""Dashboards and alert rules look at metrics that exist, and each metric is told by somebody."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.make_dashboards import files
from fluffy.wire.metric_families import FAMILIES
from tests.support.promql import grouping_labels, labels_of, mistakes, selectors

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
RULES = ROOT / "deploy/prometheus/fluffy.rules.yml"


def targets() -> Iterator[tuple[str, str, str]]:
    """(panel, expression, legend) of all dashboards."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard: dict[str, Any] = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{dashboard['title']}: {panel['title']}", target["expr"], target["legendFormat"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_the_dashboards_are_those_of_their_program() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert written == files(), "write them anew: python deploy/grafana/make_dashboards.py"


@pytest.mark.parametrize("title, expr, legend", list(targets()))
def test_a_panel_looks_at_what_is_told(title: str, expr: str, legend: str) -> None:
    assert selectors(expr) and not list(mistakes(expr)), title
    known = set().union(*(labels_of(one.name) or set() for one in selectors(expr)))
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (grouping_labels(expr) or known), f"{title}: the legend shows what the expression drops"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_looks_at_what_is_told_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert not list(mistakes(rule["expr"]))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description"}
    known = set().union(*(labels_of(one.name) or set() for one in selectors(rule["expr"])))
    shown = set(re.findall(r"\$labels\.(\w+)", "".join(rule["annotations"].values())))
    assert shown <= (grouping_labels(rule["expr"]) or known)


@pytest.mark.parametrize("expr, mistake", [
    ("fluffy_surprise_total > 0", "nobody tells fluffy_surprise_total"),
    ("fluffy_http_request_duration_seconds", "nobody tells fluffy_http_request_duration_seconds"),
    ('rate(fluffy_peer_errors_total{pear="two"}[5m])', "fluffy_peer_errors_total has no label pear"),
    ("sum by (worker) (fluffy_jobs_held)", "nothing in the expression has the label worker"),
    ("fluffy_jobs_held_bucket", "nobody tells fluffy_jobs_held_bucket")])
def test_mistakes_are_found(expr: str, mistake: str) -> None:
    assert list(mistakes(expr)) == [mistake]


def test_every_metric_is_told_by_some_program() -> None:
    """That it comes out at the other end, too, is seen by `python -m tests.deploy.prometheus`."""
    sources = "".join(path.read_text() for path in (ROOT / "fluffy").rglob("*.py") if path.name != "metric_families.py")
    prefixes = ("fluffy_cluster_", "fluffy_supernode_mirror_", "fluffy_supernode_", "fluffy_")
    silent = [name for name in FAMILIES if f'"{name}"' not in sources
              and not any(f'"{name.removeprefix(prefix)}"' in sources for prefix in prefixes)]
    assert silent == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt-get install prometheus)")
def test_the_alert_on_a_missing_leader_takes_nothing_else_for_one() -> None:
    done = subprocess.run(["promtool", "test", "rules", str(ROOT / "tests/deploy/rules.test.yml")], capture_output=True,
                          text=True, check=False, timeout=30.0)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_tell_every_alert() -> None:
    text = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(Fluffy\w+)` \|", text, re.MULTILINE))
    assert told == {rule["alert"] for rule in rules()}
