"""Hypothesis strategies for commands about people, mostly about the same few of them."""

from __future__ import annotations

from hypothesis import strategies as st

from fluffy.base.ids import UserNo
from fluffy.core.metadata.commands import AddToken, Command
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
from tests.support.metadata_strategies import (
    FILE_PATHS,
    FOLDER_PATHS,
    INT_MAX,
    WILD_INTS,
    WILD_TEXT,
    headers,
    mostly,
)

NAMES = mostly(st.sampled_from(["admin", "bob", "eve"]), WILD_TEXT | st.just("everyone"))
GRANTEES = mostly(st.sampled_from(["bob", "eve", "everyone"]), WILD_TEXT)
BUCKETS = mostly(st.sampled_from(["admin", "bob", "eve", "new"]), WILD_TEXT)
ROLES = mostly(st.sampled_from(["user", "admin", "readonly"]), WILD_TEXT)
# The number of a user depends on what was made before it; these are likely ones.
ASKERS = st.sampled_from([1, 1, 1, 1, 2, 3, 4, 5, 0, INT_MAX]).map(UserNo)
LOCKS = st.sampled_from([b"l" * 32, b"m" * 32, b"n" * 32])
WILD_LOCKS = mostly(LOCKS, st.binary(max_size=33))
LIMITS = st.none() | st.sampled_from([0, 1, 2, 3, 200]) | WILD_INTS
REFUSALS = st.builds(Refusal, at_ms=WILD_INTS, user=WILD_TEXT, act=WILD_TEXT, target=WILD_TEXT, reason=WILD_TEXT)

PEOPLE: st.SearchStrategy[Command] = st.one_of(
    st.builds(AddUser, header=headers(ASKERS), name=NAMES, role=ROLES, password=st.binary(max_size=2)),
    st.builds(AddUser, header=headers(ASKERS), name=NAMES, role=ROLES),
    st.builds(ChangeUser, header=headers(ASKERS), name=NAMES, role=st.none() | ROLES,
              password=st.none() | st.binary(max_size=2) | st.just(b"x" * 300), disabled=st.none() | st.booleans()),
    st.builds(RemoveUser, header=headers(ASKERS), name=NAMES, give_to=st.none() | NAMES),
    st.builds(AddToken, header=headers(ASKERS), user=NAMES, token_hash=st.sampled_from([b"t" * 32, b"u" * 32, b""]),
              label=WILD_TEXT, expires_ms=WILD_INTS),
    st.builds(RevokeToken, header=headers(ASKERS), user=NAMES,
              token_id=st.sampled_from([b"t" * 8, b"u" * 8, b"", b"t"])),
    st.builds(SetGrant, header=headers(ASKERS), bucket=BUCKETS, grantee=GRANTEES,
              right=mostly(st.sampled_from(["read", "write", "admin"]), WILD_TEXT)),
    st.builds(RemoveGrant, header=headers(ASKERS), bucket=BUCKETS, grantee=GRANTEES),
    st.builds(GiveBucket, header=headers(ASKERS), bucket=BUCKETS, owner=NAMES),
    st.builds(SetQuota, header=headers(ASKERS), subject=mostly(st.sampled_from(["user", "bucket"]), WILD_TEXT),
              name=BUCKETS, bytes_max=LIMITS, files_max=LIMITS),
    st.builds(AcquireLock, header=headers(ASKERS), path=FILE_PATHS | FOLDER_PATHS,
              mode=mostly(st.sampled_from(["exclusive", "shared"]), WILD_TEXT),
              ttl_ms=mostly(st.sampled_from([1_000, 60_000, 3_600_000]), WILD_INTS), lock=WILD_LOCKS,
              note=mostly(st.just(""), WILD_TEXT)),
    st.builds(RenewLock, header=headers(ASKERS), lock=WILD_LOCKS, ttl_ms=mostly(st.just(60_000), WILD_INTS)),
    st.builds(ReleaseLock, header=headers(ASKERS), lock=WILD_LOCKS),
    st.builds(ReleaseLock, header=headers(ASKERS), path=FILE_PATHS | FOLDER_PATHS),
    st.builds(ReportRefusals, header=headers(ASKERS), refusals=st.lists(REFUSALS, max_size=3).map(tuple)))
