"""Conditional requests of HTTP (RFC 9110, section 13): act only if the file is, or is not, as the client remembers it.

Entity tags are opaque quoted strings; `W/` marks a weak one, which never matches where bytes matter (If-Match,
If-Range). Dates have whole seconds. A date that cannot be read makes its condition void, as the RFC demands; an
entity tag list that cannot be read is the client's mistake and refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from fluffy.base.errors import QuerySyntax

TAGS_MAX = 64
TAG_HEADER_BYTES_MAX = 8192
_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"\s*(?:,|\Z)')
# People write If-Match: 0123abcd without quotes in shell scripts; our own tags have no other characters.
_BARE_TAG = re.compile(r"\s*([0-9A-Za-z_.-]{1,128})\s*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class EntityTags:
    """A list of entity tags, without quotes. `any`: the header was `*`. `all`: the weak ones too."""

    any: bool
    strong: frozenset[str]
    all: frozenset[str]


ANY_TAG = EntityTags(True, frozenset(), frozenset())


def parse_tags(header: str) -> EntityTags:
    """`*`, or a list of tags. Raises QuerySyntax."""
    text = header.strip()
    if text == "*":
        return ANY_TAG
    bare = _BARE_TAG.match(text)
    if bare is not None:
        return EntityTags(False, frozenset((bare[1],)), frozenset((bare[1],)))
    strong, every, position = set[str](), set[str](), 0
    while position < len(text):
        match = _TAG.match(text, position)
        if match is None or len(every) >= TAGS_MAX or len(text) > TAG_HEADER_BYTES_MAX:
            raise QuerySyntax('an entity tag is written in quotes, like "0123abcd", or * for any')
        every.add(match[2])
        if match[1] is None:
            strong.add(match[2])
        position = match.end()
    if not every:
        raise QuerySyntax("an If-Match or If-None-Match header without an entity tag")
    return EntityTags(False, frozenset(strong), frozenset(every))


@lru_cache(maxsize=4096)
def http_date(at_s: int) -> str:
    """Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(at_s, usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970, or None when the text is no date."""
    if len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as `1994-11-06T08:49:37.123Z`."""
    return f"{_whole_second(at_ms // 1000)}.{at_ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _whole_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19]


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """The conditional headers of a GET or HEAD, as they came; None where absent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    if_range: str | None = None


def evaluate(conditions: ReadConditions, *, etag: str, modified_s: int) -> int:
    """200 (go on), 304 (the client has it) or 412 (it is not what the client demands); order of RFC 9110, 13.2.2."""
    if conditions.if_match is not None:
        tags = parse_tags(conditions.if_match)
        if not tags.any and etag not in tags.strong:
            return 412
    elif conditions.if_unmodified_since is not None:
        limit = parse_http_date(conditions.if_unmodified_since)
        if limit is not None and modified_s > limit:
            return 412
    if conditions.if_none_match is not None:
        tags = parse_tags(conditions.if_none_match)
        if tags.any or etag in tags.all:
            return 304
    elif conditions.if_modified_since is not None:
        limit = parse_http_date(conditions.if_modified_since)
        if limit is not None and modified_s <= limit:
            return 304
    return 200


def range_applies(if_range: str | None, *, etag: str, modified_s: int) -> bool:
    """Whether `If-Range` lets the Range count: the file is still the one that the client has parts of."""
    if if_range is None:
        return True
    text = if_range.strip()
    if text.startswith(('"', "W/")):
        return text == f'"{etag}"'
    return parse_http_date(text) == modified_s
