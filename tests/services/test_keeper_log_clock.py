"""After one node's clock was an hour ahead for a moment, the keepers' pauses, graces and the trash go on."""

from __future__ import annotations

from pathlib import Path

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, Header, MakeFolder, SetFeatureLevel
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.log_clock import LogClock
from fluffy.services.keeper.tidy import Tidier
from tests.support.keeper_world import START_MS, ManualClock
from tests.support.local_log import BornCluster, born_cluster, genesis_command, header

HOUR_MS = 3_600_000


def log_ms(cluster: BornCluster) -> int:
    state = cluster.reader.read(queries.cluster_state)
    assert state is not None
    return state.clock_ms


async def test_an_idle_cluster_goes_on_in_log_time_after_a_jump_of_one_clock(tmp_path: Path) -> None:
    with born_cluster(tmp_path, genesis_command(at_ms=START_MS)) as cluster:
        cluster.log.apply(SetFeatureLevel(Header(RequestId(b""), START_MS, NodeNo(1), UserNo(0)), FEATURE_LEVEL))
        clock = ManualClock()
        leadership = Leadership(cluster.log, "one")
        await leadership.refresh()
        tidier = Tidier(NodeNo(1), leadership, cluster.log, cluster.reader, LogClock(clock, cluster.reader))
        await tidier.one_round()
        assert log_ms(cluster) == START_MS
        cluster.log.apply(MakeFolder(header(at_ms=START_MS + HOUR_MS), "admin/by-a-wrong-clock"))
        for _ in range(10):
            await tidier.one_round()
            clock.advance(60)
        await tidier.one_round()
        assert log_ms(cluster) >= START_MS + HOUR_MS + 9 * 60_000, "ten minutes went by"
