"""Which clusters have a file: the one that is named, its copies, the best ones for a new one.

A file that was put in several clusters carries the tag `fluffy-copies` with their names in each of them, so every
supernode knows from the names alone, and a rebuilt one knows again.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import AccessDenied, ClusterUnreachable, FileNotFound, FluffyError, NotEnoughCopies, NotFound
from fluffy.base.paths import RemotePath, parse_file_path
from fluffy.core.federation.best import best_clusters
from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.services.federation.askers import Asker

BEST = "@best"
COPIES_TAG = "fluffy-copies"
COPIES_MAX = 5


@dataclass(frozen=True, slots=True)
class Place:
    """A file's path in a cluster, and who asks for it there."""

    asker: Asker
    path: RemotePath

    @property
    def cluster(self) -> str:
        return self.asker.cluster

    def __str__(self) -> str:
        return f"{self.cluster}:{self.path}"


def split_place(call: Call) -> tuple[str, RemotePath]:
    """CLUSTER/BUCKET/NAME of the address. Raises NameIllegal."""
    cluster, _, text = call.tail.partition("/")
    return cluster, parse_file_path(text)


def hidden(cluster: str, path: RemotePath) -> NotFound:
    """The same words whether there is nothing or something that the asker may not know of."""
    return FileNotFound(f"there is no file {cluster}:{path} that you may see", cluster=cluster)


def unseen(error: FluffyError, place: Place) -> FluffyError:
    """A cluster's refusal, without its words where they may tell of a bucket that the asker must not know of."""
    if error.http_status not in (403, 404) or place.asker.sight.sees(place.path.text):
        return error
    if error.http_status == 404:
        return hidden(place.cluster, place.path)
    return AccessDenied(f"you may not change {place}", cluster=place.cluster)


def copies_of(row: CatalogRow | None) -> tuple[str, ...]:
    """The clusters that the file says it is in; empty: it says nothing."""
    return () if row is None else tuple(row.tags.get(COPIES_TAG, "").split())


async def row_at(desk: SupernodeDesk, cluster: str, path: RemotePath) -> CatalogRow | None:
    """What the catalog knows of the file; None: nothing, or a folder."""
    row = await entry_at(desk, cluster, path.text)
    return None if row is None or row.is_folder else row


async def entry_at(desk: SupernodeDesk, cluster: str, path: str) -> CatalogRow | None:
    """What the catalog knows of a file or folder; None: nothing."""
    known = next((one for one in await desk.catalog.clusters() if one.name == cluster), None)
    return None if known is None else await desk.catalog.find(known.number, path)


async def find_copies(desk: SupernodeDesk, call: Call, path: RemotePath, *, besides: str | None = None,
                      ) -> list[tuple[Place, CatalogRow]]:
    """Where the asker can get the file: what can be reached first, then the newest. What is owed there comes last.

    `besides`: a cluster that cannot give it; only those that it has its copies in count.
    """
    askers = await desk.askers_of(call)
    named = None if besides is None else copies_of(await row_at(desk, besides, path))
    found = []
    for name, asker in askers.items():
        if name == besides or (named is not None and name not in named) or not asker.sight.sees(path.text):
            continue
        row = await row_at(desk, name, path)
        if row is not None and (besides is None or besides in copies_of(row)):
            found.append((Place(asker, path), row))
    return sorted(found, key=lambda one: (_is_late(desk, one[0]), not desk.clusters.is_reachable(one[0].cluster),
                                          -one[1].modified_ms, one[0].cluster))


def _is_late(desk: SupernodeDesk, place: Place) -> bool:
    """Whether something newer is owed to what is there."""
    return desk.orders.is_owed(place.cluster, place.path.text)


async def places_to_write(desk: SupernodeDesk, call: Call, cluster: str, path: RemotePath, copies: int) -> list[Place]:
    """Where a file goes, the first that can take it in front. Raises NotEnoughCopies, AccessDenied, ClusterNotFound.

    A file that is there stays where it is, with all its copies.
    """
    askers = await desk.askers_of(call)
    names = await clusters_of(desk, call, cluster, path)
    if cluster == BEST and copies > len(names):
        free = [name for name, asker in askers.items() if name not in names and asker.role != "readonly"
                and await _is_free(desk, call, asker, path)]
        names += best_clusters(desk.clusters.candidates(free), call.body.length, copies - len(names))
    places = [Place(askers[name], path) for name in names]
    places.sort(key=lambda place: (not desk.clusters.is_reachable(place.cluster), _is_late(desk, place)))
    if places and desk.clusters.is_reachable(places[0].cluster):
        return places
    if cluster != BEST:
        raise ClusterUnreachable(f"cluster {cluster} does not answer now; nothing was written", cluster=cluster)
    raise NotEnoughCopies("no cluster that knows you has room and can be reached now; nothing was written")


async def _is_free(desk: SupernodeDesk, call: Call, asker: Asker, path: RemotePath) -> bool:
    """Whether nothing is there: what is there and no copy is somebody's file.

    In a bucket that is hidden from the asker nothing is free, so nobody learns what is in it.
    """
    if not asker.sight.sees(path.text) and await entry_at(desk, asker.cluster, path.bucket) is not None:
        now = await desk.askers.by_word_of_now(asker, call.deadline)  # the bucket may be new, and the asker's
        if not now.sight.sees(path.text):
            return False
    return await row_at(desk, asker.cluster, path) is None


async def clusters_of(desk: SupernodeDesk, call: Call, cluster: str, path: RemotePath) -> list[str]:
    """The named cluster and those with copies; for the best one: where the file is. Of those that know the asker."""
    askers = await desk.askers_of(call)
    if cluster == BEST:
        found = await find_copies(desk, call, path)
        if not found:
            return []
        cluster = found[0][0].cluster
    asker = await desk.asker_in(call, cluster)
    if not asker.sight.sees(path.text):
        return [cluster]
    return [cluster, *[name for name in askers if name != cluster and await _is_copy(desk, cluster, name, path)]]


async def _is_copy(desk: SupernodeDesk, one: str, other: str, path: RemotePath) -> bool:
    """Whether the files of the two clusters are one: each names the other, or this supernode made one of the other.

    What one side says alone is not believed: who may write here may not move others to change what is there.
    """
    if desk.orders.is_owed_between(one, other, path.text):
        return True
    return (other in copies_of(await row_at(desk, one, path))
            and one in copies_of(await row_at(desk, other, path)))
