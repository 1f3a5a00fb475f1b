"""The whole tree against its model: everything people do to files and folders, by Hypothesis and by long histories.

In short; `make sim` does a hundred thousand steps of each (tests/support/long_trees.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from fluffy.core.metadata import apply_content, apply_copy, apply_move, files, locks, quotas
from tests.support.tree_machine import PeopleMachine, live

HISTORY_STEPS = 3_000

PeopleMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestPeopleMachine = PeopleMachine.TestCase


def test_a_long_history_agrees_with_the_model_and_looks_back_truly() -> None:
    found = live(HISTORY_STEPS, 3)
    for kind in ("Move", "Copy", "DeleteFolder", "Undelete", "RestoreVersion", "PatchFile", "AppendFile", "EmptyTrash",
                 "SetTags", "AcquireLock", "RenewLock", "ReleaseLock", "SetQuota", "BeginUpload", "PutPart",
                 "CompleteUpload", "AbortUpload"):
        assert found[kind] > 0, kind
    for code in ("IntoItself", "AlreadyExists", "IsFile", "IsFolder", "VersionNotFound", "FolderNotEmpty", "FileLocked",
                 "LockLost", "LockNotFound", "QuotaExceeded", "PartsMissing", "UploadNotFound", "UploadFinished"):
        assert found[code] > 0, code


def _nothing(*_arguments: Any, **_more: Any) -> None:
    """Does not look, does not do."""


PLANTED: list[tuple[str, Any, str, Callable[..., Any]]] = [
    ("locks keep nobody out", locks, "refuse_held", _nothing),
    ("a token need not cover what it is brought for", locks, "refused", _nothing),
    ("quotas are not asked", quotas, "_refuse", _nothing),
    ("a move leaves the sums behind", apply_move.files, "count", _nothing),
    ("a copy shares no chunks", apply_copy.versions, "share", _nothing),
    ("tags are not stored", apply_content, "pack_texts", lambda texts: None),
    ("old versions are not kept", files.versions, "keep_few", lambda work, file_no, *_: versions_gone(work, file_no)),
]


def versions_gone(work: Any, file_no: int) -> None:
    """Purge what the file was before."""
    work.db.execute("UPDATE versions SET expires_ms = 0 WHERE file_no = ? AND retired_ms IS NOT NULL", (file_no,))


@pytest.mark.parametrize(("module", "name", "fault"), [planted[1:] for planted in PLANTED],
                         ids=[planted[0] for planted in PLANTED])
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, module: Any, name: str,
                                  fault: Callable[..., Any]) -> None:
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(Exception):  # noqa: B017 - the model, the recount or the machine itself complains
        live(HISTORY_STEPS, 3)
