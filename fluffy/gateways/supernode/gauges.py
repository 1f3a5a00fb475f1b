"""What a supernode counts, beside its requests, in Prometheus' form."""

from __future__ import annotations

from fluffy.core.federation.coverage import ClusterState
from fluffy.gateways.supernode.desk import SupernodeDesk


def gauges_of(desk: SupernodeDesk) -> dict[str, tuple[str, float]]:
    """Name -> (what it is, value)."""
    followers = desk.clusters.followers
    states = [desk.clusters.coverage(name) for name in followers]
    oldest = [desk.clock.now_ms() - one.fresh_as_of_ms for one in states if one.fresh_as_of_ms is not None]
    return {
        "supernode_clusters": ("Clusters that are joined.", len(followers)),
        "supernode_clusters_fresh": ("Of these, the ones whose names are level.",
                                     sum(one.state is ClusterState.FRESH for one in states)),
        "supernode_clusters_reachable": ("Of these, the ones that answer.",
                                         sum(follower.is_reachable for follower in followers.values())),
        "supernode_lag_events": ("Changes known and not followed yet.", sum(one.lag for one in states)),
        "supernode_oldest_seconds": ("Age of the least fresh cluster's names.", max(oldest, default=0) / 1000),
        "supernode_rows_mended": ("Rows that differed from their cluster and were made right, since the start.",
                                  sum(follower.rows_mended for follower in followers.values())),
        "supernode_rows_rejected": ("Rows that were none and were set aside, since the start.",
                                    sum(follower.rejects for follower in followers.values())),
        "supernode_owed": ("Copies and deletions that are owed to clusters.", desk.orders.count()),
        "supernode_owed_aside": ("Of these, the ones that wait for a cluster that is not joined (any more).",
                                 sum(desk.copier.aside().values())),
        "supernode_owed_done": ("Of these, carried out since the start.", desk.copier.carried_out),
        "supernode_owed_given_up": ("Of these, given up since the start; /v1/owed says why.", desk.copier.given_up),
        "supernode_cache_bytes": ("Bytes of files that are kept.", desk.cache.kept_bytes),
        "supernode_cache_hits": ("Blocks of files that were served from the cache, since the start.", desk.cache.hits),
        "supernode_cache_misses": ("Blocks of files that were fetched, since the start.", desk.cache.misses),
        "supernode_redirects": ("Requests that were sent on to a peer, since the start.", desk.redirects),
        "supernode_fallbacks": ("Reads that another cluster's copy answered, since the start.", desk.fallbacks)}
