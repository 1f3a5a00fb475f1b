"""What the S3 door keeps among a version's metadata: content headers, checksums, how it was put together.

Their names begin with `@`, which no door takes from users. Checksums speak of the bytes of their version, so whoever
makes other bytes of them drops those; whoever replaces what users said keeps all of it.
"""

from __future__ import annotations

from fluffy.base.units import KIB
from fluffy.core.metadata.packing import pack_texts, unpack_texts

OWN = "@"
SUM = "@sum-"
SUM_TYPE = "@sum-type"
PARTS = "@parts"
# Of the parts, in order, with commas; where the client asked for a checksum and they are not too many.
PART_SUMS = "@part-sums"
ACL = "@acl"
# Of a version that has an id over S3 (versioning.py).
STAMP = "@v"
# Headers that are said with a file, kept, and said again when it is read; the last is for S3's readers only.
CONTENT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
REDIRECT = "x-amz-website-redirect-location"
KEPT_HEADERS = (*CONTENT_HEADERS, REDIRECT)
# Together with what users say they fit into what the log takes (8 KiB).
KEPT_BYTES_MAX = 4 * KIB


def said(meta: dict[str, str]) -> dict[str, str]:
    """What users said."""
    return {name: text for name, text in meta.items() if not name.startswith(OWN)}


def own(meta: dict[str, str]) -> dict[str, str]:
    """What the door keeps."""
    return {name: text for name, text in meta.items() if name.startswith(OWN)}


def headers(meta: dict[str, str]) -> dict[str, str]:
    """The headers that were said with the file, names in lower case."""
    return {name: meta[OWN + name] for name in KEPT_HEADERS if OWN + name in meta}


def checksum(meta: dict[str, str]) -> tuple[str, str, str] | None:
    """(algorithm, value in base64, FULL_OBJECT or COMPOSITE) of the checksum that is kept; None: there is none."""
    for name, text in meta.items():
        if name.startswith(SUM) and name != SUM_TYPE:
            return name.removeprefix(SUM), text, meta.get(SUM_TYPE, "")
    return None


def packed_checksum(packed: bytes | None) -> tuple[str, str] | None:
    """(algorithm, FULL_OBJECT or COMPOSITE) of metadata as it is stored; None: no checksum is kept."""
    kept = None if packed is None or SUM.encode() not in packed else checksum(unpack_texts(packed))
    return None if kept is None else (kept[0], kept[2])


def of_bytes(meta: dict[str, str]) -> dict[str, str]:
    """What is true of the bytes, whatever is said of them."""
    return {name: text for name, text in meta.items() if name.startswith(SUM) or name in (PARTS, PART_SUMS)}


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
