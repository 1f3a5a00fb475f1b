"""What a supernode counts, beside its requests."""

from __future__ import annotations

from fluffy.core.federation.coverage import ClusterState
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.services.federation.mirror import Mirror
from fluffy.wire.metric_samples import Samples


def tell_supernode(desk: SupernodeDesk, samples: Samples) -> None:
    """The values of the moment."""
    samples.add("fluffy_requests_running", desk.requests.taken, "requests")
    samples.add("fluffy_requests_refused_total", desk.requests.refused, "requests")
    samples.add("fluffy_requests_running", desk.transfers.taken, "transfers")
    samples.add("fluffy_requests_refused_total", desk.transfers.refused, "transfers")
    samples.add("fluffy_access_log_left_out_total", desk.access_log.left_out_ever)
    for name, value in (
            ("clusters", len(desk.clusters.followers)), ("owed", desk.orders.count()),
            ("owed_aside", sum(desk.copier.aside().values())),
            ("owed_done_total", desk.copier.carried_out), ("owed_given_up_total", desk.copier.given_up),
            ("cache_bytes", desk.cache.kept_bytes), ("cache_hits_total", desk.cache.hits),
            ("cache_misses_total", desk.cache.misses), ("redirects_total", desk.redirects),
            ("fallbacks_total", desk.fallbacks)):
        samples.add(f"fluffy_supernode_{name}", value)
    now_ms = desk.clock.now_ms()
    for name, follower in desk.clusters.followers.items():
        state = desk.clusters.coverage(name)
        samples.add("fluffy_supernode_cluster_reachable", int(follower.is_reachable), name)
        samples.add("fluffy_supernode_cluster_fresh", int(state.state is ClusterState.FRESH), name)
        samples.add("fluffy_supernode_cluster_lag_changes", state.lag, name)
        samples.add("fluffy_supernode_rows_loaded_total", follower.rows_loaded, name)
        samples.add("fluffy_supernode_rows_mended_total", follower.rows_mended, name)
        samples.add("fluffy_supernode_rows_rejected_total", follower.rejects, name)
        samples.add("fluffy_supernode_cluster_failures_total", follower.failures, name)
        if state.fresh_as_of_ms is not None:
            samples.add("fluffy_supernode_cluster_age_seconds", max(0, now_ms - state.fresh_as_of_ms) / 1000, name)
    for mirror in desk.mirrors:
        _tell_mirror(mirror, samples)


def _tell_mirror(mirror: Mirror, samples: Samples) -> None:
    status, counts = mirror.status(), mirror.files.counts
    for name, value in (
            ("level", int(status.state == "level")), ("stopped", int(status.state == "stopped")),
            ("lag_seconds", status.lag_ms / 1000), ("lag_changes", status.changes), ("pending", status.pending),
            ("copied_files_total", counts.copied), ("copied_bytes_total", counts.copied_bytes),
            ("deleted_files_total", counts.deleted), ("noticed_total", mirror.watch.noticed),
            ("kept_files", mirror.kept_count())):
        samples.add(f"fluffy_supernode_mirror_{name}", value, mirror.name)
