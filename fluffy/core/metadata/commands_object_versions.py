"""Commands about versions of objects: what S3 does to one version of an object for good. Kinds 114 to 116.

A version is named by `version_no`, which never changes and is never used again; generations do change when an older
version becomes the current one (docs/decisions/019). Feature level 3; the rules of `commands` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class DeleteVersions:
    """Delete versions of objects of a bucket for good: (key, version_no) each. One that is gone is deleted already.

    When it was the current one (or the delete marker that hid the object), the one before it is current again.
    """

    KIND: ClassVar[int] = 114
    header: Header
    bucket: str
    items: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class MarkObject:
    """Change what is said of a version in place. `version_no` 0: the current one.

    `tags`: replace its tags; `own`: replace these of what the door keeps (names with `@`; empty text: none). None: stay
    as they are.
    """

    KIND: ClassVar[int] = 115
    header: Header
    path: str
    version_no: int
    tags: dict[str, str] | None = None
    own: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ExpireObjects:
    """Leader work: delete what a bucket's lifecycle has ended, (key, version_no) each.

    A version that is current is deleted as a client would, another one for good; what is not as the leader saw it is
    left alone.
    """

    KIND: ClassVar[int] = 116
    header: Header
    term: int
    bucket: str
    items: tuple[tuple[str, int], ...]


ObjectVersionCommand = DeleteVersions | MarkObject | ExpireObjects
OBJECT_VERSION_COMMANDS = (DeleteVersions, MarkObject, ExpireObjects)
