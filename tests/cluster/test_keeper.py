"""What the keepers of a real cluster do by themselves: judge nodes, and make the copies that a node missed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.faults.bad_chunks import chunk_files, missing_copies
from tests.support.cluster import Cluster

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

MakeCluster = Callable[..., Cluster]


def states(cluster: Cluster, asked: str) -> dict[str, str]:
    """Published state by node name, as one node knows it."""
    return {node["name"]: node["state"] for node in cluster.json(asked, "/v1/nodes")["nodes"]}


def test_a_paused_node_is_avoided_and_taken_back(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    leader = cluster.leader()
    paused = next(name for name in cluster.names if name != leader)
    body = os.urandom(300_000)
    cluster.pause(paused)
    cluster.wait_until(lambda: states(cluster, leader)[paused] == "suspect", 10.0, "a paused node is suspect")
    began_s = time.monotonic()
    status, _, answer = cluster.request(leader, "PUT", "/v1/files/admin/meanwhile", body, timeout_s=20.0)
    assert status == 201, answer
    assert time.monotonic() - began_s < 5.0, "an upload does not wait for a suspect node"
    cluster.wait_until(lambda: states(cluster, leader)[paused] == "down", 15.0, "a paused node is down")
    cluster.resume(paused)
    cluster.wait_until(lambda: states(cluster, leader)[paused] == "up", 20.0, "a resumed node is up")
    assert {state for name, state in states(cluster, leader).items() if name != paused} == {"up"}
    cluster.wait_until(lambda: missing_copies(cluster, leader) == 0, 30.0, "the copy it missed is made")
    assert cluster.request(paused, "GET", "/v1/files/admin/meanwhile")[2] == body


def test_a_returning_node_gets_the_copies_that_it_missed(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(chunk_size="1MiB")
    leader = cluster.leader()
    away = next(name for name in cluster.names if name != leader)
    cluster.kill(away)
    before = chunk_files(cluster, away)
    for number in range(4):
        status, _, answer = cluster.request(leader, "PUT", f"/v1/files/admin/missed{number}", os.urandom(2_500_000),
                                            timeout_s=20.0)
        assert status == 201, answer
    assert missing_copies(cluster, leader) == 12
    cluster.start_ready(away)
    cluster.wait_until(lambda: missing_copies(cluster, leader) == 0, 40.0, "the missed copies are made")
    assert len(chunk_files(cluster, away) - before) == 12


def test_the_keeper_ends_cleanly_and_is_restarted_when_killed(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(nodes=1)
    cluster.wait_until(lambda: bool(cluster.log_lines("one", "keeper.started")), 10.0, "the keeper works")
    first = cluster.pid_of("one", "keeper")
    os.kill(first, 9)
    cluster.wait_until(lambda: any(kind == "keeper" and pid != first for pid, kind in cluster.pids("one").items()),
                       10.0, "the supervisor starts the keeper again")
    cluster.wait_until(lambda: len(cluster.log_lines("one", "keeper.started")) == 2, 10.0, "the keeper works again")
    assert cluster.stop("one") == [0]
    assert len(cluster.log_lines("one", "keeper.stopped")) == 1
