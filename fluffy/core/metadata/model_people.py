"""What readers of the state get about people: frozen values, made by `queries_people.py` from rows."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.core.metadata.model import User
from fluffy.core.metadata.rights import Right


@dataclass(frozen=True, slots=True)
class Credential:
    """A token that somebody sent, and whose it is. `expires_ms`: wall clock; 0: never."""

    user: User
    token_id: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Login:
    """What checking a password needs. `password`: empty when the user has none."""

    user: User
    password: bytes


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """What is used of what. None: no limit."""

    files: int
    bytes: int
    files_max: int | None
    bytes_max: int | None

    @property
    def bytes_left(self) -> int | None:
        """None: any number."""
        return None if self.bytes_max is None else max(0, self.bytes_max - self.bytes)


@dataclass(frozen=True, slots=True)
class TightQuota:
    """The quota that leaves the least room for a file's bytes. `subject`: user or bucket."""

    subject: str
    name: str
    used: int
    limit: int

    @property
    def bytes_left(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Person:
    """A line of the list of users."""

    user: User
    created_ms: int
    has_password: bool
    buckets: int
    tokens: int
    quota: QuotaUse


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """`token_id`: the first 16 hex digits of the token's hash, by which it is revoked."""

    token_id: str
    label: str
    created_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the policy needs to know of one user in one bucket. `granted`: strongest of own and everyone's grant."""

    bucket: str
    owner: str
    granted: Right


@dataclass(frozen=True, slots=True)
class Grant:
    """`grantee`: a user's name, or commands_people.EVERYONE."""

    bucket: str
    grantee: str
    right: str


@dataclass(frozen=True, slots=True)
class BucketInfo:
    name: str
    owner: str
    created_ms: int
    quota: QuotaUse
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """A living lock. `fence` grows with every lock taken; the token is known to its holder only."""

    path: str
    mode: str
    holder: str
    note: str
    acquired_ms: int
    expires_ms: int
    fence: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """`no` grows without gaps until the oldest rows are dropped."""

    no: int
    at_ms: int
    who: str
    act: str
    target: str
    refused: bool
    detail: str
