"""What a log process tells of itself in the node's metrics."""

from __future__ import annotations

from fluffy.base.histogram import Histogram
from fluffy.drivers.raft.node import RaftNode
from fluffy.wire.metric_samples import Samples


def log_samples(node: RaftNode, fsync_times: Histogram, slow_turns: int) -> Samples:
    """On the log's own loop, in less than a millisecond."""
    raft = node.raft
    samples = Samples()
    gauges = {
        "process_up": 1, "log_is_leader": raft.is_leader, "log_has_leader": raft.leader_name is not None,
        "log_majority_connected": node.majority_connected(), "log_caught_up": node.caught_up, "log_term": raft.term,
        "log_commit_index": raft.commit_index, "log_applied_index": raft.last_applied,
        "log_checkpoint_index": node.checkpoints.newest_index or 0, "log_change_seq": node.store.machine.seq,
        "log_size_bytes": node.journal.log_bytes, "log_commands_waiting": node.proposals.waiting,
        "log_commands_total": node.counters["commands"], "log_slow_turns_total": slow_turns}
    for name, value in gauges.items():
        samples.add(f"fluffy_{name}", int(value))
    samples.add("fluffy_log_group_commands", node.proposals.sizes)
    samples.add("fluffy_log_commit_duration_seconds", node.proposals.times)
    samples.add("fluffy_log_fsync_duration_seconds", fsync_times)
    for event, count in sorted(node.counters.items()):
        samples.add("fluffy_log_events_total", count, event)
    for name in node.transport.peer_names():
        samples.add("fluffy_log_peer_connected", int(node.transport.is_up(name)), name)
        behind = node.behind(name)
        if behind >= 0:
            samples.add("fluffy_log_peer_behind_entries", behind, name)
    return samples
