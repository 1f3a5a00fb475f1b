"""What a write says beside its bytes: preconditions, media type, metadata, tags, and what it promises of its body.

The same rules for every route that changes a file, whether they come as headers or as JSON.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from functools import lru_cache
from urllib.parse import parse_qsl

from fluffy.base.errors import DigestMismatch, LengthRequired, NotSupported, QuerySyntax, TooLarge
from fluffy.base.paths import RemotePath
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.kept_headers import PREFIX as HEADER_PREFIX
from fluffy.gateways.native.kept_headers import kept_of
from fluffy.services.uploads import PutOrder
from fluffy.wire.conditions import parse_tags

DEFAULT_TYPE = "application/octet-stream"
CONTENT_TYPE_BYTES_MAX = 256
# What S3 allows for user metadata is 2 KB; together they stay far below one log entry.
META_ENTRIES_MAX = 64
META_BYTES_MAX = 8 * 1024
TAGS_MAX = 32
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256
META_PREFIX = "fluffy-meta-"
_ABOUT_THE_FILE = (META_PREFIX, HEADER_PREFIX, "fluffy-tags")
# It comes back as the name of a header.
_META_KEY = re.compile(r"[0-9a-z!#$%&'*+.^_`|~-]+", re.ASCII)


def order_of(call: Call, path: RemotePath, lock: bytes, *, is_whole: bool = True) -> PutOrder:
    """Raises QuerySyntax, DigestMismatch, TooLarge for headers that cannot be kept.

    `is_whole`: the body is the whole file, not a part of one.
    """
    check_framing(call)
    meta, tags = _said_of(call)
    if is_whole and "content-range" in call.headers:
        raise NotSupported("a PUT writes the whole file; send a range with PATCH")
    if not is_whole and (meta or tags):
        raise QuerySyntax("a change of a part keeps metadata and tags; set them with PUT /v1/meta and PUT /v1/tags")
    return PutOrder(
        path.text, content_type_of(call, path), meta, tags,
        if_match=if_match_of(call), if_none_match=creates_only(call),
        md5=digest_of(call, "content-md5", 16), blake3=digest_of(call, "fluffy-blake3", 32), lock=lock)


def _said_of(call: Call) -> tuple[dict[str, str], dict[str, str]]:
    """Metadata and tags that the headers give the file."""
    if not any(name.startswith(_ABOUT_THE_FILE) for name in call.headers):
        return {}, {}
    return {**_meta_of(call), **kept_of(call.headers)}, _tags_of(call.headers.get("fluffy-tags"))


def check_framing(call: Call) -> None:
    """Raise NotSupported for a body that is not the bytes themselves, LengthRequired for a request that has none.

    HTTP takes that for a body of 0 bytes; but whoever forgot it must not empty a file.
    """
    if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
        raise LengthRequired
    if "content-encoding" in call.headers and call.headers["content-encoding"].lower() != "identity":
        raise NotSupported("the body is taken as it is: send the bytes as they shall come back, and say in"
                           " Fluffy-Header-Content-Encoding that they are packed")


def if_match_of(call: Call) -> str | None:
    """What `If-Match` demands of the present file: an etag, `*` (that it is there), or None. Raises QuerySyntax."""
    header = call.headers.get("if-match")
    return None if header is None else one_tag(header)


def one_tag(text: str) -> str:
    """`*`, or the one etag that a write may demand. Raises QuerySyntax."""
    tags = parse_tags(text)
    if tags.any:
        return "*"
    if len(tags.strong) != 1:
        raise QuerySyntax("If-Match of a write is * or one strong entity tag")
    return next(iter(tags.strong))


def creates_only(call: Call) -> bool:
    """Whether `If-None-Match: *` demands that nothing is there yet. Raises NotSupported for anything else in it."""
    header = call.headers.get("if-none-match")
    if header is None:
        return False
    if not parse_tags(header).any:
        raise NotSupported("If-None-Match of a write may only be * (create only)")
    return True


def refuse_creates_only(call: Call) -> None:
    """Raise QuerySyntax: this request changes what is there."""
    if creates_only(call):
        raise QuerySyntax("If-None-Match: * cannot hold: this request changes a file that is there")


def content_type_of(call: Call, path: RemotePath) -> str:
    """The media type that a new file gets: the one said, or what its name suggests. Raises QuerySyntax."""
    given = call.headers.get("content-type")
    if given is None or not given.strip():
        return guess_type(path.name)
    return checked_type(given)


def checked_type(text: str) -> str:
    """Raises QuerySyntax."""
    if len(text) > CONTENT_TYPE_BYTES_MAX or not text.isascii() or not text.isprintable() or "/" not in text:
        raise QuerySyntax(f"Content-Type is a media type of at most {CONTENT_TYPE_BYTES_MAX} printable characters")
    return text.strip()


# The library's own table and not this machine's files, so that all nodes guess alike.
_TYPES = mimetypes.MimeTypes(filenames=())


@lru_cache(maxsize=1024)
def _type_of_suffix(suffix: str) -> str:
    return _TYPES.guess_type("x" + suffix)[0] or DEFAULT_TYPE


def guess_type(name: str) -> str:
    """The media type that a file's name suggests."""
    stem, dot, suffix = name.rpartition(".")
    return _type_of_suffix("." + suffix.lower()) if dot and stem and len(suffix) <= 16 else DEFAULT_TYPE


def checked_meta(meta: dict[str, str]) -> dict[str, str]:
    """Metadata from JSON, as the headers of a PUT would have brought it: names in lower case.

    Raises QuerySyntax, TooLarge.
    """
    if len(meta) > META_ENTRIES_MAX:
        raise _too_much_meta()
    kept: dict[str, str] = {}
    for name, value in meta.items():
        key = name.lower()
        if _META_KEY.fullmatch(key) is None or key in kept:
            raise QuerySyntax(f"metadata {name[:60]!r}: names are letters, digits and -_., each once; they come back as"
                              " headers Fluffy-Meta-NAME")
        if not value.isprintable() or value != value.strip():
            raise QuerySyntax(f"metadata {name[:60]}: a value is one line of printable characters")
        kept[key] = value
    if sum(len(key) + len(value.encode()) for key, value in kept.items()) > META_BYTES_MAX:
        raise _too_much_meta()
    return kept


def _too_much_meta() -> TooLarge:
    return TooLarge(f"a file has at most {META_ENTRIES_MAX} metadata fields of together {META_BYTES_MAX} bytes",
                    entries_max=META_ENTRIES_MAX, bytes_max=META_BYTES_MAX)


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """Raises QuerySyntax, TooLarge."""
    if len(tags) > TAGS_MAX:
        raise TooLarge(f"a file has at most {TAGS_MAX} tags, not {len(tags):,}", tags=len(tags), tags_max=TAGS_MAX)
    for key, value in tags.items():
        if not 0 < len(key) <= TAG_KEY_CHARS_MAX or len(value) > TAG_VALUE_CHARS_MAX or not (key + value).isprintable():
            raise QuerySyntax(f"a tag has 1 to {TAG_KEY_CHARS_MAX} characters and a value of at most "
                              f"{TAG_VALUE_CHARS_MAX}, all printable")
    return tags


def _meta_of(call: Call) -> dict[str, str]:
    meta: dict[str, str] = {}
    size = 0
    for name, value in call.headers.items():
        key = name.lower()
        if not key.startswith(META_PREFIX):
            continue
        key = key[len(META_PREFIX):]
        if not key or key in meta:
            raise QuerySyntax(f"header {name[:60]} is given twice or has no name after Fluffy-Meta-")
        try:
            size += len(key) + len(value.encode())
        except UnicodeEncodeError as error:
            raise QuerySyntax(f"header {name[:60]} is not valid UTF-8") from error
        if not value.isprintable():
            raise QuerySyntax(f"header {name[:60]} has a control character")
        meta[key] = value
        if len(meta) > META_ENTRIES_MAX or size > META_BYTES_MAX:
            raise _too_much_meta()
    return meta


def _tags_of(header: str | None) -> dict[str, str]:
    if not header:
        return {}
    try:
        pairs = parse_qsl(header, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=TAGS_MAX)
    except ValueError as error:
        raise QuerySyntax(f"Fluffy-Tags is like key=value&key=value, percent-encoded, at most {TAGS_MAX}") from error
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise QuerySyntax("Fluffy-Tags names a key twice")
    return checked_tags(tags)


def digest_of(call: Call, name: str, size: int) -> bytes | None:
    """What the client promises about the body: base64 for MD5 (RFC 1864), hex for BLAKE3. Raises DigestMismatch."""
    text = call.headers.get(name)
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True) if name == "content-md5" else bytes.fromhex(text)
    except (binascii.Error, ValueError) as error:
        raise DigestMismatch(f"the header {name} cannot be read") from error
    if len(digest) != size:
        raise DigestMismatch(f"the header {name} has {len(digest)} bytes, not {size}")
    return digest
