"""What may be a name of something that is not in a path: nodes, zones, hosts, clusters, users, labels of tokens."""

from __future__ import annotations

# A DNS name has at most 253 bytes. A bucket is a segment of a path, which may be longer (base/paths.py).
NAME_BYTES_MAX = 512


def is_name(text: str) -> bool:
    """Whether a text may be the name of something: 1 to NAME_BYTES_MAX bytes of UTF-8."""
    try:
        return 1 <= len(text.encode()) <= NAME_BYTES_MAX
    except UnicodeEncodeError:
        return False
