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
from fluffy.core.metadata.queries_people import (
    audit,
    bucket_info,
    bucket_infos,
    bucket_quota,
    bytes_left,
    credential_by_token_hash,
    granted_buckets,
    grants_of,
    is_last_way_in,
    lock_by_hash,
    lock_in_the_way,
    locks_at,
    locks_under,
    login_by_name,
    own_buckets,
    people,
    person,
    readable_buckets,
    standing,
    tokens,
    user_by_no,
    user_quota,
)
from fluffy.core.metadata.queries_time import diff, file_at, list_at
from fluffy.core.metadata.queries_uploads import finished_upload, has_ended_uploads, upload, upload_parts, uploads
from fluffy.core.metadata.queries_versions import bucket_rules, folder_sums, trash, versions

__all__ = [
    "audit",
    "bucket_info",
    "bucket_infos",
    "bucket_quota",
    "bucket_rules",
    "buckets",
    "bytes_left",
    "changes",
    "changes_cut",
    "chunk_replicas",
    "chunks_of_node",
    "cluster_state",
    "credential_by_token_hash",
    "diff",
    "file_at",
    "file_head",
    "file_version",
    "finished_upload",
    "folder_info",
    "folder_sums",
    "granted_buckets",
    "grants_of",
    "has_ended_uploads",
    "is_last_way_in",
    "kind_at",
    "known_chunks",
    "list_at",
    "list_folder",
    "list_owner",
    "lock_by_hash",
    "lock_in_the_way",
    "locks_at",
    "locks_under",
    "login_by_name",
    "members",
    "missing_chunks",
    "node_records",
    "own_buckets",
    "people",
    "person",
    "placement_map",
    "readable_buckets",
    "search_names",
    "standing",
    "tokens",
    "trash",
    "unreferenced_chunks",
    "upload",
    "upload_parts",
    "uploads",
    "usage",
    "user_by_name",
    "user_by_no",
    "user_by_token_hash",
    "user_quota",
    "versions",
]
