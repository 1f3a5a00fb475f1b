"""One scrape tells what all processes of a node count, whatever state they are in."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

from fluffy.gateways.native.metrics import PAGE_KEPT_S
from fluffy.wire.metric_families import FAMILIES
from tests.support import processes
from tests.support.cluster import Cluster

MakeCluster = Callable[..., Cluster]
SAMPLE = re.compile(r"^(?P<name>[a-z0-9_]+)\{(?P<labels>.*)\} (?P<value>\S+)$")


def scrape(cluster: Cluster, name: str) -> dict[str, dict[str, float]]:
    """Values by metric and labels."""
    status, headers, body = cluster.request(name, "GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[str, float]] = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match is not None, line
            found.setdefault(match["name"], {})[match["labels"]] = float(match["value"])
    return found


def up(cluster: Cluster, name: str) -> dict[str, float]:
    return {re.sub(r'.*process="([^"]*)".*', r"\1", labels): value
            for labels, value in scrape(cluster, name)["fluffy_process_up"].items()}


def test_one_scrape_tells_what_all_processes_count_and_no_dead_one_fails_it(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(nodes=1, workers=2)

    def puts(number: int) -> bool:
        return cluster.request("one", "PUT", f"/v1/files/admin/f{number}", b"x" * 100_000)[0] == 201

    for number in range(20):
        cluster.wait_until(lambda number=number: puts(number), 20.0, "a file is stored")
    everybody = {"log": 1.0, "keeper": 1.0, "gateway-0": 1.0, "gateway-1": 1.0}
    cluster.wait_until(lambda: up(cluster, "one") == everybody, 20.0, "all processes tell")

    told = scrape(cluster, "one")
    stored = sum(value for labels, value in told["fluffy_http_request_duration_seconds_count"].items()
                 if 'method="PUT"' in labels and 'status="201"' in labels)
    assert stored == 20, "whichever gateway answered the PUT, and whichever the scrape"
    assert sum(told["fluffy_log_commands_total"].values()) >= 20
    assert sum(told["fluffy_log_fsync_duration_seconds_count"].values()) >= 1
    assert set(told["fluffy_cluster_files"].values()) == {20.0}
    assert set(told["fluffy_log_is_leader"].values()) == {1.0}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in FAMILIES else name for name in told}
    assert families <= FAMILIES.keys()

    for kind in ("keeper", "log"):
        pid = cluster.pid_of("one", kind)
        processes.signal_all([pid], signal.SIGSTOP)
        try:
            time.sleep(2 * PAGE_KEPT_S)
            began_s = time.monotonic()
            frozen = up(cluster, "one")
            assert frozen == everybody | {kind: 0.0}
            assert time.monotonic() - began_s < 4.0
        finally:
            processes.signal_all([pid], signal.SIGCONT)
    processes.signal_all([cluster.pid_of("one", "keeper")], signal.SIGKILL)
    assert set(up(cluster, "one")) == set(everybody)
    cluster.wait_until(lambda: up(cluster, "one") == everybody, 20.0, "the keeper is back")
