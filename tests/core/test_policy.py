"""Rights: the table of who may do what."""

from __future__ import annotations

import pytest

from fluffy.base.ids import UserNo
from fluffy.core.access.policy import Act, sees_bucket, why_not
from fluffy.core.metadata.model import Role, User


def person(role: Role, name: str = "alice") -> User:
    return User(UserNo(7), name, role)


@pytest.mark.parametrize(("role", "act", "owner", "allowed"), [
    ("admin", Act.READ, "bob", True), ("admin", Act.WRITE, "bob", True), ("admin", Act.OPERATE, None, True),
    ("user", Act.READ, "alice", True), ("user", Act.WRITE, "alice", True),
    ("user", Act.READ, "bob", False), ("user", Act.WRITE, "bob", False),
    ("user", Act.WRITE, None, True), ("user", Act.OPERATE, None, False), ("user", Act.SEE_CLUSTER, None, True),
    ("readonly", Act.READ, "alice", True), ("readonly", Act.WRITE, "alice", False),
    ("readonly", Act.WRITE, None, False), ("readonly", Act.READ, "bob", False),
    ("readonly", Act.SEE_CLUSTER, None, True), ("readonly", Act.OPERATE, None, False),
])
def test_rights_inside_a_bucket(role: Role, act: Act, owner: str | None, allowed: bool) -> None:
    reason = why_not(person(role), act, bucket="docs", owner=owner)
    assert (reason is None) is allowed
    assert allowed or reason


def test_only_an_admin_reads_across_all_buckets() -> None:
    assert why_not(person("user"), Act.READ) is not None
    assert why_not(person("admin"), Act.READ) is None


def test_listings_show_only_what_may_be_read() -> None:
    assert sees_bucket(person("user"), "alice") and not sees_bucket(person("user"), "bob")
    assert sees_bucket(person("admin"), "bob")
