"""Every metric that Fluffy tells, by name: what it means, its kind and its labels. A contract with whoever monitors.

The pages, the dashboards and the alert rules are checked against these tables, and what a process tells is refused
when it is not in them. Names follow Prometheus: base units at the end, `_total` for what only grows. Besides the labels
told here every sample has `node`, the name of the node (`supernode` for a supernode), and every one of the scope
`process` has `process`: `log`, `keeper`, `gateway-0`, …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fluffy.base.checks import invariant
from fluffy.base.histogram import NUMBERS, SECONDS, SHORT_SECONDS

Kind = Literal["counter", "gauge", "histogram"]
# `process`: each process tells its own. `node`: one value for the node. `supernode`: a supernode's.
Scope = Literal["process", "node", "supernode"]


@dataclass(frozen=True, slots=True)
class Family:
    """`buckets`: of a histogram, without the infinite one."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...]
    scope: Scope
    buckets: tuple[float, ...]

    @property
    def all_labels(self) -> tuple[str, ...]:
        own = ("node", "process") if self.scope == "process" else ("node",)
        return (*own, *self.labels)


def _family(scope: Scope, name: str, help_: str, *labels: str, buckets: tuple[float, ...] = ()) -> Family:
    kind: Kind = "histogram" if buckets else "counter" if name.endswith("_total") else "gauge"
    return Family(f"fluffy_{name}", help_, kind, labels, scope, buckets)


def _process(name: str, help_: str, *labels: str, buckets: tuple[float, ...] = ()) -> Family:
    return _family("process", name, help_, *labels, buckets=buckets)


def _node(name: str, help_: str, *labels: str) -> Family:
    return _family("node", name, help_, *labels)


def _supernode(name: str, help_: str, *labels: str) -> Family:
    return _family("supernode", name, help_, *labels)


PROCESS = (
    _process("process_up", "1 when the process told what it counts, 0 when it did not in time."),
    _process("process_start_time_seconds", "When the process began, in seconds since 1970."),
    _process("process_cpu_seconds_total", "Processor time that the process has used."),
    _process("process_resident_memory_bytes", "Memory of the process."),
    _process("process_open_fds", "Open files and connections of the process."),
)
REQUESTS = (
    _process("http_request_duration_seconds", "Time to answer requests, to the last byte; operations of the S3 door "
             "are routes like `s3 GetObject`.", "method", "route", "status", buckets=SECONDS),
    _process("http_sent_bytes_total", "Bytes of bodies sent.", "method", "route", "status"),
    _process("http_received_bytes_total", "Bytes of bodies received.", "method", "route", "status"),
    _process("http_connections", "Open connections of the HTTP door."),
    _process("requests_running", "What is being answered now, of what has a bounded number of places.", "kind"),
    _process("requests_refused_total", "Requests refused because all places of that kind were taken.", "kind"),
    _process("access_log_left_out_total", "Requests that got no line in the log because there were too many."),
)
GATEWAY = (
    _process("barriers_total", "Rounds that the log was asked for by strong reads."),
    _process("cache_hits_total", "Parts of files that were read from the memory of other nodes' chunks."),
    _process("cache_misses_total", "Parts of files that were not there and had to be fetched."),
    _process("cache_bytes", "Memory of other nodes' chunks that is kept now."),
    _process("cache_limit_bytes", "How much of it may be kept."),
    _process("upload_buffers_free", "Chunks of uploads for which there is memory now."),
    _process("data_port_connections", "Connections of other nodes to the data port."),
    _process("data_port_request_duration_seconds", "Time to answer other nodes' requests for chunks.", "operation",
             buckets=SHORT_SECONDS),
    _process("data_port_refused_total", "Background reads of other nodes that were put off because there were many."),
)
PEERS = (
    _process("peer_request_duration_seconds", "Time until another node answered, or the request failed.", "peer",
             "operation", buckets=SHORT_SECONDS),
    _process("peer_errors_total", "Requests to another node that failed, by the code of the error.", "peer", "error"),
)
LOG = (
    _process("log_is_leader", "1 when this node leads."),
    _process("log_has_leader", "1 when this node knows a leader."),
    _process("log_majority_connected", "1 when links to a majority of the voters are up."),
    _process("log_caught_up", "1 when the state of this node is as new as the leader's last word."),
    _process("log_term", "The term of the log; it grows with each election."),
    _process("log_commit_index", "The last entry that is known to be committed."),
    _process("log_applied_index", "The last entry that this node's state holds."),
    _process("log_checkpoint_index", "The last entry in this node's newest checkpoint."),
    _process("log_change_seq", "Position of the change feed on this node."),
    _process("log_size_bytes", "Size of the log's segments on the disk."),
    _process("log_commands_total", "Changes that this node has proposed, each for one request."),
    _process("log_commands_waiting", "Changes that wait for the next group."),
    _process("log_group_commands", "Changes that share one entry of the log.", buckets=NUMBERS),
    _process("log_commit_duration_seconds", "From handing a group to the log until it is applied here.",
             buckets=SHORT_SECONDS),
    _process("log_fsync_duration_seconds", "Time until the disk had the log's bytes.", buckets=SHORT_SECONDS),
    _process("log_slow_turns_total", "Turns of the log's loop that took longer than half a second."),
    _process("log_events_total", "What happened in the log, elections and rare paths among it, by name.", "event"),
    _process("log_peer_connected", "1 when the log's link to that node is up.", "peer"),
    _process("log_peer_behind_entries", "Entries that the other node has not acknowledged; only the leader knows.",
             "peer"),
)
KEEPER = (
    _process("repair_allowed_bytes_per_second", "Background bytes a second that this node may move now."),
    _process("repair_limit_bytes_per_second", "What the repair mode allows at most."),
    _process("repair_moved_bytes_total", "Background bytes that this node has moved."),
    _process("repair_slowdowns_total", "How often the rate was halved because users' requests were slow."),
    _process("scrub_chunks_total", "Copies that were read again."),
    _process("scrub_bytes_total", "Bytes of them."),
    _process("scrub_bad_total", "Bad copies that reading again has found."),
    _process("scrub_pass_done_ratio", "How far the scheduled pass is; 1 when it has ended."),
    _process("jobs_held", "Jobs that this node has leased and works on."),
    _process("jobs_ended_total", "Jobs that ended here: done, failed, or late (their lease had ended).", "end"),
    _process("jobs_stolen_total", "Jobs that this node has taken over from the queues of others."),
    _process("job_duration_seconds", "Time that jobs took.", "kind", buckets=SECONDS),
    _process("keeper_round_duration_seconds", "Time of the rounds of the keeper's loops.", "loop", buckets=SECONDS),
    _process("keeper_rounds_failed_total", "Rounds that the world did not let end.", "loop"),
    _process("inventory_passes_total", "Comparisons of disk and catalog that were ended."),
    _process("inventory_lost_total", "Copies that the catalog counted here and the disk did not have."),
)
NODE = (
    _node("node_info", "Always 1; what runs here.", "cluster", "version"),
    _node("disk_free_bytes", "Free bytes of the file system of the chunks."),
    _node("disk_size_bytes", "Size of the file system of the chunks."),
    _node("quarantined_files", "Damaged files that were set aside here."),
    _node("search_rows", "Names in the search index."),
    _node("search_ready", "1 when the search index is complete; while it is 0 searches are slow."),
    _node("search_behind_changes", "Changes that the search index has not followed yet."),
    _node("search_lag_seconds", "Age of the oldest of them."),
)
CLUSTER = (
    _node("cluster_files", "Files of the cluster, as this node's catalog knows it (so all of these)."),
    _node("cluster_bytes", "Bytes of these files."),
    _node("cluster_chunks", "Chunks of which files are made."),
    _node("cluster_chunk_bytes", "Bytes of them, each counted once."),
    _node("cluster_chunks_short", "Chunks of which the catalog knows fewer copies than wanted."),
    _node("cluster_chunks_living", "Chunks by their copies on nodes that answer: whole, short, endangered (one left), "
          "away (all with nodes that do not answer), lost.", "state"),
    _node("cluster_feature_level", "What all members can do."),
    _node("cluster_member_up", "1 when the member takes part, 0 when it is suspect, down or gone.", "member"),
    _node("cluster_member_voter", "1 when the member has a vote.", "member"),
    _node("cluster_member_chunks", "Copies that the catalog counts on the member.", "member"),
    _node("cluster_member_bytes", "Bytes of them.", "member"),
    _node("cluster_jobs_queued", "Jobs that wait in the member's queue.", "member"),
    _node("cluster_jobs_leased", "Jobs that the member works on.", "member"),
    _node("cluster_jobs_stuck", "Jobs of the member that failed too often.", "member"),
)
SUPERNODE = (
    _supernode("supernode_clusters", "Clusters that are joined."),
    _supernode("supernode_cluster_reachable", "1 when the cluster answers.", "cluster"),
    _supernode("supernode_cluster_fresh", "1 when the cluster's names are level.", "cluster"),
    _supernode("supernode_cluster_lag_changes", "Changes of the cluster that are known and not followed yet.",
               "cluster"),
    _supernode("supernode_cluster_age_seconds", "Age of the names of the cluster; absent before the first reading.",
               "cluster"),
    _supernode("supernode_rows_loaded_total", "Names that were taken over from the cluster.", "cluster"),
    _supernode("supernode_rows_mended_total", "Names that differed from their cluster and were made right.", "cluster"),
    _supernode("supernode_rows_rejected_total", "Names that were none and were set aside.", "cluster"),
    _supernode("supernode_cluster_failures_total", "Requests to the cluster that failed.", "cluster"),
    _supernode("supernode_owed", "Copies and deletions that are owed to clusters."),
    _supernode("supernode_owed_aside", "Of these, the ones that wait for a cluster that is not joined (any more)."),
    _supernode("supernode_owed_done_total", "Copies and deletions that were carried out."),
    _supernode("supernode_owed_given_up_total", "Copies and deletions that were given up; /v1/owed says why."),
    _supernode("supernode_cache_bytes", "Bytes of files that are kept."),
    _supernode("supernode_cache_hits_total", "Blocks of files that were served from the cache."),
    _supernode("supernode_cache_misses_total", "Blocks of files that were fetched."),
    _supernode("supernode_redirects_total", "Requests that were sent on to a peer."),
    _supernode("supernode_fallbacks_total", "Reads that another cluster's copy answered."),
    _supernode("supernode_mirror_level", "1 when the target is as the source.", "mirror"),
    _supernode("supernode_mirror_stopped", "1 when the mirror cannot go on now; /v1/mirrors says why.", "mirror"),
    _supernode("supernode_mirror_lag_seconds", "How long ago the target was as the source.", "mirror"),
    _supernode("supernode_mirror_lag_changes", "Changes of the source's cluster that are known and not followed yet.",
               "mirror"),
    _supernode("supernode_mirror_pending", "Files and folders that are still to be made alike.", "mirror"),
    _supernode("supernode_mirror_copied_files_total", "Files whose bytes were copied.", "mirror"),
    _supernode("supernode_mirror_copied_bytes_total", "Bytes that were copied.", "mirror"),
    _supernode("supernode_mirror_deleted_files_total", "Files that were removed at the target.", "mirror"),
    _supernode("supernode_mirror_noticed_total", "Changes at the target by others (or unclear) that were looked at.",
               "mirror"),
    _supernode("supernode_mirror_kept_files", "Files of others at the target that were set aside or left.", "mirror"),
)
# By what tells them, for docs/METRICS.md.
SECTIONS: Mapping[str, tuple[Family, ...]] = {
    "Processes": PROCESS, "Requests": REQUESTS, "The gateways": GATEWAY, "Other nodes": PEERS, "The log": LOG,
    "The keeper": KEEPER, "The node": NODE, "The cluster": CLUSTER, "The supernode": SUPERNODE}
FAMILIES: Mapping[str, Family] = {
    family.name: family for families in SECTIONS.values() for family in families}
invariant(len(FAMILIES) == sum(map(len, SECTIONS.values())), "each metric has a name of its own")
