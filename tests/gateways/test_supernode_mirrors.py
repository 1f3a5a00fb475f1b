"""GET /v1/mirrors: what a mirror tells, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fluffy.drivers.mirror_work import MirrorWork
from fluffy.services.federation import mirror as mirroring
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_sides import Side
from tests.support.asking import user_of
from tests.support.federation import asker_of
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import OPERATOR, SupernodeDoor, supernode_door, until


@asynccontextmanager
async def mirroring_door(folder: Path) -> AsyncIterator[SupernodeDoor]:
    """alpha:/docs is kept in beta:/docs, by tasks that run."""
    async with supernode_door(folder, "alpha", "beta") as door:
        await door.clusters["alpha"].admin.must("PUT", "/v1/files/docs/f", b"text")
        work = MirrorWork(folder / "mirrors")
        sides = [Side(door.desk.clusters, name, "docs", lambda: asker_of(ADMIN_TOKEN)) for name in ("alpha", "beta")]
        mirror = Mirror("docs", sides[0], sides[1], work, door.desk.clock)
        door.desk.mirrors = (mirror,)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mirror.run())
            yield door
            task.cancel()
        work.close()


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupernodeDoor]:
    monkeypatch.setattr(mirroring, "REST_FIRST_S", 0.02)
    monkeypatch.setattr(mirroring, "LOOK_EVERY_S", 0.02)
    async with mirroring_door(tmp_path) as running:
        await until(lambda: running.desk.mirrors[0].status().state == "level")
        yield running


async def test_a_mirror_tells_how_far_it_is(door: SupernodeDoor) -> None:
    [told] = (await door.must("GET", "/v1/mirrors", OPERATOR))["mirrors"]
    assert (told["from"], told["to"], told["state"], told["error"]) == ("alpha:/docs", "beta:/docs", "level", None)
    assert told["lag"] == {"seconds": 0.0, "changes": 0, "pending": 0} and told["fresh_as_of"]
    assert told["since_start"]["copied"] == 1 and told["failing"] == [] and told["kept_count"] == 0
    await door.clusters["beta"].admin.must("PUT", "/v1/files/docs/g", b"mine")
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/docs/g", b"other")
    await until(lambda: door.desk.mirrors[0].kept_count() == 1)
    [told] = (await door.must("GET", "/v1/status", ADMIN_TOKEN))["mirrors"]
    assert told["name"] == "docs"
    [told] = (await door.must("GET", "/v1/mirrors", ADMIN_TOKEN))["mirrors"]
    assert told["kept"][0]["path"] == "/docs/g" and told["kept"][0]["kept_as"].startswith("/docs/g.kept-1-")
    metrics = (await door.ask("GET", "/metrics", OPERATOR)).body.decode()
    assert 'fluffy_supernode_mirror_kept_files{mirror="docs",node="supernode"} 1' in metrics


async def test_a_cluster_that_is_away_is_told_and_waited_for(door: SupernodeDoor) -> None:
    await door.switch_off("beta")
    await until(lambda: door.desk.mirrors[0].status().state == "stopped")
    [told] = (await door.must("GET", "/v1/mirrors", OPERATOR))["mirrors"]
    assert told["error"] == "cluster beta does not answer now" and told["lag"]["seconds"] >= 0
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/docs/f", b"newer")
    await door.switch_on("beta")
    await until(lambda: door.desk.mirrors[0].files.counts.copied == 2)
    assert (await door.clusters["beta"].admin.ask("GET", "/v1/files/docs/f")).body == b"newer"


async def test_only_who_may_read_both_ends_sees_a_mirror(door: SupernodeDoor) -> None:
    for name in ("alpha", "beta"):
        user_of(door.clusters[name].door, "bob")
        assert (await door.must("GET", "/v1/mirrors", "bob"))["mirrors"] == []
        await door.clusters[name].admin.must("POST", "/v1/admin/grants", {
            "bucket": "docs", "user": "bob", "right": "read"})
    door.desk.askers._known.clear()
    assert len((await door.must("GET", "/v1/mirrors", "bob"))["mirrors"]) == 1
    assert len((await door.must("GET", "/v1/status", "bob"))["mirrors"]) == 1
