"""What the S3 door keeps among a version's metadata: content headers, checksums, how it was put together.

Their names begin with `@`, which no door takes from users. Checksums speak of the bytes of their version, so whoever
makes other bytes of them drops those; whoever replaces what users said keeps all of it.
"""

from __future__ import annotations

from fluffy.core.metadata.packing import pack_texts, unpack_texts

OWN = "@"
SUM = "@sum-"
PARTS = "@parts"
ACL = "@acl"
# Of a version that has an id over S3 (versioning.py).
STAMP = "@v"


def said(meta: dict[str, str]) -> dict[str, str]:
    """What users said."""
    return {name: text for name, text in meta.items() if not name.startswith(OWN)}


def own(meta: dict[str, str]) -> dict[str, str]:
    """What the door keeps."""
    return {name: text for name, text in meta.items() if name.startswith(OWN)}


def of_bytes(meta: dict[str, str]) -> dict[str, str]:
    """What is true of the bytes, whatever is said of them."""
    return {name: text for name, text in meta.items() if name.startswith(SUM) or name == PARTS}


def of_other_bytes(packed: bytes | None) -> bytes | None:
    """The metadata for a version whose bytes are not the same any more."""
    if packed is None or b"@" not in packed:
        return packed
    meta = unpack_texts(packed)
    kept = of_bytes(meta)
    return pack_texts({name: text for name, text in meta.items() if name not in kept})


def replaced(packed: bytes | None, meta: dict[str, str]) -> dict[str, str]:
    """New metadata of users beside what the door keeps."""
    return {**said(meta), **own(unpack_texts(packed))} if packed is not None and b"@" in packed else meta
