"""All questions that readers ask the state: pure functions over a read-only connection, answering in `model` values.

Point questions cost microseconds; those marked as scans run in a thread (`MetadataReader.read_in_thread`).
"""

from __future__ import annotations

from fluffy.core.metadata.changes import changes_cut
from fluffy.core.metadata.queries_chunks import (
    chunk_replicas,
    chunks_of_node,
    known_chunks,
    missing_chunks,
    unreferenced_chunks,
)
from fluffy.core.metadata.queries_cluster import (
    changes,
    cluster_state,
    members,
    node_records,
    placement_map,
    usage,
    user_by_name,
    user_by_token_hash,
)
from fluffy.core.metadata.queries_files import buckets, file_head, file_version, folder_info, kind_at
from fluffy.core.metadata.queries_lists import list_folder, list_owner, search_names

__all__ = [
    "buckets",
    "changes",
    "changes_cut",
    "chunk_replicas",
    "chunks_of_node",
    "cluster_state",
    "file_head",
    "file_version",
    "folder_info",
    "kind_at",
    "known_chunks",
    "list_folder",
    "list_owner",
    "members",
    "missing_chunks",
    "node_records",
    "placement_map",
    "search_names",
    "unreferenced_chunks",
    "usage",
    "user_by_name",
    "user_by_token_hash",
]
