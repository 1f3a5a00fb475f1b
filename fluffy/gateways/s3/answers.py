"""What answers of the S3 door are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from blake3 import blake3

from fluffy.core.metadata.model import FileVersion
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.s3.errors import XML_TYPE
from fluffy.wire.s3_xml import Node, render

# The one that needs no LocationConstraint; clients may sign for any.
REGION = "us-east-1"
NO_HEADERS: Headers = []


def xml_answer(name: str, children: Sequence[Node], status: int = 200, headers: Headers = NO_HEADERS) -> Answer:
    return Answer(status, [("Content-Type", XML_TYPE), *headers], render(name, children))


def empty_answer(status: int, headers: Headers = NO_HEADERS) -> Answer:
    return Answer(status, list(headers))


def shown_etag(version: FileVersion) -> str:
    """Without quotes. One that is no MD5 must not look like one: tools would compare it with a file's MD5."""
    return version.etag if version.is_md5 else f"{version.etag}-1"


def matched_etag(header: str | None) -> str | None:
    """What a condition of the log compares: an If-Match header without quotes; `*` stays."""
    return None if header is None else header.strip().removeprefix("W/").strip('"')


@lru_cache(maxsize=4096)
def iso_time(at_s: int) -> str:
    """As S3 writes times in XML; its clocks have whole seconds."""
    return f"{datetime.fromtimestamp(at_s, UTC).isoformat()[:19]}.000Z"


def iso_ms(at_ms: int) -> str:
    return iso_time(at_ms // 1000)


@lru_cache(maxsize=4096)
def canonical_id(user_no: int) -> str:
    """The canonical id of a user: 64 digits, like those of S3, and telling nothing."""
    return blake3(b"fluffy s3 canonical user %d" % user_no).hexdigest()


def owner_nodes(user_no: int, name: str) -> list[Node]:
    """`name`: what the user logs in with; empty: who asks is not to hear it."""
    return [("ID", canonical_id(user_no)), ("DisplayName", name or None)]
