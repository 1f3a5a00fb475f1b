"""The mirrors of a supernode, as its configuration says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from blake3 import blake3

from fluffy.apps.mirror_settings import MirrorPlace, MirrorSettings
from fluffy.apps.supernode_clusters import TokenFile
from fluffy.drivers.mirror_work import MirrorWork
from fluffy.gateways.supernode.joined import JoinedClusters
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_sides import Side


def mirrors_of(settings: Sequence[MirrorSettings], clusters: JoinedClusters, work: MirrorWork) -> tuple[Mirror, ...]:
    """Also forgets what was to be done for mirrors that are not named any more."""
    mirrors = tuple(
        Mirror(one.name, _side(clusters, one.source, one.source_token_file, one.name),
               _side(clusters, one.target, one.target_token_file, one.name), work, clusters.clock)
        for one in settings)
    work.forget_others([mirror.key for mirror in mirrors])
    return mirrors


def _side(clusters: JoinedClusters, place: MirrorPlace, token_file: Path, mirror: str) -> Side:
    return Side(clusters, place.cluster, place.bucket, _asker(TokenFile(
        token_file, f"no token for mirror {mirror} at {place.cluster}: write that of one of its users there")))


def _asker(token: Callable[[], str]) -> Callable[[], str]:
    return lambda: blake3(token().encode()).hexdigest()
