"""Users, tokens, grants, owners, quotas, the audit log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluffy.base.ids import UserNo
from fluffy.core.metadata import apply_grants, apply_users, audit, queries
from fluffy.core.metadata.commands import AddToken, DeleteFile, Header, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_people import (
    AddUser,
    ChangeUser,
    GiveBucket,
    Refusal,
    RemoveGrant,
    RemoveUser,
    ReportRefusals,
    RevokeToken,
    SetGrant,
    SetQuota,
)
from fluffy.core.metadata.model import User
from fluffy.core.metadata.model_people import Grant, QuotaUse
from fluffy.core.metadata.rights import Right
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import CLUSTER, put, put_chunks
from tests.support.metadata_recount import check_state


class Town(MemoryState):
    """A cluster with admin, bob and eve (users) and ray (read-only), and short names for what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.no: dict[str, UserNo] = {"admin": UserNo(1), "cluster": CLUSTER, "nobody": UserNo(999)}
        for name, role in (("bob", "user"), ("eve", "user"), ("ray", "readonly")):
            self.no[name] = self.accept(AddUser(self.by("admin"), name, role)).facts["user_no"]

    def by(self, name: str, at_ms: int = 1_000) -> Header:
        return header(self.no[name], at_ms)

    def put(self, by: str, path: str, data: bytes = b"data") -> str | None:
        """None when it was accepted, else the code of the refusal."""
        [outcome] = self.run(put(path, data, header=self.by(by)))
        return getattr(outcome, "code", None)

    def quota(self, bucket: str) -> QuotaUse:
        use = queries.bucket_quota(self.db, bucket)
        assert use is not None
        return use

    def grant(self, bucket: str, grantee: str, right: str, by: str = "admin") -> None:
        self.accept(SetGrant(self.by(by), bucket, grantee, right))


@pytest.fixture
def town() -> Iterator[Town]:
    state = Town()
    yield state
    check_state(state.db)
    again = state.reopened()
    assert again.machine.digest() == state.machine.digest()
    state.close()


def test_a_user_comes_with_a_home_bucket_of_its_own(town: Town) -> None:
    assert [info.path for info in queries.buckets(town.db)] == ["admin", "bob", "eve", "ray"]
    assert town.put("bob", "bob/a") is None
    assert town.put("eve", "bob/b") == "AccessDenied"
    assert town.put("ray", "ray/a") == "AccessDenied"
    person = queries.person(town.db, "bob")
    assert person is not None and (person.user.role, person.buckets, person.has_password) == ("user", 1, False)
    assert [line.user.name for line in queries.people(town.db, None, 2)] == ["admin", "bob"]
    assert [line.user.name for line in queries.people(town.db, "bob", 9)] == ["eve", "ray"]
    assert queries.person(town.db, "bo") is None and queries.person(town.db, "\ud800") is None


@pytest.mark.parametrize(("name", "role", "code"), [
    ("bob", "user", "AlreadyExists"), ("docs", "user", "AlreadyExists"), ("x", "king", "RequestError"),
    ("a/b", "user", "NameIllegal"), ("..", "user", "NameIllegal"), ("", "user", "NameIllegal"),
    ("everyone", "user", "NameIllegal"), ("x" * 300, "user", "NameIllegal"), ("\ud800", "user", "NameIllegal"),
    ("a\x00", "user", "NameIllegal")])
def test_names_and_roles_that_cannot_be(town: Town, name: str, role: str, code: str) -> None:
    town.accept(MakeFolder(town.by("eve"), "docs"))
    assert town.reject(AddUser(town.by("admin"), name, role)).code == code
    assert town.reject(AddUser(town.by("bob"), "new", "user")).code == "AccessDenied"


def test_a_new_user_never_finds_the_trash_of_an_old_one(town: Town) -> None:
    town.put("bob", "bob/secret")
    town.accept(DeleteFile(town.by("bob"), "bob/secret"))
    town.accept(RemoveUser(town.by("admin"), "bob"))
    assert town.reject(AddUser(town.by("admin"), "bob", "user")).code == "AlreadyExists"
    assert town.put("eve", "bob/mine") == "AlreadyExists"
    assert town.reject(MakeFolder(town.by("eve"), "bob")).code == "AlreadyExists"
    town.accept(MakeFolder(town.by("admin"), "bob"))


def test_roles_passwords_and_disabling_change_what_somebody_may(town: Town) -> None:
    town.accept(ChangeUser(town.by("admin"), "bob", role="readonly"))
    assert town.put("bob", "bob/a") == "AccessDenied"
    town.accept(ChangeUser(town.by("admin"), "bob", role="user"))
    assert town.put("bob", "bob/a") is None
    town.accept(AddToken(town.by("bob"), "bob", b"t" * 32, "laptop"))
    town.accept(ChangeUser(town.by("admin"), "bob", disabled=True))
    assert town.put("bob", "bob/a") == "AccessDenied"
    assert queries.credential_by_token_hash(town.db, b"t" * 32, 0) is None
    assert queries.login_by_name(town.db, "bob") is None
    assert town.reject(ChangeUser(town.by("bob"), "bob", password=b"x")).code == "AccessDenied"
    town.accept(ChangeUser(town.by("admin"), "bob", disabled=False))
    assert queries.credential_by_token_hash(town.db, b"t" * 32, 0) is not None


def test_users_change_their_own_password_and_nothing_else(town: Town) -> None:
    town.accept(ChangeUser(town.by("bob"), "bob", password=b"scrypt"))
    login = queries.login_by_name(town.db, "bob")
    assert login is not None and login.password == b"scrypt"
    assert town.reject(ChangeUser(town.by("bob"), "bob", role="admin")).code == "AccessDenied"
    assert town.reject(ChangeUser(town.by("bob"), "eve", password=b"x")).code == "AccessDenied"
    assert town.reject(ChangeUser(town.by("admin"), "bob", password=b"x" * 300)).code == "RequestError"
    town.accept(ChangeUser(town.by("bob"), "bob", password=b""))
    login = queries.login_by_name(town.db, "bob")
    assert login is not None and login.password == b""


def test_somebody_can_always_administer(town: Town) -> None:
    for command in (ChangeUser(town.by("admin"), "admin", role="user"), RemoveUser(town.by("admin"), "admin"),
                    ChangeUser(town.by("admin"), "admin", disabled=True)):
        assert town.reject(command).code == "LastAdmin"
    town.accept(ChangeUser(town.by("admin"), "bob", role="admin"))
    town.accept(ChangeUser(town.by("admin"), "admin", role="user"))
    assert town.reject(AddUser(town.by("admin"), "new", "user")).code == "AccessDenied"


def test_a_user_with_files_goes_only_when_somebody_takes_them(town: Town) -> None:
    town.put("bob", "bob/a")
    town.accept(MakeFolder(town.by("bob"), "empty"))
    town.grant("eve", "bob", "read")
    town.accept(AddToken(town.by("bob"), "bob", b"t" * 32, ""))
    refusal = town.reject(RemoveUser(town.by("admin"), "bob"))
    assert (refusal.code, refusal.facts) == ("UserOwnsFiles", {"buckets": ["bob"], "count": 1})
    assert town.reject(RemoveUser(town.by("admin"), "bob", "bob")).code == "UserNotFound"
    assert town.reject(RemoveUser(town.by("eve"), "bob", "eve")).code == "AccessDenied"
    town.accept(SetQuota(town.by("admin"), "user", "ray", 3, None))
    assert town.reject(RemoveUser(town.by("admin"), "bob", "ray")).code == "QuotaExceeded"
    assert town.accept(RemoveUser(town.by("admin"), "bob", "eve")).facts == {"removed": 1, "given": 1}
    standing = queries.standing(town.db, "bob", town.no["eve"])
    assert standing is not None and standing.owner == "eve"
    assert queries.user_quota(town.db, town.no["eve"]) == QuotaUse(1, 4, None, None)
    assert queries.standing(town.db, "empty", UserNo(1)) is None
    assert queries.credential_by_token_hash(town.db, b"t" * 32, 0) is None and not queries.grants_of(town.db, "eve")
    assert town.put("bob", "bob/a") == "AccessDenied"
    assert town.put("eve", "bob/a") is None


def test_tokens_expire_are_listed_and_revoked(town: Town) -> None:
    for number, ends_ms in ((1, 0), (2, 5_000), (3, 0)):
        town.accept(AddToken(town.by("bob"), "bob", bytes([number]) * 32, f"t{number}", ends_ms))
    credential = queries.credential_by_token_hash(town.db, b"\x02" * 32, 4_999)
    assert credential is not None and (credential.user.name, credential.token_id) == ("bob", "02" * 8)
    assert queries.credential_by_token_hash(town.db, b"\x02" * 32, 5_000) is None
    assert [(line.token_id, line.label, line.expires_ms) for line in queries.tokens(town.db, town.no["bob"])] == [
        ("01" * 8, "t1", 0), ("02" * 8, "t2", 5_000), ("03" * 8, "t3", 0)]
    assert town.reject(RevokeToken(town.by("eve"), "bob", b"\x01" * 8)).code == "AccessDenied"
    assert town.reject(RevokeToken(town.by("bob"), "bob", b"\x09" * 8)).code == "TokenNotFound"
    assert town.reject(RevokeToken(town.by("bob"), "bob", b"\x01")).code == "RequestError"
    town.accept(RevokeToken(town.by("bob"), "bob", b"\x01" * 8))
    assert queries.credential_by_token_hash(town.db, b"\x01" * 32, 0) is None
    town.accept(AddToken(town.by("bob", 6_000), "bob", b"\x04" * 32, ""))
    assert len(queries.tokens(town.db, town.no["bob"])) == 2, "what has expired goes with the next one"
    assert town.accept(RevokeToken(town.by("admin"), "bob", b"")).facts == {"revoked": 2}
    assert queries.tokens(town.db, town.no["bob"]) == ()


def test_a_users_tokens_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_users, "TOKENS_OF_USER_MAX", 2)
    town.accept(AddToken(town.by("bob"), "bob", b"1" * 32, "", 1_500))
    town.accept(AddToken(town.by("bob"), "bob", b"2" * 32, ""))
    assert town.reject(AddToken(town.by("bob"), "bob", b"3" * 32, "")).code == "TooLarge"
    town.accept(AddToken(town.by("bob", 2_000), "bob", b"3" * 32, ""))


def test_grants_open_a_bucket_step_by_step(town: Town) -> None:
    town.put("bob", "bob/a")
    town.grant("bob", "eve", "read", by="bob")
    assert town.put("eve", "bob/b") == "AccessDenied"
    assert queries.readable_buckets(town.db, _user(town, "eve")) == {"bob", "eve"}
    town.grant("bob", "eve", "write", by="bob")
    assert town.put("eve", "bob/b") is None
    assert town.reject(SetGrant(town.by("eve"), "bob", "ray", "read")).code == "AccessDenied"
    assert town.reject(RemoveFolder(town.by("eve"), "bob")).code == "AccessDenied"
    town.grant("bob", "eve", "admin", by="bob")
    town.grant("bob", "everyone", "write", by="eve")
    assert queries.grants_of(town.db, "bob") == (Grant("bob", "everyone", "write"), Grant("bob", "eve", "admin"))
    assert town.put("ray", "bob/c") == "AccessDenied", "read-only stays read-only"
    assert town.reject(GiveBucket(town.by("eve"), "bob", "eve")).code == "AccessDenied"
    assert queries.granted_buckets(town.db, town.no["ray"]) == {"bob": Right.WRITE}
    town.accept(RemoveGrant(town.by("eve"), "bob", "eve"))
    assert town.reject(RemoveGrant(town.by("bob"), "bob", "eve")).code == "GrantNotFound"
    town.accept(RemoveGrant(town.by("bob"), "bob", "everyone"))
    assert town.put("eve", "bob/b") == "AccessDenied"


def _user(town: Town, name: str) -> User:
    user = queries.user_by_name(town.db, name)
    assert user is not None
    return user


def test_grants_that_cannot_be(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for bucket, grantee, right, code in (
            ("none", "eve", "read", "BucketNotFound"), ("bob/x", "eve", "read", "BucketNotFound"),
            ("bob", "none", "read", "UserNotFound"), ("bob", "\ud800", "read", "UserNotFound"),
            ("bob", "eve", "fly", "RequestError"), ("bob", "bob", "read", "RequestError")):
        assert town.reject(SetGrant(town.by("admin"), bucket, grantee, right)).code == code
    monkeypatch.setattr(apply_grants, "GRANTS_OF_BUCKET_MAX", 1)
    town.grant("bob", "eve", "read")
    assert town.reject(SetGrant(town.by("bob"), "bob", "ray", "read")).code == "TooLarge"
    town.grant("bob", "eve", "write")


def test_a_bucket_made_again_has_no_old_grants_nor_quota(town: Town) -> None:
    town.accept(MakeFolder(town.by("bob"), "docs"))
    town.grant("docs", "eve", "admin")
    town.accept(SetQuota(town.by("admin"), "bucket", "docs", 1, 1))
    town.accept(RemoveFolder(town.by("bob"), "docs"))
    town.accept(MakeFolder(town.by("bob"), "docs"))
    assert town.put("eve", "docs/a") == "AccessDenied" and town.quota("docs") == QuotaUse(0, 0, None, None)


def test_a_given_bucket_counts_for_its_new_owner(town: Town) -> None:
    town.put("bob", "bob/a", b"12345")
    town.accept(SetQuota(town.by("admin"), "user", "eve", 4, None))
    assert town.reject(GiveBucket(town.by("bob"), "bob", "eve")).code == "QuotaExceeded"
    town.accept(SetQuota(town.by("admin"), "user", "eve", 9, None))
    town.accept(GiveBucket(town.by("bob"), "bob", "eve"))
    assert queries.user_quota(town.db, town.no["bob"]).bytes == 0
    assert queries.user_quota(town.db, town.no["eve"]) == QuotaUse(1, 5, None, 9)
    assert town.put("bob", "bob/b") == "AccessDenied" and town.put("eve", "bob/b", b"1234") is None
    assert town.put("eve", "eve/c", b"1") == "QuotaExceeded"


def test_what_does_not_fit_is_refused_with_how_much_is_used_of_what(town: Town) -> None:
    town.accept(SetQuota(town.by("admin"), "user", "bob", 10_000, None))
    town.accept(SetQuota(town.by("admin"), "bucket", "bob", None, 2))
    assert town.put("bob", "bob/a", b"x" * 9_000) is None
    refusal = town.reject(put("bob/b", b"x" * 1_001, header=town.by("bob")))
    assert refusal.code == "QuotaExceeded"
    assert refusal.message == ("user bob uses 9,000 of the 10,000 bytes that its quota allows; 1,001 more do not fit")
    assert refusal.facts == {"subject": "user", "name": "bob", "unit": "bytes", "used": 9_000, "limit": 10_000,
                             "wanted": 1_001}
    assert town.put("bob", "bob/b", b"x" * 1_000) is None
    assert town.put("bob", "bob/c", b"") == "QuotaExceeded", "two files are there"
    assert town.put("bob", "other/c", b"x") == "QuotaExceeded", "a new bucket counts for its maker"
    assert town.put("bob", "bob/a", b"x" * 9_001) == "QuotaExceeded"
    assert town.put("bob", "bob/a", b"x" * 8_000) is None, "an update counts by its difference"
    assert queries.bytes_left(town.db, "bob", town.no["bob"]) == 1_000
    assert queries.bytes_left(town.db, "eve", town.no["bob"]) is None
    town.accept(DeleteFile(town.by("bob"), "bob/a"))
    assert town.quota("bob") == QuotaUse(1, 1_000, 2, None)
    assert town.put("bob", "bob/c", b"x" * 9_000) is None


def test_a_quota_below_what_is_used_refuses_growth_only(town: Town) -> None:
    town.put("bob", "bob/a", b"12345")
    assert town.accept(SetQuota(town.by("admin"), "bucket", "bob", 2, 0)).facts == {"files": 1, "bytes": 5}
    assert town.put("bob", "bob/a", b"1234") is None
    assert town.put("bob", "bob/a", b"12345") == "QuotaExceeded"
    assert town.put("bob", "bob/b", b"") == "QuotaExceeded"
    town.accept(DeleteFile(town.by("bob"), "bob/a"))
    for subject, name, limit, code in (("house", "bob", 1, "RequestError"), ("user", "none", 1, "UserNotFound"),
                                       ("bucket", "none", 1, "BucketNotFound"),
                                       ("user", "bob", 1 << 62, "RequestError")):
        assert town.reject(SetQuota(town.by("admin"), subject, name, limit, None)).code == code
    assert town.reject(SetQuota(town.by("bob"), "user", "bob", None, None)).code == "AccessDenied"


def test_whoever_writes_the_owner_pays(town: Town) -> None:
    town.grant("bob", "eve", "write")
    town.accept(SetQuota(town.by("admin"), "user", "bob", 4, None))
    assert town.put("eve", "bob/a", b"12345") == "QuotaExceeded"
    assert town.put("eve", "bob/a", b"1234") is None
    assert queries.user_quota(town.db, town.no["eve"]).bytes == 0
    chunked = put_chunks("eve/big", 1, 2, header=town.by("eve"))
    town.accept(chunked)
    assert queries.user_quota(town.db, town.no["eve"]).bytes == 2 << 20


def test_every_change_of_rights_is_in_the_audit_log(town: Town) -> None:
    town.grant("bob", "eve", "read", by="bob")
    town.accept(SetQuota(town.by("admin"), "user", "bob", 5, None))
    town.reject(AddUser(town.by("bob"), "x", "user"))
    rows = queries.audit(town.db, before=None, limit=2)
    assert [(row.who, row.act, row.target, row.refused, row.detail) for row in rows] == [
        ("admin", "quota-user", "bob", False, "any files, 5 bytes"), ("bob", "grant", "bob", False, "read to eve")]
    older = queries.audit(town.db, before=rows[-1].no, limit=10)
    assert [(row.act, row.target) for row in older] == [("add-user", "ray"), ("add-user", "eve"), ("add-user", "bob")]
    assert len(queries.audit(town.db, before=None, limit=9, who="bob")) == 1
    assert len(queries.audit(town.db, before=None, limit=9, target="bob", act="add-user")) == 1
    assert queries.audit(town.db, before=None, limit=9, since_ms=2_000) == ()


def test_refusals_come_from_doors_in_batches(town: Town) -> None:
    refusal = Refusal(77, "mallory", "write", "/bob/a", "no")
    town.accept(ReportRefusals(town.by("cluster"), (refusal, refusal)))
    rows = queries.audit(town.db, before=None, limit=2)
    assert [(row.at_ms, row.who, row.refused, row.detail) for row in rows] == [(77, "mallory", True, "no")] * 2
    assert town.reject(ReportRefusals(town.by("bob"), (refusal,))).code == "AccessDenied"
    assert town.reject(ReportRefusals(town.by("cluster"), (refusal,) * 257)).code == "TooLarge"
    long = Refusal(1, "x" * 1_201, "", "", "")
    assert town.reject(ReportRefusals(town.by("cluster"), (long,))).code == "TooLarge"


def test_the_audit_log_is_bounded(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "AUDIT_ROWS_MAX", 20)
    monkeypatch.setattr(audit, "CUT_BATCH", 5)
    for number in range(50):
        town.accept(ReportRefusals(town.by("cluster"), (Refusal(number, "", "read", "/x", "no"),)))
    rows = queries.audit(town.db, before=None, limit=100)
    assert 20 <= len(rows) < 25 and rows[0].no == 53 and rows[-1].no == 53 - len(rows) + 1


def test_buckets_are_listed_with_what_they_hold_and_who_may_use_them(town: Town) -> None:
    town.put("bob", "bob/d/a")
    town.grant("bob", "eve", "read")
    infos = queries.bucket_infos(town.db, "admin", 1)
    assert [(info.name, info.owner, info.quota.files, info.grants) for info in infos] == [
        ("bob", "bob", 1, (Grant("bob", "eve", "read"),))]
    assert [info.name for info in queries.bucket_infos(town.db, None, 9)] == ["admin", "bob", "eve", "ray"]
