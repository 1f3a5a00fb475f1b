"""What readers of the state get about uploads in parts: frozen values, made by `queries_uploads.py` from rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluffy.base.ids import UserNo


@dataclass(frozen=True, slots=True)
class Upload:
    """A session. `size`: of the whole file as announced; None: it was not. `parts`, `bytes`: what is there by now."""

    no: int
    upload_id: bytes
    path: str
    user_no: UserNo
    owner: str
    size: int | None
    part_size: int
    content_type: str
    begun_ms: int
    expires_ms: int
    parts: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a session."""

    number: int
    size: int
    blake3: bytes
    etag: str
    stored_ms: int


@dataclass(frozen=True, slots=True)
class FinishedUpload:
    """A session that was completed. `facts`: those of its CompleteUpload."""

    upload_id: bytes
    path: str
    user_no: UserNo
    finished_ms: int
    facts: dict[str, Any]
