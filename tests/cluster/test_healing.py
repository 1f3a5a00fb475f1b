"""A cluster that heals itself, in short, on real processes: rot, a node that returns, a node that is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import bit_rot, returning_node, slow_node
from tests.support.cluster import Cluster

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

MakeCluster = Callable[..., Cluster]
SEED = 20_240_611
# The suite may run on a machine that does much else; the drills themselves hold the promised times.
SLACK = 3.0


async def test_rot_is_found_by_the_scrub_and_healed(make_cluster: MakeCluster) -> None:
    report = await bit_rot.run(make_cluster(**bit_rot.CLUSTER), rounds=1, seed=SEED, bad=40)
    report.verify(SLACK)


async def test_a_returning_node_brings_nothing_back(tmp_path: Path) -> None:
    env = {"FLUFFY_KEEPER_OPTIONS": returning_node.KEEPER_OPTIONS}
    with Cluster(tmp_path / "cluster", cluster=returning_node.CLUSTER, env=env) as cluster:
        cluster.start_ready()
        report = await returning_node.run(cluster, rounds=1, seed=SEED, files=40)
    report.verify(SLACK)


def test_idle_nodes_take_the_work_of_a_slow_one(tmp_path: Path) -> None:
    """The slow node alone would need two seconds for each four of its share."""
    stealing = slow_node.repair(tmp_path, SEED, files=150, delay_s=0.2, slow=True, steals=True)
    share = stealing.jobs / (slow_node.NODES - 1)
    assert stealing.stolen > 0
    assert stealing.took_s < max(6.0, share / 4 * 0.2 * slow_node.SLOWER)
