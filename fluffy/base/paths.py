"""Remote paths: `/bucket/folder/file`, checked once, at the door.

The first segment is the bucket. Text form is without a leading slash (`bucket/folder/file`); a folder's key in the
database ends in `/`. Limits follow docs/API.md: 1,024 bytes of UTF-8, no empty, `.` or `..` segments, no control
characters. Names are bytes-exact: `ü` composed and decomposed are two names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fluffy.base.errors import NameIllegal

PATH_BYTES_MAX = 1024
# One segment may not fill the whole path: leaves room for a bucket and for S3's own 1,024-byte keys.
SEGMENT_BYTES_MAX = 512
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A checked path. `segments[0]` is the bucket; empty segments mean the root, which only lists buckets."""

    segments: tuple[str, ...]

    @property
    def text(self) -> str:
        return "/".join(self.segments)

    @property
    def is_root(self) -> bool:
        return not self.segments

    @property
    def bucket(self) -> str:
        return self.segments[0]

    @property
    def is_bucket(self) -> bool:
        return len(self.segments) == 1

    @property
    def name(self) -> str:
        return self.segments[-1]

    @property
    def inside(self) -> tuple[str, ...]:
        """The segments below the bucket."""
        return self.segments[1:]

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self.segments[:-1])

    def __str__(self) -> str:
        return "/" + self.text


def parse_path(text: str) -> RemotePath:
    """Check a decoded path; leading and trailing slashes are ignored. Raises NameIllegal saying what is wrong."""
    stripped = text.strip("/")
    if not stripped:
        return RemotePath(())
    try:
        size = len(stripped.encode())
    except UnicodeEncodeError as error:
        raise NameIllegal("the path is not valid UTF-8") from error
    if size > PATH_BYTES_MAX:
        raise NameIllegal(f"the path has {size} bytes; at most {PATH_BYTES_MAX} are allowed")
    segments = tuple(stripped.split("/"))
    for segment in segments:
        check_segment(segment)
    return RemotePath(segments)


def parse_file_path(text: str) -> RemotePath:
    """Like `parse_path`, for a file: a bucket, at least one name, and no trailing slash."""
    path = parse_path(text)
    if len(path.segments) < 2:
        raise NameIllegal(
            "a file lives inside a bucket: write /BUCKET/NAME, for example in your home bucket", path=str(path))
    if text.endswith("/"):
        raise NameIllegal("a path that ends in / names a folder, not a file", path=str(path))
    return path


def check_segment(segment: str) -> None:
    """Check one name of a path whose text is known to be valid UTF-8 within PATH_BYTES_MAX. Raises NameIllegal."""
    if 2 < len(segment) <= SEGMENT_BYTES_MAX and segment.isascii() and segment.isprintable():
        return  # most names: looked at without a pattern
    if segment == "":
        raise NameIllegal("the path has an empty segment (two slashes in a row)")
    if segment in (".", ".."):
        raise NameIllegal("the path has a '.' or '..' segment; write the full path instead")
    if CONTROL_CHARACTER.search(segment):
        raise NameIllegal("the path has a control character")
    if len(segment.encode()) > SEGMENT_BYTES_MAX:
        raise NameIllegal(f"one name in the path is longer than {SEGMENT_BYTES_MAX} bytes")
