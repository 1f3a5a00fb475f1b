"""When everything else is gone, on real processes, in short. `make faults` runs the drills at length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import backup_restore, forced_cluster, lost_metadata
from tests.support.cluster import Cluster

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

MakeCluster = Callable[..., Cluster]
SEED = 20_261_130
FILES = 26


async def test_a_tree_comes_back_from_the_disks_when_all_metadata_is_gone(make_cluster: MakeCluster) -> None:
    report = await lost_metadata.run(make_cluster(), rounds=1, seed=SEED, files=FILES)
    report.verify()


async def test_a_backup_in_a_new_cluster_is_the_same_tree(make_cluster: MakeCluster) -> None:
    report = await backup_restore.run(make_cluster(), rounds=1, seed=SEED, files=FILES)
    report.verify()
    assert len(report.taken_away) == 1


async def test_a_survivor_goes_on_alone_and_the_lost_ones_stay_out(make_cluster: MakeCluster) -> None:
    report = await forced_cluster.run(make_cluster(), rounds=1, seed=SEED, files=FILES)
    report.verify()
