"""The canonical form of a request, as Signature Version 4 of S3 hashes it.

Client and server write the same request down in one exact way and sign that text. S3 differs from other services of
its maker: a path is percent-encoded once, and neither `.` nor `//` in it is taken away. What was sent is decoded and
encoded anew, so that `%7e`, `~` and `%7E` are one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

from fluffy.wire.s3_errors import S3Error

# A presigned URL has about eight; listings about as many.
QUERY_FIELDS_MAX = 200
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SPACES = re.compile(r"  +")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What of a request a signature covers, as it was sent.

    `path`: percent-encoded, without the query. `headers`: names in lower case; of a header sent several times the
    values are joined by ", ".
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def query_pairs(query: str) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of a query in the order sent, decoded; `?acl` is a field without a value. Raises S3Error."""
    if not query:
        return ()
    fields = query.split("&", QUERY_FIELDS_MAX)
    if len(fields) > QUERY_FIELDS_MAX:
        raise S3Error("InvalidArgument", 400, f"a query has at most {QUERY_FIELDS_MAX} fields")
    refuse_bad_escape(query)
    pairs: list[tuple[bytes, bytes]] = []
    for field in fields:
        if field:
            name, _, value = field.partition("=")
            pairs.append((_decoded(name), _decoded(value)))
    return tuple(pairs)


def refuse_bad_escape(text: str) -> None:
    """Raise S3Error for a `%` that no two hexadecimal digits follow: it could be read in two ways."""
    if "%" in text and _BAD_ESCAPE.search(text) is not None:
        raise S3Error("InvalidURI", 400, "the address has a % that two hexadecimal digits do not follow")


def canonical_query(pairs: Iterable[tuple[bytes, bytes]], *, without: bytes = b"") -> str:
    """All fields but those named `without`, encoded and sorted by name, then value."""
    encoded = [(quote_from_bytes(name, safe=""), quote_from_bytes(value, safe=""))
               for name, value in pairs if not without or name != without]
    encoded.sort()
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_path(path: str) -> str:
    """Raises S3Error."""
    if not path:
        return "/"
    if _PLAIN_PATH.fullmatch(path) is not None:
        return path
    refuse_bad_escape(path)
    return quote_from_bytes(unquote_to_bytes(path), safe="/")


def canonical_headers(request: SignedRequest, names: Iterable[str], *, joined_by: str = ", ") -> str:
    """A line for each name. A signed header that was not sent counts as an empty one."""
    lines: list[str] = []
    for name in names:
        value = request.headers.get(name, "").strip(" \t")
        if "  " in value:
            value = _SPACES.sub(" ", value)
        if joined_by != ", ":
            value = value.replace(", ", joined_by)
        lines.append(f"{name}:{value}\n")
    return "".join(lines)


def canonical_hash(request: SignedRequest, names: tuple[str, ...], payload: str, pairs: Iterable[tuple[bytes, bytes]],
                   *, joined_by: str = ", ") -> str:
    """SHA-256 of the canonical request, in hex. `payload`: what the request says of its body."""
    text = "\n".join((request.method, canonical_path(request.path),
                      canonical_query(pairs, without=b"X-Amz-Signature"),
                      canonical_headers(request, names, joined_by=joined_by), ";".join(names), payload))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))
