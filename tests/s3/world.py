"""What conformance cases use: clients that take turns between nodes, buckets, raw requests."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from fluffy.services.s3_keys import KeyPair

_numbers = itertools.count()


class Turns:
    """A client that asks the next node with every call."""

    def __init__(self, clients: list[Any]) -> None:
        self._clients = itertools.cycle(clients)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._clients), name)


@dataclass(slots=True)
class World:
    """`v4`: a client whose presigned URLs are of Version 4. `stranger`: one without a key."""

    s3: Any
    v4: Any
    stranger: Any
    pair: KeyPair
    urls: Iterator[str]

    def new_bucket(self) -> str:
        name = f"case-{next(_numbers)}"
        self.s3.create_bucket(Bucket=name)
        return name


@dataclass(frozen=True, slots=True)
class Raw:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return self.body.partition(b"<Code>")[2].partition(b"<")[0].decode()


def raw(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Raw:
    """One request as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", body,
                           headers or {})
        answer = connection.getresponse()
        return Raw(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def code_of(work: Any) -> tuple[int, str]:
    """(status, code) that `work` ends in; (200, "") when it does not fail."""
    try:
        work()
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return 200, ""
