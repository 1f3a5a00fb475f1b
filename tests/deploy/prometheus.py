"""Debian's Prometheus over a real cluster and its supernode: what we ship for it works.

    apt-get install prometheus
    python -m tests.deploy.prometheus

Three nodes and a supernode that mirrors a bucket to a second cluster are started, used, and scraped with the shipped
configuration (only addresses, tokens and times are the test's). `promtool` finds nothing wrong with rules and metrics;
every metric comes out; every expression of the dashboards has data; a node is killed and the alert fires; the mirror's
target is killed and its alert fires.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fluffy.wire.metric_families import FAMILIES
from tests.deploy.test_monitoring import targets
from tests.support.cluster import ROOT, Cluster
from tests.support.supernodes import joiner

SUPERNODE_PORT, PROMETHEUS_PORT = 7100, 7190
SHIPPED = ROOT / "deploy/prometheus"
RULES_TEST = ROOT / "tests/deploy/rules.test.yml"
# The shipped rules wait for minutes; the test's copy of them this long.
ALERT_FOR = "2s"
SCRAPE_EVERY = "2s"
WINDOW = "1m"
ALERT_WAIT_S = 30.0
DATA_WAIT_S = 30.0


class Watched:
    """A cluster, its supernode, and a Prometheus that watches both; everything ends with the context."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder, nodes=3, cluster={"workers": 2})
        self.beta = Cluster(folder.with_name("beta"), nodes=1, cluster={"name": "beta"})
        self.supernode = f"http://{self.cluster.host}:{SUPERNODE_PORT}"
        self.prometheus = f"http://{self.cluster.host}:{PROMETHEUS_PORT}"
        settings = yaml.safe_load(self.cluster.config.read_text())
        settings["supernode"] = {
            "host": self.cluster.host, "http": SUPERNODE_PORT, "dir": "supernode", "catalog": "sqlite",
            "clusters": {"drill": {"peers": self.cluster.urls(), "token_file": "drill.supernode.token"},
                         "beta": {"peers": self.beta.urls(), "token_file": "beta.supernode.token"}},
            "mirrors": {"copy": {"from": "drill:/admin", "to": "beta:/copy", "from_token_file": "drill.admin.token",
                                 "to_token_file": "beta.admin.token"}}}
        self.cluster.config.write_text(yaml.safe_dump(settings, sort_keys=False))

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.cluster, self.beta:
            self.cluster.start()
            self.beta.start_ready()
            self.cluster.wait_ready()
            self._write_tokens()
            with self._program("supernode", sys.executable, str(ROOT / "supernode.py"), "--config",
                               str(self.cluster.config)):
                self.cluster.wait_until(self._supernode_knows, 60.0, "the supernode knows the cluster")
                self._write_prometheus()
                with self._program("prometheus", "prometheus", "--config.file=prometheus.yml",
                                   "--storage.tsdb.path=tsdb",
                                   f"--web.listen-address={self.cluster.host}:{PROMETHEUS_PORT}"):
                    self.cluster.wait_until(lambda: self._answers(f"{self.prometheus}/-/ready"), 30.0, "Prometheus")
                    yield

    @contextmanager
    def _program(self, name: str, *argv: str) -> Iterator[None]:
        with (self.cluster.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, cwd=self.cluster.folder, env=self.cluster.env, stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _write_tokens(self) -> None:
        """With which the supernode asks beta, and the mirror reads and writes."""
        folder = self.cluster.folder
        for name, token in (("drill.admin", self.cluster.token), ("beta.admin", self.beta.token),
                            ("beta.supernode", asyncio.run(joiner(self.beta)))):
            (folder / f"{name}.token").write_text(token + "\n")
            (folder / f"{name}.token").chmod(0o600)

    def _write_prometheus(self) -> None:
        """The shipped files with this cluster's addresses and tokens, and without patience."""
        folder = self.cluster.folder
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": SCRAPE_EVERY, "evaluation_interval": SCRAPE_EVERY}
        nodes, supernodes = config["scrape_configs"]
        nodes["static_configs"] = [{"targets": [url.removeprefix("http://") for url in self.cluster.urls()]}]
        supernodes["static_configs"] = [{"targets": [self.supernode.removeprefix("http://")]}]
        for job, token in ((nodes, self.cluster.token), (supernodes, self.operator_token)):
            job["scrape_timeout"] = SCRAPE_EVERY
            (folder / job["authorization"]["credentials_file"]).write_text(token)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        rules = yaml.safe_load((SHIPPED / "fluffy.rules.yml").read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule.update({"for": ALERT_FOR} if "for" in rule else {})
        (folder / "fluffy.rules.yml").write_text(yaml.safe_dump(rules))

    def _supernode_knows(self) -> bool:
        return self._answers(f"{self.supernode}/readyz") and json.loads(
            self.get(f"{self.supernode}/readyz"))["built"] == 2

    def _answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    # -- asking

    @property
    def operator_token(self) -> str:
        return (self.cluster.folder / "supernode.keep/operator.token").read_text().strip()

    def get(self, url: str, token: str = "") -> bytes:
        """With the admin's token, redirects followed."""
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token or self.cluster.token}"})
        with urllib.request.urlopen(request, timeout=10.0) as answer:
            body: bytes = answer.read()
            return body

    def api(self, path: str, **parameters: str) -> Any:
        return json.loads(self.get(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]

    def has_data(self, expr: str) -> bool:
        for name, value in (("$job", ".+"), ("$node", ".+"), ("$__rate_interval", WINDOW)):
            expr = expr.replace(name, value)
        return any(not math.isnan(float(row["value"][1])) for row in self.api("query", query=expr)["result"])

    def firing(self) -> list[dict[str, str]]:
        return [alert["labels"] for alert in self.api("alerts")["alerts"] if alert["state"] == "firing"]

    def mirror_is_well(self) -> bool:
        mirror = json.loads(self.get(f"{self.supernode}/v1/mirrors", self.operator_token))["mirrors"][0]
        return mirror["state"] != "stopped" and not any("mirror" in alert for alert in self.firing())

    # -- using

    @contextmanager
    def used(self) -> Iterator[None]:
        """Somebody uses the nodes that run and the supernode, all the time."""
        ended = threading.Event()
        thread = threading.Thread(target=self._use, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _use(self, ended: threading.Event) -> None:
        number = 0
        while not ended.wait(0.5):
            number += 1
            path = f"/v1/files/admin/f{number % 20}"
            wishes = [("PUT", path, b"x" * 200_000), ("GET", path, None), ("GET", "/v1/search?q=f1", None),
                      ("GET", "/v1/nowhere", None)]
            if number % 10 == 1:
                wishes.append(("POST", "/v1/admin/scrub", b""))
            for name in self.cluster.running:
                for method, target, body in wishes:
                    try:
                        self.cluster.request(name, method, target, body, timeout_s=3.0)
                    except OSError:
                        continue  # it was killed meanwhile
            for target in ("/v1/search?q=f1", f"/v1/files/drill/admin/f{number % 20}?proxy=1", "/v1/clusters"):
                try:
                    self.get(self.supernode + target)
                except OSError:
                    continue


def promtool(*arguments: str, text: bytes = b"") -> None:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, check=False, timeout=30.0)
    if done.returncode != 0 or done.stderr.strip():
        raise AssertionError(f"promtool {' '.join(arguments)}:\n{(done.stdout + done.stderr).decode()}")


def check_pages(watched: Watched) -> int:
    """The metrics of each node and of the supernode; returns how many series there are."""
    series = 0
    for url in (*watched.cluster.urls(), watched.supernode):
        page = watched.get(f"{url}/metrics", watched.operator_token if url == watched.supernode else "")
        promtool("check", "metrics", text=page)
        series += sum(not line.startswith(b"#") for line in page.splitlines())
    return series


def wait_for_names(watched: Watched) -> None:
    """Every metric of docs/METRICS.md has come to Prometheus."""
    missing: list[str] = []

    def all_there() -> bool:
        names = set(watched.api("label/__name__/values"))
        missing[:] = [name for name, family in FAMILIES.items()
                      if (f"{name}_count" if family.kind == "histogram" else name) not in names]
        return not missing

    try:
        watched.cluster.wait_until(all_there, DATA_WAIT_S, "all metrics")
    except AssertionError as error:
        raise AssertionError(f"no data for {', '.join(missing)}") from error


def wait_for_panels(watched: Watched) -> int:
    empty = list(targets())
    count = len(empty)
    end_s = time.monotonic() + DATA_WAIT_S
    while empty and time.monotonic() < end_s:
        empty = [panel for panel in empty if not watched.has_data(panel[1])]
        time.sleep(0.5)
    assert not empty, "no data:\n" + "\n".join(f"{title}: {expr}" for title, expr, _ in empty)
    return count


def main() -> None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        sys.exit("this needs Prometheus: apt-get install prometheus")
    promtool("check", "rules", str(SHIPPED / "fluffy.rules.yml"))
    print("promtool check rules: clean")
    promtool("test", "rules", str(RULES_TEST))
    print("promtool test rules: as told")
    with tempfile.TemporaryDirectory(prefix="fluffy-prometheus-") as folder:
        watched = Watched(Path(folder) / "cluster")
        with watched.running(), watched.used():
            promtool("check", "config", str(watched.cluster.folder / "prometheus.yml"))
            leader = watched.cluster.leader()
            time.sleep(5.0)
            print(f"promtool check metrics: clean, {check_pages(watched)} series of 3 nodes and a supernode")
            early = [alert["alertname"] for alert in watched.firing()]
            assert "FluffyNoLeader" not in early, "the cluster has a leader all the time"
            print(f"firing before: {early}")
            killed = next(name for name in watched.cluster.names if name != leader)
            watched.cluster.kill(killed)
            address = watched.cluster.url(killed).removeprefix("http://")
            fired_s = watched.cluster.wait_until(
                lambda: any(alert["alertname"] == "FluffyNodeDown" and alert["instance"] == address
                            for alert in watched.firing()), ALERT_WAIT_S, "FluffyNodeDown")
            print(f"FluffyNodeDown fired {fired_s:.1f} s after {killed} was killed (the rule's copy waits {ALERT_FOR})")
            wait_for_names(watched)
            print("all metrics have come to Prometheus")
            print(f"all {wait_for_panels(watched)} expressions of the dashboards have data")
            watched.cluster.wait_until(
                lambda: any(alert["alertname"] == "FluffyMemberDown" and alert["member"] == killed
                            for alert in watched.firing()), ALERT_WAIT_S, "FluffyMemberDown")
            print("FluffyMemberDown fired too")
            watched.cluster.start_ready(killed)
            ended_s = watched.cluster.wait_until(
                lambda: not any(alert["alertname"] in ("FluffyNodeDown", "FluffyMemberDown")
                                for alert in watched.firing()), ALERT_WAIT_S, "the alerts end")
            print(f"both alerts ended {ended_s:.1f} s after {killed} was back")
            watched.cluster.wait_until(watched.mirror_is_well, ALERT_WAIT_S, "the mirror goes on")
            watched.beta.kill("one")
            fired_s = watched.cluster.wait_until(
                lambda: any(alert["alertname"] == "FluffyMirrorStopped" and alert["mirror"] == "copy"
                            for alert in watched.firing()), ALERT_WAIT_S, "FluffyMirrorStopped")
            print(f"FluffyMirrorStopped fired {fired_s:.1f} s after its target's cluster was killed")


if __name__ == "__main__":
    main()
