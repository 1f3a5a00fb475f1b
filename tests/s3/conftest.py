"""Where the conformance cases run: before one door in this process, or (FLUFFY_S3_CLUSTER=1) all nodes of a cluster.

Cases use one boto3 client that asks the next node with every call, so what one node acknowledged another one must know.
"""

from __future__ import annotations

import itertools
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fluffy.services.s3_keys import KeyPair
from tests.client.shell_door import in_thread
from tests.s3.world import Turns, World
from tests.support.cluster import Cluster
from tests.support.s3_door import client, running_s3

IS_CLUSTER = os.environ.get("FLUFFY_S3_CLUSTER") == "1"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = _cluster if IS_CLUSTER else _one_door
    with opened(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def s3(world: World) -> Any:
    return world.s3


@pytest.fixture
def bucket(world: World, request: pytest.FixtureRequest) -> str:
    """A bucket of this case's own."""
    return world.new_bucket()


@pytest.fixture(scope="module")
def shared(world: World) -> str:
    """A bucket for all cases of a file, each with keys of its own."""
    return world.new_bucket()


def _world(urls: list[str], pair: KeyPair) -> World:
    return World(Turns([client(url, pair) for url in urls]),
                 Turns([client(url, pair, signature_version="s3v4") for url in urls]),
                 Turns([client(url, None) for url in urls]), pair, itertools.cycle(urls))


@asynccontextmanager
async def _door(folder: Path) -> AsyncIterator[tuple[str, KeyPair]]:
    async with running_s3(folder) as s3:
        yield s3.url, await s3.add_key("admin", "ADMINKEY")


@contextmanager
def _one_door(folder: Path) -> Iterator[World]:
    with in_thread(_door(folder)) as (url, pair):
        yield _world([url], pair)


@contextmanager
def _cluster(folder: Path) -> Iterator[World]:
    with Cluster(folder) as cluster:
        cluster.start_ready()
        yield _world(s3_urls(cluster), make_key(cluster))


def s3_urls(cluster: Cluster) -> list[str]:
    return [f"http://{cluster.host}:{7401 + number}" for number in range(len(cluster.names))]


def make_key(cluster: Cluster, access_key: str = "CONFORMANCEKEY",
             secret: str = "a-secret-of-forty-characters-or-about-so") -> KeyPair:
    request = urllib.request.Request(
        f"{cluster.urls()[0]}/v1/keys", json.dumps({"access_key": access_key, "secret": secret}).encode(),
        {"Authorization": f"Bearer {cluster.token}", "Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=20):
        return KeyPair(access_key, secret)
