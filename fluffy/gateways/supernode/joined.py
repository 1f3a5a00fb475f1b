"""The clusters that a supernode has joined, by name: followers that run, their clients, and what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluffy.base.errors import ClusterNotFound
from fluffy.core.federation.best import Candidate
from fluffy.core.federation.coverage import Coverage, coverage_of
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.ports import Clock
from fluffy.ports_federation import CatalogCluster
from fluffy.services.federation.follower import ClusterFollower
from fluffy.wire.conditions import rfc3339


@dataclass(slots=True)
class JoinedCluster:
    """`source`: `config`, or `joined` when it came by `fluffy admin federate`."""

    name: str
    source: str
    client: ClusterHttp
    follower: ClusterFollower
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class JoinedClusters:
    """Implements `services.federation.owed.Clusters`. `followers` is the same mapping for who needs only those."""

    clock: Clock
    by_name: dict[str, JoinedCluster] = field(default_factory=dict)
    followers: dict[str, ClusterFollower] = field(default_factory=dict)

    def add(self, cluster: JoinedCluster) -> None:
        self.by_name[cluster.name] = cluster
        self.followers[cluster.name] = cluster.follower

    def remove(self, name: str) -> JoinedCluster | None:
        self.followers.pop(name, None)
        return self.by_name.pop(name, None)

    def get(self, name: str) -> JoinedCluster:
        """Raises ClusterNotFound."""
        found = self.by_name.get(name)
        if found is None:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise ClusterNotFound(f"there is no cluster {name[:80]!r} here; known: {known}", cluster=name[:80])
        return found

    def mover(self, name: str) -> ClusterHttp | None:
        found = self.by_name.get(name)
        return None if found is None else found.client

    def is_reachable(self, name: str) -> bool:
        found = self.followers.get(name)
        return found is not None and found.is_reachable

    def reachable(self) -> list[str]:
        return [name for name, follower in self.followers.items() if follower.is_reachable]

    def names(self) -> list[str]:
        return list(self.by_name)

    def coverage(self, name: str) -> Coverage:
        return coverage_of(name, self.followers[name].contact, self.clock.monotonic_s())

    def candidates(self, names: Iterable[str]) -> list[Candidate]:
        """What `best` chooses from."""
        found = []
        for name in names:
            follower = self.followers.get(name)
            if follower is not None:
                facts = follower.facts
                found.append(Candidate(name, _whole(facts.get("free_bytes")), _real(facts.get("load")),
                                       follower.is_reachable and facts.get("majority") is not False))
        return found


def coverage_json(coverage: Coverage) -> dict[str, Any]:
    as_of = coverage.fresh_as_of_ms
    line: dict[str, Any] = {"cluster": coverage.cluster, "state": coverage.state.value,
                            "fresh_as_of": None if as_of is None else rfc3339(as_of), "lag": coverage.lag}
    return line | {"reason": coverage.reason} if coverage.reason else line


def cluster_json(cluster: JoinedCluster, coverage: Coverage, known: CatalogCluster | None,
                 as_whom: str | None, *, counts: bool) -> dict[str, Any]:
    """One cluster, as everybody who is known to any of them may see it. `counts`: also how much is in it."""
    facts: Mapping[str, Any] = cluster.follower.facts
    told = {name: facts.get(name) for name in ("leader", "nodes", "nodes_up", "free_bytes", "load")}
    told |= {name: facts.get(name) if counts else None for name in ("files", "bytes")}
    rows = None if not counts else 0 if known is None else known.rows
    return {**coverage_json(coverage), "name": cluster.name, "source": cluster.source,
            "reachable": cluster.follower.is_reachable, "rows": rows,
            "uuid": None if known is None else known.epoch, **told, "peers": list(cluster.client.peers),
            "you_are": as_whom}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _real(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
