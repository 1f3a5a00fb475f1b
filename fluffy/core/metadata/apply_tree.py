"""Which function applies which command of the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.core.metadata import apply_content, apply_copy, apply_move, apply_restore, apply_rules, apply_trash
from fluffy.core.metadata.commands_tree import (
    AppendFile,
    Copy,
    DeleteFolder,
    EmptyTrash,
    Move,
    PatchFile,
    PurgeVersion,
    RestoreFolderAt,
    RestoreVersion,
    SetBucketRules,
    SetMeta,
    SetTags,
    TouchFile,
    Undelete,
)
from fluffy.core.metadata.outcomes import Outcome
from fluffy.core.metadata.working import Working

HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    Move.KIND: apply_move.move,
    Copy.KIND: apply_copy.copy,
    DeleteFolder.KIND: apply_trash.delete_folder,
    TouchFile.KIND: apply_content.touch_file,
    AppendFile.KIND: apply_content.append_file,
    PatchFile.KIND: apply_content.patch_file,
    SetTags.KIND: apply_content.set_tags,
    SetMeta.KIND: apply_content.set_meta,
    RestoreVersion.KIND: apply_restore.restore_version,
    Undelete.KIND: apply_trash.undelete,
    PurgeVersion.KIND: apply_trash.purge_version,
    EmptyTrash.KIND: apply_trash.empty_trash,
    SetBucketRules.KIND: apply_rules.set_bucket_rules,
    RestoreFolderAt.KIND: apply_restore.restore_folder_at,
}
