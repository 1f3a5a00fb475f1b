"""From an address to a bucket and a key: `/BUCKET/KEY`, or `KEY` on the host `BUCKET.DOMAIN`."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from fluffy.wire.s3_canonical import query_pairs, refuse_bad_escape
from fluffy.wire.s3_errors import S3Error

# Every name below these is this machine's by definition (RFC 6761), so it needs no setting.
LOCAL_DOMAINS = ("localhost",)
_PORT = re.compile(r":[0-9]{1,5}\Z", re.ASCII)


def bucket_of_host(host: str, domains: tuple[str, ...]) -> str | None:
    """The bucket that a Host header names; None: it names only the door."""
    name = _PORT.sub("", host.strip().lower())
    for domain in domains:
        if name.endswith("." + domain):
            return name[:-len(domain) - 1]
    return None


def parse_address(raw_path: str, host: str, domains: tuple[str, ...]) -> tuple[str, str]:
    """(bucket, key), decoded; empty where there is none. Raises S3Error."""
    bucket = bucket_of_host(host, domains)
    path = decoded(raw_path)[1:]
    if bucket is not None:
        return bucket, path
    bucket, _, key = path.partition("/")
    if not bucket and key:
        raise S3Error("InvalidBucketName", 400, "The specified bucket is not valid.")
    return bucket, key


def decoded(raw: str) -> str:
    """Percent-encoded text. Raises S3Error."""
    refuse_bad_escape(raw)
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", 400, "Couldn't parse the specified URI: it is not UTF-8.") from error


def parse_query(raw_query: str) -> dict[str, str]:
    """The fields of a query; of a field given twice the first one counts. Raises S3Error."""
    query: dict[str, str] = {}
    try:
        for name, value in query_pairs(raw_query):
            query.setdefault(name.decode("utf-8"), value.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", 400, "a field of the query is not UTF-8") from error
    return query
