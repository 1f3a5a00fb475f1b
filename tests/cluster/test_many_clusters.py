"""The promises of a supernode under violence, on real processes, in short. The drills themselves are longer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults import lost_catalog, sick_clusters, supernode_kills
from tests.support.cluster import free_address
from tests.support.supernodes import PORT, land

# A drill waits for processes by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

SEED = 20_240_611
SLACK = 5.0


def test_search_over_the_healthy_does_not_wait_for_the_sick(tmp_path: Path) -> None:
    report = sick_clusters.run(tmp_path, clusters=4, files=10, searches=100, seed=SEED, ill_s=0.5)
    report.verify(SLACK)
    assert sorted(report.states.values()) == ["fresh", "stale", "stale", "stale"]


def test_a_killed_supernode_is_never_wrong_about_how_far_it_has_read(tmp_path: Path) -> None:
    with land(tmp_path, *supernode_kills.NAMES, replication=1, write_quorum=1) as world:
        report = asyncio.run(supernode_kills.run(world, rounds=3, files=200, seed=SEED))
    report.verify()


def test_nothing_wrong_is_told_while_the_catalog_is_lost_or_a_supernode_is_killed(tmp_path: Path) -> None:
    hosts = [free_address(), free_address()]
    with land(tmp_path, *lost_catalog.NAMES, replication=1, write_quorum=1,
              supernodes=[f"http://{host}:{PORT}" for host in hosts]) as world:
        for host in hosts:
            world.add_supernode(host)
        report = asyncio.run(lost_catalog.run(world, rounds=1, files=100, seed=SEED))
    report.verify(SLACK)
