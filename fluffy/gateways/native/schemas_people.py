"""What the routes about people take and answer: credentials, users, rights, limits, locks, signed URLs."""

from __future__ import annotations

from fluffy.gateways.native.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    SECONDS,
    TEXT,
    TEXTS,
    TIME,
    body,
    either,
    listed,
    one_of,
    or_null,
    thing,
    with_more,
    with_optional,
)
from fluffy.gateways.native.schemas_tree import HELD_LOCK, PATH

ROLE = one_of("admin", "user", "readonly", "supernode")
RIGHT = one_of("read", "write", "admin")
QUOTA = thing(files=COUNT, bytes=COUNT, files_max=or_null(COUNT), bytes_max=or_null(COUNT), bytes_left=or_null(COUNT))

LOGIN = body({"user": TEXT, "password": TEXT}, label=TEXT, ttl_s=SECONDS)
TOKEN_MADE = thing(token=TEXT, token_id=TEXT, user=TEXT, role=ROLE, label=TEXT, expires=or_null(TIME))
REVOKED = thing(user=TEXT, revoked=COUNT)
WHOAMI = thing(user=TEXT, role=ROLE, token_id=TEXT, expires=or_null(TIME), quota=QUOTA, buckets=listed(TEXT),
               rights=TEXTS)
PASSWORD = body({"new": TEXT}, old=TEXT)
PASSWORD_SET = thing(user=TEXT, changed=FLAG)
TOKENS = thing(user=TEXT, tokens=listed(thing(token_id=TEXT, label=TEXT, created=TIME, expires=or_null(TIME),
                                              expired=FLAG, current=FLAG)))
NEW_TOKEN = body(None, label=TEXT, ttl_s=SECONDS, user=TEXT)
KEYS = thing(user=TEXT, keys=listed(thing(access_key=TEXT, label=TEXT, created=or_null(TIME))))
NEW_KEY = body(None, label=TEXT, user=TEXT, access_key=TEXT, secret=TEXT)
KEY_MADE = thing(access_key=TEXT, secret=TEXT, user=TEXT, label=TEXT)
KEY_REMOVED = thing(user=TEXT, removed=TEXT)

PERSON = thing(name=TEXT, role=ROLE, disabled=FLAG, created=TIME, has_password=FLAG, buckets=COUNT, tokens=COUNT,
               quota=QUOTA)
PEOPLE = thing(users=listed(PERSON), after=or_null(TEXT))
NEW_USER = body({"name": TEXT}, role=ROLE, password=or_null(TEXT))
CHANGED_USER = body(None, role=ROLE, password=or_null(TEXT), disabled=FLAG)
REMOVED_USER = thing(user=TEXT, removed_buckets=COUNT, given_buckets=COUNT)

GRANT = thing(bucket=TEXT, user=TEXT, right=RIGHT)
GRANTS = thing(grants=listed(GRANT))
# `user` or, the older word, `grantee`; `everyone` or `*`: everybody.
NEW_GRANT = body({"bucket": TEXT, "right": RIGHT}, user=TEXT, grantee=TEXT)
GRANTED = with_more(GRANT, before=or_null(RIGHT))
GRANT_REMOVED = thing(bucket=TEXT, user=TEXT, removed=FLAG)

BUCKET = thing(
    name=TEXT, owner=TEXT, created=TIME, trash_days=or_null(COUNT), versions_max=or_null(COUNT),
    replication=or_null(COUNT), holds=thing(trash_days=COUNT, versions_max=COUNT, replication=COUNT), quota=QUOTA,
    grants=listed(GRANT))
BUCKETS = thing(buckets=listed(BUCKET), after=or_null(TEXT))
BUCKET_RULES = body(None, owner=TEXT, trash_days=or_null(COUNT), versions_max=or_null(COUNT),
                    replication=or_null(COUNT))
QUOTA_OF = with_more(QUOTA, subject=one_of("user", "bucket"), name=TEXT)
NEW_QUOTA = body({"subject": one_of("user", "bucket"), "name": TEXT}, bytes_max=or_null(COUNT),
                 files_max=or_null(COUNT))
AUDIT = thing(before=or_null(NUMBER), audit=listed(thing(
    no=NUMBER, at=TIME, who=TEXT, act=TEXT, target=TEXT, refused=FLAG, detail=TEXT)))

NEW_LOCK = body({"path": PATH}, mode=one_of("exclusive", "shared"), ttl_s=SECONDS, wait_s=SECONDS, note=TEXT)
LOCK_TAKEN = thing(token=TEXT, path=TEXT, mode=one_of("exclusive", "shared"), holder=TEXT, note=TEXT, expires=TIME,
                   fence=NUMBER)
LOCKS = thing(path=TEXT, locks=listed(HELD_LOCK), above=listed(HELD_LOCK), after=or_null(TEXT))
RENEW_LOCK = body(None, ttl_s=SECONDS)
# The lock as it is, unless it has ended meanwhile.
LOCK_RENEWED = with_optional(thing(expires=TIME, fence=NUMBER), **HELD_LOCK["properties"])
LOCK_RELEASED = thing(released=COUNT)
LOCKS_BROKEN = thing(path=TEXT, released=COUNT)

SIGN = body({"path": PATH}, method=one_of("GET", "HEAD", "PUT"), ttl_s=SECONDS, generation=COUNT, download=FLAG)
SIGNED = thing(url=TEXT, target=TEXT, method=TEXT, path=TEXT, expires=TIME)

SESSION_WANTED = body(None, user=TEXT, password=TEXT, token=TEXT)
SESSION = thing(user=TEXT, role=ROLE, csrf=TEXT, expires=or_null(TIME), node=TEXT, cluster=TEXT, part_size=COUNT)
SESSION_OR_NOBODY = either(SESSION, thing(user={"type": "null"}))
SESSION_ENDED = thing(user=TEXT, revoked=FLAG)
