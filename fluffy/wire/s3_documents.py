"""The XML documents that clients send: deletions, parts to put together, tags, versioning, the place of a bucket.

Each becomes a plain value or MalformedXml (or the code that S3 has for what is wrong in it). What they bring is
bounded by its own rules here, beside the bounds that every document has.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.units import KIB, MIB
from fluffy.wire.s3_checksums import ALGORITHMS
from fluffy.wire.s3_errors import MalformedXml, S3Error
from fluffy.wire.s3_xml import Element, Node, parse_xml

DELETE_KEYS_MAX = 1_000
DELETE_BYTES_MAX = 2 * MIB
PARTS_MAX = 10_000
SMALL_BYTES_MAX = 64 * KIB
OBJECT_TAGS_MAX = 10
BUCKET_TAGS_MAX = 50
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256
# "ChecksumCRC64NVME" of "crc64nvme".
CHECKSUM_ELEMENTS = {algorithm: f"Checksum{algorithm.upper()}" for algorithm in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """`objects`: (key, version id, etag) each; None: not said."""

    quiet: bool
    objects: tuple[tuple[str, str | None, str | None], ...]


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as the completer names it. `checksums`: base64 by algorithm, as said."""

    number: int
    etag: str
    checksums: dict[str, str]


def parse_delete(data: bytes) -> DeleteRequest:
    root = parse_xml(data, "Delete", bytes_max=DELETE_BYTES_MAX)
    objects: list[tuple[str, str | None, str | None]] = []
    for item in root.all("Object"):
        key = item.needed("Key")
        if not key:
            raise MalformedXml
        etag = item.leaf("ETag")
        for name in ("LastModifiedTime", "Size"):
            if item.leaf(name) is not None:
                raise S3Error("NotImplemented", 501, f"deleting only with a certain {name} is not supported by this"
                                                     " server: say the ETag")
        objects.append((key, item.leaf("VersionId") or None, None if etag is None else unquoted(etag)))
        if len(objects) > DELETE_KEYS_MAX:
            raise MalformedXml
    if not objects:
        raise MalformedXml
    return DeleteRequest(_flag(root.leaf("Quiet")), tuple(objects))


def parse_create_bucket(data: bytes) -> str | None:
    """The place that a CreateBucketConfiguration wants; None: it does not say. An empty body is one too."""
    if not data:
        return None
    root = parse_xml(data, bytes_max=SMALL_BYTES_MAX)
    if root.name not in ("CreateBucketConfiguration", "CreateBucketRequest"):
        raise MalformedXml
    return root.leaf("LocationConstraint") or None


def parse_complete(data: bytes) -> tuple[CompletedPart, ...]:
    """The parts of a CompleteMultipartUpload, ascending. Raises S3Error: InvalidPartOrder when they are not."""
    root = parse_xml(data, "CompleteMultipartUpload")
    parts: list[CompletedPart] = []
    for item in root.all("Part"):
        number = _number(item.needed("PartNumber"))
        if not 1 <= number <= PARTS_MAX:
            raise S3Error("InvalidArgument", 400, f"PartNumber must be >= 1 and <= {PARTS_MAX}",
                          ArgumentName="partNumber", ArgumentValue=number)
        if parts and number <= parts[-1].number:
            raise S3Error("InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered"
                                                   " by part number.")
        checksums = {algorithm: text for algorithm, name in CHECKSUM_ELEMENTS.items()
                     if (text := item.leaf(name)) is not None}
        parts.append(CompletedPart(number, unquoted(item.needed("ETag")), checksums))
    if not parts:
        raise MalformedXml
    return tuple(parts)


def parse_tagging(data: bytes, *, tags_max: int) -> dict[str, str]:
    """Raises MalformedXml, S3Error (InvalidTag)."""
    root = parse_xml(data, "Tagging", bytes_max=MIB)
    tag_set = root.one("TagSet")
    if tag_set is None:
        raise MalformedXml
    tag_set.allow("Tag")
    pairs = [(tag.needed("Key"), tag.needed("Value")) for tag in tag_set.children]
    return checked_tags(pairs, tags_max=tags_max)


def checked_tags(pairs: list[tuple[str, str]], *, tags_max: int) -> dict[str, str]:
    """Raises S3Error."""
    if len(pairs) > tags_max:
        raise S3Error("BadRequest", 400, f"Object tags cannot be greater than {tags_max}")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise S3Error("InvalidTag", 400, "Cannot provide multiple Tags with the same key", TagKey=key)
        if not 0 < len(key) <= TAG_KEY_CHARS_MAX or not key.isprintable() or key.startswith("aws:"):
            raise S3Error("InvalidTag", 400, "The TagKey you have provided is invalid", TagKey=key[:TAG_KEY_CHARS_MAX])
        if len(value) > TAG_VALUE_CHARS_MAX or not value.isprintable():
            raise S3Error("InvalidTag", 400, "The TagValue you have provided is invalid", TagKey=key)
        tags[key] = value
    return tags


def tagging_nodes(tags: dict[str, str]) -> list[Node]:
    return [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in sorted(tags.items())])]


def parse_versioning(data: bytes) -> str:
    """`Enabled` or `Suspended`. Raises S3Error."""
    root = parse_xml(data, "VersioningConfiguration", bytes_max=SMALL_BYTES_MAX)
    if _flag_word(root.leaf("MfaDelete") or root.leaf("MFADelete")) == "Enabled":
        raise S3Error("NotImplemented", 501, "MFA Delete is not supported")
    status = root.leaf("Status")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("IllegalVersioningConfigurationException", 400, "The Versioning element must be specified")
    return status


def unquoted(etag: str) -> str:
    """An entity tag without the quotes that some clients put around it."""
    text = etag.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def _flag_word(text: str | None) -> str:
    return (text or "").strip()


def _flag(text: str | None) -> bool:
    if text is None or text in ("false", "0", "False", ""):
        return False
    if text in ("true", "1", "True"):
        return True
    raise MalformedXml


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise MalformedXml
    return int(text)


def leaf_flag(element: Element, name: str) -> bool:
    return _flag(element.leaf(name))
