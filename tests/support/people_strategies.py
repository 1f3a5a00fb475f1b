"""Hypothesis strategies for commands about people, mostly about the same few of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from fluffy.base.ids import UserNo
from fluffy.core.metadata.commands import AddToken, Command, MakeFolder
from fluffy.core.metadata.commands_people import (
    AcquireLock,
    AddUser,
    ChangeUser,
    GiveBucket,
    Refusal,
    ReleaseLock,
    RemoveGrant,
    RemoveUser,
    RenewLock,
    ReportRefusals,
    RevokeToken,
    SetGrant,
    SetQuota,
)
from tests.support.local_log import header
from tests.support.metadata_commands import put
from tests.support.metadata_strategies import (
    INT_MAX,
    WILD_INTS,
    WILD_TEXT,
    headers,
    mostly,
)

NAMES = mostly(st.sampled_from(["admin", "bob", "eve"]), WILD_TEXT | st.just("everyone"))
GRANTEES = mostly(st.sampled_from(["bob", "eve", "everyone"]), WILD_TEXT)
BUCKETS = mostly(st.sampled_from(["admin", "bob", "eve", "new"]), WILD_TEXT)
ROLES = mostly(st.sampled_from(["user", "admin", "readonly", "supernode"]), WILD_TEXT)
# What there is before: users 2 and 4 (numbers are shared with folders), files of both, a grant, a quota, a lock.
BOB, EVE = UserNo(2), UserNo(4)
PRELUDE: tuple[Command, ...] = (
    AddUser(header(at_ms=0), "bob", "user"),
    AddUser(header(at_ms=0), "eve", "user"),
    put("bob/a", b"12", at_ms=0, header=header(BOB, 0)),
    put("admin/a", b"1", at_ms=0),
    MakeFolder(header(EVE, 0), "new"),
    SetGrant(header(at_ms=0), "bob", "eve", "write"),
    SetQuota(header(at_ms=0), "user", "bob", 6, 3),
    AcquireLock(header(BOB, 0), "bob/a", "shared", 60_000, b"l" * 32))
ASKERS = mostly(st.sampled_from([1, 1, 1, BOB, BOB, EVE]), st.sampled_from([0, 3, 5, 7, INT_MAX])).map(UserNo)
FILES = mostly(st.sampled_from(["bob/a", "bob/d/a", "bob/d/e", "eve/a", "admin/a", "new/d/a"]), WILD_TEXT)
FOLDERS = mostly(st.sampled_from(["bob", "bob/d", "eve", "admin", "new", "new/d"]), WILD_TEXT)
TIMES = mostly(st.integers(0, 70_000), st.sampled_from([0, 100_000, 10**9, INT_MAX]))
HEADERS = st.builds(replace, headers(ASKERS), at_ms=TIMES)
LOCKS = st.sampled_from([b"l" * 32, b"m" * 32, b"n" * 32])
WILD_LOCKS = mostly(LOCKS, st.binary(max_size=33))
LIMITS = st.none() | st.sampled_from([0, 1, 2, 3, 200]) | WILD_INTS
REFUSALS = st.builds(Refusal, at_ms=WILD_INTS, user=WILD_TEXT, act=WILD_TEXT, target=WILD_TEXT, reason=WILD_TEXT)

PEOPLE: st.SearchStrategy[Command] = st.one_of(
    st.builds(AddUser, header=HEADERS, name=NAMES, role=ROLES, password=st.binary(max_size=2)),
    st.builds(AddUser, header=HEADERS, name=NAMES, role=ROLES),
    st.builds(ChangeUser, header=HEADERS, name=NAMES, role=st.none() | ROLES,
              password=st.none() | st.binary(max_size=2) | st.just(b"x" * 300), disabled=st.none() | st.booleans()),
    st.builds(RemoveUser, header=HEADERS, name=NAMES, give_to=st.none() | NAMES),
    st.builds(AddToken, header=HEADERS, user=NAMES, token_hash=st.sampled_from([b"t" * 32, b"u" * 32, b""]),
              label=WILD_TEXT, expires_ms=WILD_INTS),
    st.builds(RevokeToken, header=HEADERS, user=NAMES,
              token_id=st.sampled_from([b"t" * 8, b"u" * 8, b"", b"t"])),
    st.builds(SetGrant, header=HEADERS, bucket=BUCKETS, grantee=GRANTEES,
              right=mostly(st.sampled_from(["read", "write", "admin"]), WILD_TEXT)),
    st.builds(RemoveGrant, header=HEADERS, bucket=BUCKETS, grantee=GRANTEES),
    st.builds(GiveBucket, header=HEADERS, bucket=BUCKETS, owner=NAMES),
    st.builds(SetQuota, header=HEADERS, subject=mostly(st.sampled_from(["user", "bucket"]), WILD_TEXT),
              name=BUCKETS, bytes_max=LIMITS, files_max=LIMITS),
    st.builds(AcquireLock, header=HEADERS, path=FILES | FOLDERS,
              mode=mostly(st.sampled_from(["exclusive", "shared"]), WILD_TEXT),
              ttl_ms=mostly(st.sampled_from([1_000, 60_000, 3_600_000]), WILD_INTS), lock=WILD_LOCKS,
              note=mostly(st.just(""), WILD_TEXT)),
    st.builds(RenewLock, header=HEADERS, lock=WILD_LOCKS, ttl_ms=mostly(st.just(60_000), WILD_INTS)),
    st.builds(ReleaseLock, header=HEADERS, lock=WILD_LOCKS),
    st.builds(ReleaseLock, header=HEADERS, path=FILES | FOLDERS),
    st.builds(ReportRefusals, header=HEADERS, refusals=st.lists(REFUSALS, max_size=3).map(tuple)))
