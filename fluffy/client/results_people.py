"""What the SDK hands back about people: who may do what, for how long and how much. See `results`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fluffy.client.results import (
    Document,
    known_time,
    labels_in,
    number_in,
    number_or_none,
    rooted,
    text_in,
    texts_in,
    time_of,
)


@dataclass(frozen=True, slots=True)
class Login:
    """A token that a password was given for. `expires` None: never."""

    token: str = field(repr=False)
    token_id: str
    user: str
    role: str
    expires: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is used, and how much may be; None: no limit."""

    files: int
    bytes: int
    files_max: int | None
    bytes_max: int | None


@dataclass(frozen=True, slots=True)
class Myself:
    """Whose credential a client sends, and what it is good for. `rights`: on each of the buckets; `owner` for own."""

    user: str
    role: str
    token_id: str
    expires: datetime | None
    quota: Quota
    buckets: tuple[str, ...]
    rights: Mapping[str, str]
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as a list shows it: without its secret."""

    token_id: str
    label: str
    created: datetime | None
    expires: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; `token` is its secret, shown only this once."""

    token: str = field(repr=False)
    token_id: str
    expires: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Key:
    """A key pair of S3 as a list shows it: without its secret."""

    access_key: str
    label: str
    created: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewS3Key:
    """A key pair just made; `secret` is shown only this once."""

    access_key: str
    secret: str = field(repr=False)
    user: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: str
    is_disabled: bool
    created: datetime | None
    quota: Quota
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """A right on a bucket that somebody but its owner has; `user` is a name, or `*` for everybody."""

    bucket: str
    user: str
    right: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and its rules; what `document` does not say is the cluster's default."""

    name: str
    owner: str
    created: datetime | None
    trash_days: int | None
    versions_max: int | None
    replication: int | None
    quota: Quota
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Somebody did, or was refused to do, something that the log remembers. `no` counts them."""

    no: int
    at: datetime
    who: str
    act: str
    target: str
    is_refused: bool
    detail: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock that somebody holds. `fence` grows with each lock taken in the cluster."""

    path: str
    mode: str
    holder: str
    note: str
    fence: int
    acquired: datetime | None
    expires: datetime
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """An address that works without a credential until `expires`, for one path and method, at every node."""

    url: str
    method: str
    path: str
    expires: datetime


def login_of(document: Document) -> Login:
    return Login(
        token=text_in(document, "token"), token_id=text_in(document, "token_id", ""), user=text_in(document, "user"),
        role=text_in(document, "role", ""), expires=time_of(document.get("expires")), document=document)


def quota_of(document: object) -> Quota:
    """A quota as part of another answer; what is not told counts as nothing used and no limit."""
    told: Document = document if isinstance(document, Mapping) else {}
    return Quota(files=number_in(told, "files", 0), bytes=number_in(told, "bytes", 0),
                 files_max=number_or_none(told, "files_max"), bytes_max=number_or_none(told, "bytes_max"))


def myself_of(document: Document) -> Myself:
    return Myself(
        user=text_in(document, "user"), role=text_in(document, "role"), token_id=text_in(document, "token_id", ""),
        expires=time_of(document.get("expires")), quota=quota_of(document.get("quota")),
        buckets=texts_in(document, "buckets"), rights=labels_in(document, "rights"), document=document)


def token_of(document: Document) -> Token:
    return Token(token_id=text_in(document, "token_id"), label=text_in(document, "label", ""),
                 created=time_of(document.get("created")), expires=time_of(document.get("expires")), document=document)


def new_token_of(document: Document) -> NewToken:
    return NewToken(token=text_in(document, "token"), token_id=text_in(document, "token_id"),
                    expires=time_of(document.get("expires")), document=document)


def s3_key_of(document: Document) -> S3Key:
    return S3Key(access_key=text_in(document, "access_key"), label=text_in(document, "label", ""),
                 created=time_of(document.get("created")), document=document)


def new_s3_key_of(document: Document) -> NewS3Key:
    return NewS3Key(access_key=text_in(document, "access_key"), secret=text_in(document, "secret"),
                    user=text_in(document, "user", ""), document=document)


def user_of(document: Document) -> User:
    return User(name=text_in(document, "name"), role=text_in(document, "role"),
                is_disabled=document.get("disabled") is True, created=time_of(document.get("created")),
                quota=quota_of(document.get("quota")), document=document)


def grant_of(document: Document) -> Grant:
    return Grant(bucket=text_in(document, "bucket"), user=text_in(document, "user"), right=text_in(document, "right"))


def bucket_of(document: Document) -> Bucket:
    return Bucket(
        name=text_in(document, "name"), owner=text_in(document, "owner", ""), created=time_of(document.get("created")),
        trash_days=number_or_none(document, "trash_days"), versions_max=number_or_none(document, "versions_max"),
        replication=number_or_none(document, "replication"), quota=quota_of(document.get("quota")), document=document)


def audit_line_of(document: Document) -> AuditLine:
    return AuditLine(
        no=number_in(document, "no"), at=known_time(document, "at"), who=text_in(document, "who", ""),
        act=text_in(document, "act", ""), target=text_in(document, "target", ""),
        is_refused=document.get("refused") is True, detail=text_in(document, "detail", ""), document=document)


def lock_of(document: Document) -> LockInfo:
    return LockInfo(
        path=rooted(text_in(document, "path")), mode=text_in(document, "mode"), holder=text_in(document, "holder", ""),
        note=text_in(document, "note", ""), fence=number_in(document, "fence", 0),
        acquired=time_of(document.get("acquired")), expires=known_time(document, "expires"), document=document)
