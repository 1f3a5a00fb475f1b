"""What may be a name of something that is not in a path: nodes, zones, hosts, clusters, users, labels of tokens."""

from __future__ import annotations

from fluffy.base.paths import SEGMENT_BYTES_MAX

# A DNS name has at most 253 bytes.
NAME_BYTES_MAX = 256


def is_name(text: str) -> bool:
    """Whether a text may be the name of something: 1 to NAME_BYTES_MAX bytes of UTF-8."""
    return _fits(text, NAME_BYTES_MAX)


def is_bucket_name(text: str) -> bool:
    """Whether a bucket can have that name: a segment of a path, of UTF-8."""
    return "/" not in text and _fits(text, SEGMENT_BYTES_MAX)


def _fits(text: str, bytes_max: int) -> bool:
    try:
        return 1 <= len(text.encode()) <= bytes_max
    except UnicodeEncodeError:
        return False
