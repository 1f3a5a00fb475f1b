"""GetObjectAttributes: what is known of an object, without its bytes."""

from __future__ import annotations

from fluffy.core.metadata.model import FileVersion
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.answers import shown_etag, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.copying import checksum_nodes
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.parts import PARTS_MAX, part_sizes, part_sums
from fluffy.gateways.s3.versions import found_version, version_headers
from fluffy.wire.conditions import http_date
from fluffy.wire.s3_documents import CHECKSUM_ELEMENTS
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

PAGE_MAX = 1_000
_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


async def get_object_attributes(door: S3Door, call: S3Call) -> Answer:
    """GET ?attributes"""
    facts = door.allow_public(call)
    wanted = [name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",") if name.strip()]
    if not wanted or any(name not in _NAMES for name in wanted):
        raise S3Error("InvalidArgument", 400, "Invalid attribute name specified.",
                      ArgumentName="x-amz-object-attributes")
    version = await found_version(door, call, facts)
    # Of a checksum of checksums without the number of parts, which S3 tells apart here.
    sums = [(name, str(text).partition("-")[0]) for name, text in checksum_nodes(version)]
    parts = part_sizes(version)
    nodes: list[Node] = []
    if "ETag" in wanted:
        nodes.append(("ETag", shown_etag(version)))
    if "Checksum" in wanted and sums:
        nodes.append(("Checksum", sums))
    if "ObjectParts" in wanted and parts:
        nodes.append(("ObjectParts", _parts(call, version, parts)))
    if "StorageClass" in wanted:
        nodes.append(("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        nodes.append(("ObjectSize", version.size))
    return xml_answer("GetObjectAttributesResponse", nodes, headers=[
        ("Last-Modified", http_date(version.modified_ms // 1000)), *version_headers(facts, version)])


def _parts(call: S3Call, version: FileVersion, sizes: list[int]) -> list[Node]:
    """A page of the parts, with their checksums where they are kept."""
    sums: list[list[Node]] = [[(CHECKSUM_ELEMENTS[algorithm], text)] for algorithm, text in part_sums(version)]
    limit = min(_number(call, "x-amz-max-parts", PAGE_MAX), PAGE_MAX)
    after = _number(call, "x-amz-part-number-marker", 0)
    page = list(enumerate(sizes, start=1))[after:after + limit]
    return [("PartsCount", len(sizes)), ("PartNumberMarker", after),
            ("NextPartNumberMarker", page[-1][0] if page else after), ("MaxParts", limit),
            ("IsTruncated", after + len(page) < len(sizes)),
            *(("Part", [("PartNumber", number), ("Size", size), *(sums[number - 1] if sums else [])])
              for number, size in page)]


def _number(call: S3Call, name: str, default: int) -> int:
    text = call.headers.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= PARTS_MAX):
        raise S3Error("InvalidArgument", 400, f"Provided {name} not an integer or within integer range",
                      ArgumentName=name, ArgumentValue=text[:100])
    return int(text)
