"""The promises of a cluster under violence, on real processes, in short. `make faults` runs the drills at length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import (
    all_kills,
    bad_chunks,
    bad_input,
    big_moves,
    killed_client,
    lagging_follower,
    leader_kills,
    linearizable,
    membership,
    minority,
    paused_node,
    real_input,
    whole_files,
)
from tests.support.cluster import Cluster

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

MakeCluster = Callable[..., Cluster]
SEED = 20_240_611
# The suite may run on a machine that does much else; the drills themselves hold the promised times.
SLACK = 3.0


async def test_a_killed_leader_costs_a_short_pause_and_no_acknowledged_write(make_cluster: MakeCluster) -> None:
    report = await leader_kills.run(make_cluster(), rounds=2, seed=SEED)
    report.verify(SLACK)
    assert len(report.killed) == 2


async def test_a_machine_joins_and_the_leader_is_removed_without_a_failed_request(make_cluster: MakeCluster) -> None:
    report = await membership.run(make_cluster(**membership.CLUSTER), rounds=1, seed=SEED, share=False, files=0,
                                  short=True)
    report.verify(SLACK)
    assert report.exit_codes == [78]


async def test_all_nodes_killed_at_once_lose_nothing_even_during_a_checkpoint(make_cluster: MakeCluster) -> None:
    report = await all_kills.run(make_cluster(**all_kills.CLUSTER), rounds=3, seed=SEED)
    report.verify(SLACK)


async def test_the_last_node_serves_reads_flagged_stale_and_refuses_writes_soon(make_cluster: MakeCluster) -> None:
    report = await minority.run(make_cluster(), rounds=1, seed=SEED)
    report.verify(SLACK)


async def test_damaged_chunks_are_set_aside_served_right_and_made_again(make_cluster: MakeCluster) -> None:
    report = await bad_chunks.run(make_cluster(**bad_chunks.CLUSTER), rounds=1, seed=SEED)
    report.verify(SLACK)


async def test_a_follower_behind_a_compacted_log_catches_up_from_a_checkpoint(make_cluster: MakeCluster) -> None:
    report = await lagging_follower.run(make_cluster(**lagging_follower.CLUSTER), rounds=1, seed=SEED, files=1_000)
    report.verify(SLACK)


async def test_real_files_come_back_equal_through_every_node(make_cluster: MakeCluster) -> None:
    report = await real_input.run(make_cluster(), rounds=1, seed=SEED, large_mib=48)
    report.verify(SLACK)
    assert report.compared > 3 * len(real_input.SPECIAL)


async def test_an_upload_whose_client_and_a_node_are_killed_goes_on_where_it_was(make_cluster: MakeCluster) -> None:
    report = await killed_client.run(make_cluster(), rounds=1, seed=SEED, mib=300)
    report.verify(SLACK)
    assert (report.kills, report.compared) == (2, 3)


async def test_bad_input_is_refused_and_leaves_nothing_behind(make_cluster: MakeCluster) -> None:
    report = await bad_input.run(make_cluster(), rounds=1, seed=SEED)
    report.verify(SLACK)


async def test_all_that_many_do_at_once_while_nodes_are_killed_has_one_order(make_cluster: MakeCluster) -> None:
    report = await linearizable.run(make_cluster(**linearizable.CLUSTER), rounds=2, seed=SEED, trees=2)
    report.verify(SLACK)
    assert report.operations > 200


async def test_lines_of_many_writers_are_whole_and_readers_see_old_or_new(make_cluster: MakeCluster) -> None:
    report = await whole_files.run(make_cluster(**whole_files.CLUSTER), rounds=1, seed=SEED, lines=6, reads=100,
                                   updates=10)
    report.verify(SLACK)


async def test_a_folder_of_many_files_moves_at_once_and_nobody_sees_a_half(make_cluster: MakeCluster) -> None:
    report = await big_moves.run(make_cluster(), rounds=1, seed=SEED, files=2_000, moves=20, listings=200)
    report.verify(SLACK)


async def test_readers_hardly_notice_a_node_that_stands_still(make_cluster: MakeCluster) -> None:
    report = await paused_node.run(make_cluster(nodes=4, **paused_node.CLUSTER), rounds=1, seed=SEED, seconds=5)
    report.verify(SLACK)
