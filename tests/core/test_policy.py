"""Rights: the table of who may do what."""

from __future__ import annotations

from contextlib import closing
from itertools import product

import pytest

from fluffy.base.ids import UserNo
from fluffy.core.access.policy import Act, sees_bucket, why_not
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, MakeFolder, RemoveFolder, SetFeatureLevel
from fluffy.core.metadata.commands_people import AddUser, SetGrant
from fluffy.core.metadata.model import Role, User
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.rights import Right
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import put

IN_BUCKET = (Act.READ, Act.WRITE, Act.ADMINISTER)
# (role, owns the bucket, strongest grant) -> how many of read, write, administer are allowed
LADDER: dict[tuple[Role, bool, Right], int] = {
    **{("admin", owns, granted): 3 for owns in (False, True) for granted in Right},
    **{("user", True, granted): 3 for granted in Right},
    ("user", False, Right.NONE): 0, ("user", False, Right.READ): 1, ("user", False, Right.WRITE): 2,
    ("user", False, Right.ADMIN): 3,
    **{("readonly", True, granted): 1 for granted in Right},
    ("readonly", False, Right.NONE): 0, ("readonly", False, Right.READ): 1, ("readonly", False, Right.WRITE): 1,
    ("readonly", False, Right.ADMIN): 1,
    **{("supernode", owns, granted): 0 for owns in (False, True) for granted in Right}}


def person(role: Role, name: str = "alice", *, disabled: bool = False) -> User:
    return User(UserNo(7), name, role, disabled)


def test_the_table_is_whole() -> None:
    assert set(LADDER) == set(product(("admin", "user", "readonly", "supernode"), (False, True), Right))


@pytest.mark.parametrize(("case", "steps"), LADDER.items())
def test_rights_inside_a_bucket(case: tuple[Role, bool, Right], steps: int) -> None:
    role, owns, granted = case
    for step, act in enumerate(IN_BUCKET):
        reason = why_not(person(role), act, bucket="docs", owner="alice" if owns else "bob", granted=granted)
        assert (reason is None) is (step < steps), act
        assert reason is None or "alice" in reason


@pytest.mark.parametrize(("role", "act", "allowed"), [
    ("admin", Act.OPERATE, True), ("user", Act.OPERATE, False), ("readonly", Act.OPERATE, False),
    ("admin", Act.SEE_CLUSTER, True), ("user", Act.SEE_CLUSTER, True), ("readonly", Act.SEE_CLUSTER, True),
    ("user", Act.WRITE, True), ("readonly", Act.WRITE, False), ("readonly", Act.READ, True),
    ("supernode", Act.WRITE, False), ("supernode", Act.READ, False), ("supernode", Act.OPERATE, False),
    ("admin", Act.FEDERATE, True), ("supernode", Act.FEDERATE, True), ("user", Act.FEDERATE, False)])
def test_rights_outside_any_existing_bucket(role: Role, act: Act, allowed: bool) -> None:
    assert (why_not(person(role), act, bucket="new", owner=None) is None) is allowed


def test_only_an_admin_acts_across_all_buckets() -> None:
    for act in IN_BUCKET:
        assert why_not(person("user"), act) is not None
        assert why_not(person("admin"), act) is None


def test_accounts_are_ones_own_or_an_admins() -> None:
    assert why_not(person("readonly"), Act.OWN_ACCOUNT, account="alice") is None
    assert why_not(person("user"), Act.OWN_ACCOUNT, account="bob") is not None
    assert why_not(person("admin"), Act.OWN_ACCOUNT, account="bob") is None


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("role", ["admin", "user", "readonly"])
def test_a_disabled_user_may_do_nothing(role: Role, act: Act) -> None:
    who = person(role, disabled=True)
    assert why_not(who, act, bucket="docs", owner="alice", granted=Right.ADMIN, account="alice") is not None


def test_listings_show_only_what_may_be_read() -> None:
    assert sees_bucket(person("user"), "alice") and not sees_bucket(person("user"), "bob")
    assert sees_bucket(person("user"), "bob", Right.READ)
    assert sees_bucket(person("admin"), "bob")


def test_the_log_decides_as_the_doors_do() -> None:
    """For every role, owner and grant: what the policy allows at the door, apply accepts, and nothing else."""
    for (role, owns, granted), _ in LADDER.items():
        if owns and role in ("admin", "supernode"):
            continue  # the same as an admin who does not own it; a supernode owns nothing
        with closing(MemoryState()) as state:
            state.accept(SetFeatureLevel(header(at_ms=0), FEATURE_LEVEL))
            user_no = state.accept(AddUser(header(at_ms=0), "alice", role)).facts["user_no"]
            state.accept(AddUser(header(at_ms=0), "bob", "user"))
            bucket = "alice" if owns else "bob"
            if granted and not owns:
                state.accept(SetGrant(header(at_ms=0), bucket, "alice", granted.name.lower()))
            user = queries.user_by_name(state.db, "alice")
            standing = queries.standing(state.db, bucket, user_no)
            assert user is not None and standing is not None
            for act, command in ((Act.WRITE, put(f"{bucket}/a", header=header(user_no, 0))),
                                 (Act.WRITE, MakeFolder(header(user_no, 0), f"{bucket}/d")),
                                 (Act.ADMINISTER, SetGrant(header(user_no, 0), bucket, "everyone", "read")),
                                 (Act.ADMINISTER, RemoveFolder(header(user_no, 0), bucket))):
                reason = why_not(user, act, bucket=bucket, owner=standing.owner, granted=standing.granted)
                [outcome] = state.run(command)
                refused = not isinstance(outcome, Accepted) and outcome.code == "AccessDenied"
                assert refused is (reason is not None), (role, owns, granted, act)
