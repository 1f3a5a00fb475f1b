"""What all groups of verbs stand on: one transport, one way to read and one to write.

Times in a request are given as a `datetime`, as text (RFC 3339 or a date), or as a time span before now: `-2h`, `-30m`,
or a `timedelta`. A span is turned into the moment it means once, here, so that all pages and all attempts of one call
look at the same moment.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fluffy.base.errors import QuerySyntax
from fluffy.client.peers import PeerList
from fluffy.client.transport import Call, Transport
from fluffy.client.upload import new_request_id, quoted

# The largest page the servers give.
PAGE_ENTRIES = 1000

Moment = str | datetime | timedelta
"""A time: `2026-07-01`, `2026-07-01T12:30:00Z`, `-2h` (two hours ago), a datetime, or a timedelta before now."""

class Keep(Enum):
    """`KEEP`: leave it as it is, where None says something else."""

    KEEP = "keep"


KEEP = Keep.KEEP

_SPAN = re.compile(r"-(\d{1,9})(s|m|h|d|w)\Z", re.ASCII)
_SPAN_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

T = TypeVar("T")


class HasToken(Protocol):
    """A lock that is held."""

    @property
    def token(self) -> str: ...


LockToken = str | HasToken
"""A lock's token, or the lock itself."""


class Asking:
    """The transport, and how a verb uses it."""

    _peers: PeerList
    _transport: Transport
    _state_folder: Path

    async def _read(self, url: str, *, answer_s: float | None = None, **query: object) -> Mapping[str, Any]:
        return (await self._transport.ask(Call("GET", url, query=given(**query)), answer_s=answer_s)).document

    async def _write(self, method: str, url: str, *, document: Mapping[str, Any] | None = None,
                     headers: Mapping[str, str] | None = None, answer_s: float | None = None,
                     request_id: str | None = None, **query: object) -> Mapping[str, Any]:
        call = Call(method, url, query=given(**query), headers=headers or {}, document=document,
                    request_id=request_id or new_request_id())
        return (await self._transport.ask(call, answer_s=answer_s)).document


def given(**query: object) -> dict[str, str]:
    """The parameters that have a value; True is sent as 1, False is not sent."""
    return {key: "1" if value is True else str(value) for key, value in query.items()
            if value is not None and value is not False}


def told(**fields: object) -> dict[str, Any]:
    """The fields of a document that have a value."""
    return {key: value for key, value in fields.items() if value is not None}


def changed(**fields: object) -> dict[str, Any]:
    """The fields that are not to be kept as they are; None is a value here."""
    return {key: value for key, value in fields.items() if value is not KEEP}


async def gathered(items: AsyncIterator[T]) -> list[T]:
    """All of them."""
    return [item async for item in items]


def guards(*, if_match: str | None = None, lock: LockToken | None = None) -> dict[str, str]:
    """The headers under which a change is made."""
    headers = {} if if_match is None else {"If-Match": quoted(if_match)}
    if lock is not None:
        headers["Fluffy-Lock"] = token_text(lock)
    return headers


def token_text(lock: LockToken) -> str:
    return lock if isinstance(lock, str) else lock.token


def moment_text(moment: Moment | None) -> str | None:
    """RFC 3339 in UTC for a span or a datetime; any other text as it is. Raises QuerySyntax for a span too long."""
    if moment is None:
        return None
    span = _SPAN.match(moment) if isinstance(moment, str) else None
    try:
        if span is not None:
            moment = timedelta(**{_SPAN_UNITS[span[2]]: int(span[1])})
        if isinstance(moment, str):
            return moment
        at = datetime.now(UTC) - abs(moment) if isinstance(moment, timedelta) else moment.astimezone(UTC)
    except OverflowError as error:
        raise QuerySyntax(f"{moment} before now is before the beginning of time") from error
    return f"{at.isoformat()[:19]}.{at.microsecond // 1000:03d}Z"
