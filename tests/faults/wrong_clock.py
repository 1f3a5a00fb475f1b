"""One node's clock is set 30 years ahead, again and again: of a follower, of the leader, before a start.

    python -m tests.faults.wrong_clock                  (two minutes, most of it waiting for the leader to tidy)
    python -m tests.faults.wrong_clock --tidies 0       (in short)

Three real nodes, whose wall clocks are shifted as Python starts (`tests/support/wall_clocks.py`). The wrong one takes
writes all the time. Printed: how far that took the cluster's own time ahead; and whether what was in the trash before,
for seven days, can be had back at the end.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from fluffy.core.health.stamps import AHEAD_MAX_MS
from fluffy.core.metadata.commands import FEATURE_LEVEL
from tests.support.cluster import ROOT, Cluster, Surroundings
from tests.support.wall_clocks import WallClocks

YEARS_S = 30.0 * 365 * 86_400
PUTS = 20
SEEN_S = 2.0
# The keeper's rest between two rounds, and what a busy machine adds.
TIDY_S = 65.0
# This machine's own clock reads a little later than the nodes' did.
AHEAD_MAX_S = AHEAD_MAX_MS / 1000 + 2.0
KEPT = "/v1/files/admin/precious.txt"


class Around(Surroundings):
    def __init__(self, clocks: WallClocks) -> None:
        self._clocks = clocks

    def env(self, name: str) -> Mapping[str, str]:
        return self._clocks.env(name, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidies", type=int, default=1, help="how many rounds of tidying to wait for at the end")
    tidies = parser.parse_args().tidies
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as folder:
        run(Path(folder), tidies)
    print("promises kept")


def run(folder: Path, tidies: int) -> None:
    """Raises AssertionError when a promise was broken."""
    clocks = WallClocks(folder)
    with Cluster(folder / "cluster", around=Around(clocks)) as cluster:
        cluster.start_ready()
        cluster.wait_until(lambda: cluster.json("one", "/v1/status")["feature_level"] == FEATURE_LEVEL, 60, "the level")
        cluster.request("one", "PUT", KEPT, b"kept for seven days")
        assert cluster.request("one", "DELETE", KEPT)[0] == 200
        leader = cluster.leader()
        follower = next(name for name in cluster.names if name != leader)
        for name, role in ((follower, "a follower"), (leader, "the leader")):
            clocks.jump(name, YEARS_S)
            use(cluster, name, f"{role}'s clock is wrong")
            set_right(clocks, name)
        clocks.jump(follower, YEARS_S)
        cluster.stop(follower)
        cluster.start_ready(follower)
        use(cluster, follower, "a node is started with a wrong clock")
        set_right(clocks, follower)
        clocks.jump(leader, YEARS_S)
        for _ in range(tidies):
            time.sleep(TIDY_S)
        use(cluster, leader, f"the leader's is wrong for {tidies} rounds of tidying")
        wish = json.dumps({"path": "/admin/precious.txt"}).encode()
        status, _, body = cluster.request(follower, "POST", "/v1/undelete", wish)
        print(f"undelete: {status}")
        assert status == 200, body


def set_right(clocks: WallClocks, name: str) -> None:
    """Until all have heard it: two wrong clocks of three would be most of them."""
    clocks.jump(name, 0.0)
    time.sleep(SEEN_S)


def use(cluster: Cluster, name: str, what: str) -> None:
    """Write at the node whose clock is wrong, and see where that took log time."""
    for number in range(PUTS):
        status = cluster.request(name, "PUT", f"/v1/files/admin/{number}", b"x")[0]
        assert status in (200, 201), f"{name} answers {status}: {what}"
    time.sleep(SEEN_S)
    with closing(sqlite3.connect(f"file:{cluster.node_dir(name) / 'meta.db'}?mode=ro", uri=True)) as db:
        (log_ms,) = db.execute("SELECT clock_ms FROM state").fetchone()
    ahead_s = log_ms / 1000 - time.time()
    print(f"{what}: log time is {ahead_s:.1f} s ahead", flush=True)
    assert ahead_s < AHEAD_MAX_S, what


if __name__ == "__main__":
    main()
