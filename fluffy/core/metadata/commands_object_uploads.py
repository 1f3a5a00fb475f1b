"""Commands of S3's multipart uploads: sessions like those of `commands_uploads`, for objects. Kinds 111 to 113.

What differs: the place is an object's, parts are known by their MD5 and may have a checksum, and what can only be said
of the whole (its checksum, the sizes of its parts) comes with the complete. AbortUpload and ExpireUploads end these
sessions too. Feature level 3; the rules of `commands` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.commands_uploads import BeginUpload, CompleteUpload, PutPart


@dataclass(frozen=True, slots=True)
class BeginObject(BeginUpload):
    """Open a session for the object `path` (`bucket/key`). The bucket must be there."""

    KIND: ClassVar[int] = 111


@dataclass(frozen=True, slots=True)
class PutObjectPart(PutPart):
    """Like PutPart, `etag` being the MD5 in hex. `sums`: its checksums in base64, by algorithm; None: it has none."""

    KIND: ClassVar[int] = 112
    sums: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class CompleteObject(CompleteUpload):
    """Like CompleteUpload. `added_meta`: joins the metadata that the session began with; None: nothing does."""

    KIND: ClassVar[int] = 113
    added_meta: dict[str, str] | None = None


ObjectUploadCommand = BeginObject | PutObjectPart | CompleteObject
OBJECT_UPLOAD_COMMANDS = (BeginObject, PutObjectPart, CompleteObject)
