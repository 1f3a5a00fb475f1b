"""Commands about people and what they hold: users, tokens, grants, quotas, locks, the audit log. Kinds 40 to 59.

People, buckets and grantees are named by text: a command is what somebody asked for, and its answer says who is
unknown. Secrets never come here: a password as what scrypt made of it, a token and a lock's token as their BLAKE3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.header import Header

# A grant to everyone who has a credential; no user can have this name.
EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class AddUser:
    """Make a user and the home bucket of the same name. By admins.

    `role`: admin, user, readonly, supernode (which has no bucket). `password`: what services/passwords.py made of it;
    empty: logs in by token only.
    """

    KIND: ClassVar[int] = 40
    header: Header
    name: str
    role: str
    password: bytes = b""


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """Change what is not None. By admins; the password alone also by the user. `password` empty: takes it away.

    The last admin who can log in stays one.
    """

    KIND: ClassVar[int] = 41
    header: Header
    name: str
    role: str | None = None
    password: bytes | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Remove a user with tokens, grants, locks and empty buckets. By admins.

    Buckets with something in them go to `give_to`; None refuses then. Files keep their (now nameless) owner.
    """

    KIND: ClassVar[int] = 42
    header: Header
    name: str
    give_to: str | None = None


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """End the user's tokens whose hash begins with `token_id` (8 bytes, as listed); empty: all of them.

    By the user and by admins.
    """

    KIND: ClassVar[int] = 43
    header: Header
    user: str
    token_id: bytes


@dataclass(frozen=True, slots=True)
class SetGrant:
    """Let `grantee` (a user, or EVERYONE) read, write or admin a bucket; replaces the grant there was.

    By the bucket's owner, who holds an admin grant, and admins.
    """

    KIND: ClassVar[int] = 44
    header: Header
    bucket: str
    grantee: str
    right: str


@dataclass(frozen=True, slots=True)
class RemoveGrant:
    """Take a grant back. By the same who give them, and by the grantee."""

    KIND: ClassVar[int] = 45
    header: Header
    bucket: str
    grantee: str


@dataclass(frozen=True, slots=True)
class GiveBucket:
    """Make `owner` the owner of a bucket; what it holds counts for the new owner's quota. By its owner and admins."""

    KIND: ClassVar[int] = 46
    header: Header
    bucket: str
    owner: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Limit what the buckets of a user, or one bucket, may hold in current files. None: no limit. By admins.

    `subject`: user or bucket. A limit below what is used refuses only growth.
    """

    KIND: ClassVar[int] = 47
    header: Header
    subject: str
    name: str
    bytes_max: int | None
    files_max: int | None


@dataclass(frozen=True, slots=True)
class AcquireLock:
    """Lock a path, and all below it, for `ttl_ms` of log time. `lock`: BLAKE3 of the token that the holder keeps.

    `mode`: exclusive (nobody else) or shared (others may share). The path need not exist, its bucket must. `note`:
    what the holder says about it, for those who wait.
    """

    KIND: ClassVar[int] = 48
    header: Header
    path: str
    mode: str
    ttl_ms: int
    lock: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class RenewLock:
    """Let a lock that has not ended last `ttl_ms` from now; never shortens. By its holder."""

    KIND: ClassVar[int] = 49
    header: Header
    lock: bytes
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    """End the lock of that token, by its holder; or with `path`, all locks on exactly that path, by its bucket's
    admins, when somebody left with the key."""

    KIND: ClassVar[int] = 50
    header: Header
    lock: bytes = b""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a door refused: `user` as it called itself (empty: nobody known), `act` and `target` as it was asked for."""

    at_ms: int
    user: str
    act: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportRefusals:
    """A door tells the audit log what it refused since its last report. By the cluster."""

    KIND: ClassVar[int] = 51
    header: Header
    refusals: tuple[Refusal, ...]


PeopleCommand = (AddUser | ChangeUser | RemoveUser | RevokeToken | SetGrant | RemoveGrant | GiveBucket | SetQuota
                 | AcquireLock | RenewLock | ReleaseLock | ReportRefusals)

PEOPLE_COMMANDS = (AddUser, ChangeUser, RemoveUser, RevokeToken, SetGrant, RemoveGrant, GiveBucket, SetQuota,
                   AcquireLock, RenewLock, ReleaseLock, ReportRefusals)
