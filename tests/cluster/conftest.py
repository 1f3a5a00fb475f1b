"""A fresh cluster of three real nodes for each test that asks; its processes end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """`make_cluster(nodes=3, **keys of the config's cluster section)`: started and ready."""
    made: list[Cluster] = []

    def make(nodes: int = 3, **settings: Any) -> Cluster:
        cluster = Cluster(tmp_path / f"cluster{len(made)}", nodes=nodes, cluster=settings)
        made.append(cluster)
        cluster.start_ready()
        return cluster

    yield make
    for cluster in made:
        cluster.kill_all()
