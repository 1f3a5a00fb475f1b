"""The paths that a simulation is for: what seldom happens, and must be right when it does.

Each name is a counter, of the real code or of the simulation. A test shows that the seeds of the suite take every one
of them; one that is no longer taken is a hole in the proof, and wants a script.
"""

from __future__ import annotations

RARE_PATHS = (
    # death
    "kill", "power_off", "crash_at_disk_operation", "crash_at_file_fsync", "crash_during_checkpoint", "disk_tail_lost",
    "disk_tail_torn", "torn_tails_cut", "state_behind_its_log", "restored_from_checkpoint",
    # the network
    "streams_silent", "trouble_one_way", "trouble_isolate", "late_messages",
    # elections
    "became_leader", "pre_vote_refused", "vote_refused_sticky", "higher_term_seen", "append_of_older_term",
    "leadership_transferred",
    # the log
    "entries_truncated", "command_overwritten", "entries_already_held", "stale_ack_dropped", "stale_rewind_dropped",
    "rewind_by_ack_prevented", "log_segments_removed", "log_bodies_read_back",
    # checkpoints
    "checkpoint_made", "snapshot_sent", "snapshot_installed", "snapshot_not_newer", "snapshot_part_out_of_order",
    "log_resets",
    # clients
    "groups_NoLeader", "groups_ProposalLost", "retried_writes", "dedup_hits", "barrier_reads", "barriers_refused",
    "reads_confirmed_by_asking",
)

# The same, of a cluster whose members come and go.
GROWING_PATHS = (
    "admitted", "never_came", "GiveVote_done", "GiveVote_refused", "TakeVote_done", "removal_wished", "handed_over",
    "retired", "removed_node_ended", "membership_changed", "membership_truncated", "asked_without_vote",
)

# The repairs before these leave them nothing to do in a cluster of repaired nodes; tests/sim/test_reproductions.py and
# tests/sim/test_checkpoint_scripts.py walk them with played messages.
BY_SCRIPT = frozenset({"entries_already_held", "snapshot_part_out_of_order", "snapshot_not_newer"})
