"""Commands of the S3 door: objects, key pairs, what buckets say of themselves. Kinds 105 to 119, feature level 3.

An object is a file; what differs is the place. S3 lets an object and a folder of one name stand side by side, knows
keys that end in a slash, and has no folders: those that an object needs are made with it and vanish with the last one.
The rules of `commands` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.commands_files import PutFile
from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class PutObject(PutFile):
    """Like PutFile for `bucket/key`, as S3 does it. The bucket must be there; `parents` is not looked at."""

    KIND: ClassVar[int] = 105


@dataclass(frozen=True, slots=True)
class DeleteObjects:
    """Delete objects of a bucket; one that is not there is deleted already.

    `etags`: for each key what the current version must have (`*`: it must be there), or empty; or none at all.
    """

    KIND: ClassVar[int] = 106
    header: Header
    bucket: str
    keys: tuple[str, ...]
    etags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CopyObject:
    """Make a version of the object `src` (`bucket/key`; `generation` 0: the current one) the new one of `path`.

    `content_type`, `meta`, `tags`: None keeps those of the source. The conditions are about `path`.
    """

    KIND: ClassVar[int] = 107
    header: Header
    src: str
    generation: int
    path: str
    content_type: str | None = None
    meta: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    if_match: str | None = None
    if_none_match: bool = False


@dataclass(frozen=True, slots=True)
class AddKey:
    """Give `user` a key pair of S3. By the user and by admins.

    `sealed`: the secret, encrypted by who proposes (services/s3_keys.py): signatures need it in clear.
    """

    KIND: ClassVar[int] = 108
    header: Header
    user: str
    access_key: str
    sealed: bytes
    label: str


@dataclass(frozen=True, slots=True)
class RemoveKey:
    """End a key pair of `user`. By the user and by admins."""

    KIND: ClassVar[int] = 109
    header: Header
    user: str
    access_key: str


@dataclass(frozen=True, slots=True)
class SetBucketDocument:
    """What a bucket says of itself under a name (versioning, acl, cors, …); None takes it away."""

    KIND: ClassVar[int] = 110
    header: Header
    bucket: str
    name: str
    body: bytes | None


S3Command = PutObject | DeleteObjects | CopyObject | AddKey | RemoveKey | SetBucketDocument
S3_COMMANDS = (PutObject, DeleteObjects, CopyObject, AddKey, RemoveKey, SetBucketDocument)
