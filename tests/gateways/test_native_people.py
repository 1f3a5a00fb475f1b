"""Logging in, tokens, users, grants, buckets, quotas and the audit log through the native door."""

from __future__ import annotations

import asyncio
import time

import pytest

from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import SetQuota
from fluffy.services import passwords
from tests.support.asking import Asker, admin_of, grant, stranger_of, user_of
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, Door

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost a millisecond; what is stored says so, and is checked as it says."""
    monkeypatch.setattr(passwords, "SCRYPT_N", 1 << 8)
    monkeypatch.setattr(passwords, "_NOBODYS", b"scrypt$256$8$3$" + b"00" * 16 + b"$" + b"00" * 32)


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def add_user(admin: Asker, name: str, role: str = "user", password: str | None = PASSWORD) -> None:
    await admin.must("POST", "/v1/admin/users", {"name": name, "role": role, "password": password})


async def log_in(door: Door, name: str, password: str = PASSWORD, **more: object) -> Asker:
    told = await stranger_of(door).must("POST", "/v1/login", {"user": name, "password": password, **more})
    return Asker(door, told["token"])


# Logging in

async def test_a_password_becomes_a_token_that_is_told_once(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    told = await stranger_of(door).ask("POST", "/v1/login", {"user": "bob", "password": PASSWORD, "label": "laptop"})
    assert told.status == 201 and told.headers["cache-control"] == "no-store"
    login = told.value
    assert (login["user"], login["role"]) == ("bob", "user") and login["expires"] > "2026"
    bob = Asker(door, login["token"])
    me = await bob.must("GET", "/v1/whoami")
    assert (me["user"], me["role"], me["token_id"], me["expires"]) == (
        "bob", "user", login["token_id"], login["expires"])
    assert me["buckets"] == ["bob"] and me["rights"] == {"bob": "owner"}
    assert me["quota"]["bytes"] == 0 and me["quota"]["bytes_max"] is None
    [line] = (await bob.must("GET", "/v1/tokens"))["tokens"]
    assert (line["label"], line["current"], line["token_id"]) == ("laptop", True, login["token_id"])
    assert login["token"] not in str(line)


async def test_a_repeated_login_gets_the_same_token_and_end(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    wish = {"user": "bob", "password": PASSWORD}
    first = await stranger_of(door).must("POST", "/v1/login", wish, Fluffy_Request_Id="l1")
    await asyncio.sleep(0.002)
    again = await stranger_of(door).must("POST", "/v1/login", wish, Fluffy_Request_Id="l1")
    other = await stranger_of(door).must("POST", "/v1/login", wish, Fluffy_Request_Id="l2")
    assert first == again != other
    assert len((await Asker(door, first["token"]).must("GET", "/v1/tokens"))["tokens"]) == 2


@pytest.mark.parametrize(("name", "password"), [
    ("bob", "wrong password"), ("nobody", PASSWORD), ("tokens-only", PASSWORD), ("off", PASSWORD), ("bob", ""),
    ("x" * 300, PASSWORD), ("a/b", PASSWORD), ("bob", "y" * 3000)])
async def test_whatever_is_wrong_the_answer_is_the_same(door: Door, admin: Asker, name: str, password: str) -> None:
    await add_user(admin, "bob")
    await add_user(admin, "tokens-only", password=None)
    await add_user(admin, "off")
    await admin.must("PATCH", "/v1/admin/users/off", {"disabled": True})
    told = await stranger_of(door).ask("POST", "/v1/login", {"user": name, "password": password})
    assert (told.status, told.error["message"]) == (401, "name or password is wrong")


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(
        door: Door, admin: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_user(admin, "bob")
    checked: list[bytes] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda password, stored: checked.append(stored) or real(password, stored))
    for name in ("bob", "nobody"):
        await stranger_of(door).ask("POST", "/v1/login", {"user": name, "password": "wrong password"})
    assert [stored.split(b"$")[:4] for stored in checked] == [[b"scrypt", b"256", b"8", b"3"]] * 2


async def test_guessing_is_stopped_and_says_for_how_long(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    bob = await log_in(door, "bob")
    stranger = stranger_of(door)
    for name in ("bob", "nobody"):
        for _ in range(passwords.ATTEMPTS_MAX):
            assert (await stranger.ask("POST", "/v1/login", {"user": name, "password": "wrong one"})).status == 401
        told = await stranger.ask("POST", "/v1/login", {"user": name, "password": PASSWORD})
        assert (told.status, told.code) == (429, "TooManyAttempts"), "even the right one, known name or not"
        assert 0 < int(told.headers["retry-after"]) <= passwords.ATTEMPTS_WINDOW_S + 1
    assert (await bob.ask("GET", "/v1/whoami")).status == 200


async def test_strangers_who_log_in_do_not_take_the_places_of_others(door: Door, admin: Asker) -> None:
    assert door.desk.data is not None
    with door.desk.data.people.logins:
        for _ in range(31):
            door.desk.data.people.logins.taken += 1
        told = await stranger_of(door).ask("POST", "/v1/login", {"user": "bob", "password": PASSWORD})
        assert (told.status, told.code) == (503, "Overloaded")
        assert (await admin.ask("GET", "/v1/whoami")).status == 200
        door.desk.data.people.logins.taken -= 31


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b'{"user": 1, "password": "x"}', b'{"user": "bob"}', b'{"user": "bob", "password": "x", "z": 1}',
    b'{"user": "\\ud800", "password": "x"}', b'{"user": "b", "password": "xxxxxxxx", "ttl_s": 0}',
    b'{"user": "b", "password": "xxxxxxxx", "ttl_s": -1}', b'{"user": "b", "password": "xxxxxxxx", "ttl_s": "1"}',
    b'{"user": "b", "password": "xxxxxxxx", "ttl_s": NaN}', b'{"user": "b", "password": "xxxxxxxx", "ttl_s": 1e400}',
    b"[" * 5000, b'{"user": %s}' % (b"9" * 5000), b"\xff"])
async def test_a_login_that_is_none_is_refused_with_a_sentence(door: Door, body: bytes) -> None:
    told = await stranger_of(door).ask("POST", "/v1/login", body)
    assert (told.status, told.code) == (400, "QuerySyntax"), told.body


async def test_a_login_s_body_is_small(door: Door) -> None:
    told = await stranger_of(door).ask("POST", "/v1/login", b" " * 9000)
    assert (told.status, told.code) == (413, "TooLarge")


async def test_a_token_ends_with_its_time_and_with_logging_out(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    short = await log_in(door, "bob", ttl_s=1)
    bob = await log_in(door, "bob")
    assert (await short.ask("GET", "/v1/whoami")).status == 200
    until = time.monotonic() + 5
    while (await short.ask("GET", "/v1/whoami")).status == 200:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    assert (await bob.must("POST", "/v1/logout"))["revoked"] == 1
    assert (await bob.ask("GET", "/v1/whoami")).status == 401


# Passwords and tokens

async def test_a_password_is_changed_by_who_knows_the_old_one(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    bob = await log_in(door, "bob")
    told = await bob.ask("PUT", "/v1/password", {"old": "wrong one", "new": "a new password"})
    assert (told.status, told.code) == (403, "AccessDenied")
    told = await bob.ask("PUT", "/v1/password", {"old": PASSWORD, "new": "short"})
    assert (told.status, told.code) == (400, "RequestError")
    await bob.must("PUT", "/v1/password", {"old": PASSWORD, "new": "a new password"}, Fluffy_Request_Id="p")
    await bob.must("PUT", "/v1/password", {"old": PASSWORD, "new": "a new password"}, Fluffy_Request_Id="p")
    assert (await stranger_of(door).ask("POST", "/v1/login", {"user": "bob", "password": PASSWORD})).status == 401
    await log_in(door, "bob", "a new password")


async def test_who_has_no_password_sets_one_with_a_token(door: Door) -> None:
    bob = user_of(door, "bob", "readonly")
    await bob.must("PUT", "/v1/password", {"new": "a new password"})
    await log_in(door, "bob", "a new password")
    assert (await bob.ask("PUT", "/v1/password", {"new": "another password"})).status == 403


async def test_tokens_for_programs_are_made_listed_and_ended(door: Door, admin: Asker) -> None:
    bob = user_of(door, "bob")
    made = await bob.must("POST", "/v1/tokens", {"label": "backup"})
    assert made["expires"] is None
    program = Asker(door, made["token"])
    assert (await program.must("GET", "/v1/whoami"))["token_id"] == made["token_id"]
    assert (await program.ask("DELETE", "/v1/tokens/xyz")).code == "QuerySyntax"
    assert (await program.ask("DELETE", "/v1/tokens/0011223344556677")).code == "TokenNotFound"
    assert (await bob.must("DELETE", f"/v1/tokens/{made['token_id']}"))["revoked"] == 1
    assert (await program.ask("GET", "/v1/whoami")).status == 401
    given = await admin.must("POST", "/v1/tokens", {"label": "from the admin", "user": "bob", "ttl_s": 60})
    assert (await Asker(door, given["token"]).must("GET", "/v1/whoami"))["user"] == "bob"
    assert len((await admin.must("GET", "/v1/tokens?user=bob"))["tokens"]) == 2
    assert (await admin.must("DELETE", "/v1/tokens/all?user=bob"))["revoked"] == 2
    assert (await bob.ask("GET", "/v1/whoami")).status == 401
    assert (await admin.ask("GET", "/v1/tokens?user=nobody")).code == "UserNotFound"


async def test_the_last_way_in_for_an_admin_stays_open(door: Door, admin: Asker) -> None:
    for method, target in (("POST", "/v1/logout"), ("DELETE", "/v1/tokens/all")):
        assert (await admin.ask(method, target)).code == "LastAdmin"
    made = await admin.must("POST", "/v1/tokens", {"label": "second"})
    assert (await admin.ask("DELETE", "/v1/tokens/all")).code == "LastAdmin"
    await Asker(door, made["token"]).must("POST", "/v1/logout")
    await admin.must("PUT", "/v1/password", {"new": "the admin's one"})
    await admin.must("POST", "/v1/logout")
    await log_in(door, "admin", "the admin's one")


# Users

async def test_users_are_made_changed_listed_and_removed(door: Door, admin: Asker) -> None:
    told = await admin.ask("POST", "/v1/admin/users", {"name": "bob", "password": PASSWORD})
    assert told.status == 201
    assert told.value | {"created": ""} == {
        "name": "bob", "role": "user", "disabled": False, "created": "", "has_password": True, "buckets": 1,
        "tokens": 0, "quota": {"files": 0, "bytes": 0, "files_max": None, "bytes_max": None, "bytes_left": None}}
    assert (await admin.ask("POST", "/v1/admin/users", {"name": "bob"})).code == "AlreadyExists"
    assert (await admin.ask("POST", "/v1/admin/users", {"name": "a/b"})).code == "NameIllegal"
    assert (await admin.ask("POST", "/v1/admin/users", {"name": "c", "role": "king"})).code == "RequestError"
    assert (await admin.ask("POST", "/v1/admin/users", {"name": "c", "password": "short"})).code == "RequestError"
    names = [user["name"] for user in (await admin.must("GET", "/v1/admin/users"))["users"]]
    assert names == ["admin", "bob"]
    page = await admin.must("GET", "/v1/admin/users?limit=1")
    assert (page["users"][0]["name"], page["after"]) == ("admin", "admin")
    bob = await log_in(door, "bob")
    changed = await admin.must("PATCH", "/v1/admin/users/bob", {"role": "readonly"})
    assert (changed["role"], changed["has_password"]) == ("readonly", True)
    assert (await bob.ask("PUT", "/v1/files/bob/f", b"x")).status == 403
    await admin.must("PATCH", "/v1/admin/users/bob", {"role": "user"})
    await bob.must("PUT", "/v1/files/bob/f", b"x")
    assert (await admin.must("PATCH", "/v1/admin/users/bob", {"password": None}))["has_password"] is False
    told = await admin.ask("DELETE", "/v1/admin/users/bob")
    assert (told.code, told.error["buckets"]) == ("UserOwnsFiles", ["bob"])
    gone = await admin.must("DELETE", "/v1/admin/users/bob?give_to=admin")
    assert gone == {"user": "bob", "removed_buckets": 0, "given_buckets": 1}
    assert (await bob.ask("GET", "/v1/whoami")).status == 401
    assert (await admin.ask("GET", "/v1/admin/users/bob")).code == "UserNotFound"
    assert (await admin.ask("PATCH", "/v1/admin/users/admin", {"disabled": True})).code == "LastAdmin"


async def test_a_disabled_user_is_out_at_once_and_back_when_enabled(door: Door, admin: Asker) -> None:
    await add_user(admin, "bob")
    bob = await log_in(door, "bob")
    await admin.must("PATCH", "/v1/admin/users/bob", {"disabled": True})
    assert (await bob.ask("GET", "/v1/dirs/bob")).status == 401
    assert (await bob.ask("PUT", "/v1/files/bob/f", b"x")).status == 401
    await admin.must("PATCH", "/v1/admin/users/bob", {"disabled": False})
    assert (await bob.ask("GET", "/v1/dirs/bob")).status == 200


# Grants and buckets

async def test_an_owner_gives_and_takes_rights(door: Door) -> None:
    alice, bob = user_of(door, "alice"), user_of(door, "bob")
    await alice.must("PUT", "/v1/files/alice/f", b"x")
    told = await alice.ask("POST", "/v1/admin/grants", {"bucket": "/alice", "user": "bob", "right": "read"})
    assert (told.status, told.value) == (201, {"bucket": "alice", "user": "bob", "right": "read", "before": None})
    told = await alice.ask("POST", "/v1/admin/grants", {"bucket": "alice", "user": "bob", "right": "write"})
    assert (told.status, told.value["before"]) == (200, "read")
    await bob.must("PUT", "/v1/files/alice/g", b"y")
    assert (await bob.must("GET", "/v1/whoami"))["rights"] == {"alice": "write", "bob": "owner"}
    assert (await alice.must("GET", "/v1/admin/grants"))["grants"] == [
        {"bucket": "alice", "user": "bob", "right": "write"}]
    await alice.must("POST", "/v1/admin/grants", {"bucket": "alice", "user": "*", "right": "read"})
    grants = (await alice.must("GET", "/v1/admin/grants?bucket=alice"))["grants"]
    assert [(line["user"], line["right"]) for line in grants] == [("everyone", "read"), ("bob", "write")]
    await bob.must("DELETE", "/v1/admin/grants?bucket=alice&user=bob")
    assert (await bob.ask("PUT", "/v1/files/alice/g", b"z")).status == 403
    await alice.must("DELETE", "/v1/admin/grants?bucket=alice&user=*")
    assert (await bob.ask("GET", "/v1/files/alice/f")).status == 403
    for body, code in (({"bucket": "alice", "user": "bob", "right": "all"}, "RequestError"),
                       ({"bucket": "alice", "user": "nobody", "right": "read"}, "UserNotFound"),
                       ({"bucket": "none", "user": "bob", "right": "read"}, "BucketNotFound"),
                       ({"bucket": "alice/f", "user": "bob", "right": "read"}, "NameIllegal"),
                       ({"bucket": "alice", "right": "read"}, "QuerySyntax"),
                       ({"bucket": "alice", "user": "a", "grantee": "b", "right": "read"}, "QuerySyntax")):
        assert (await alice.ask("POST", "/v1/admin/grants", body)).code == code
    assert (await alice.ask("DELETE", "/v1/admin/grants?bucket=alice&user=bob")).code == "GrantNotFound"
    assert (await alice.ask("DELETE", "/v1/admin/grants?bucket=alice")).code == "QuerySyntax"


async def test_a_bucket_s_rules_change_one_by_one_and_its_owner_last(door: Door, admin: Asker) -> None:
    alice = user_of(door, "alice")
    user_of(door, "bob")
    before = await alice.must("GET", "/v1/admin/buckets/alice")
    assert (before["owner"], before["trash_days"], before["holds"]["trash_days"]) == ("alice", None, 7)
    after = await alice.must("PUT", "/v1/admin/buckets/alice", {"trash_days": 2})
    assert (after["trash_days"], after["versions_max"], after["holds"]["versions_max"]) == (2, None, 100)
    after = await alice.must("PUT", "/v1/admin/buckets/alice", {"versions_max": 5})
    assert (after["trash_days"], after["versions_max"]) == (2, 5)
    assert (await alice.ask("PUT", "/v1/admin/buckets/alice", {"replication": 99})).code == "RequestError"
    assert (await alice.ask("PUT", "/v1/admin/buckets/alice", {"tags": 1})).code == "QuerySyntax"
    told = await alice.ask("PUT", "/v1/admin/buckets/alice", {"trash_days": None, "owner": "bob"})
    assert told.status == 200, told.body
    assert (await alice.ask("GET", "/v1/admin/buckets/alice")).status == 403
    line = await admin.must("GET", "/v1/admin/buckets/alice")
    assert (line["owner"], line["trash_days"], line["versions_max"]) == ("bob", None, 5)
    names = [bucket["name"] for bucket in (await admin.must("GET", "/v1/admin/buckets"))["buckets"]]
    assert names == ["admin", "alice", "bob"]
    assert (await admin.must("GET", "/v1/admin/buckets?limit=1&after=admin"))["after"] == "alice"
    assert (await alice.must("GET", "/v1/admin/buckets"))["buckets"] == []
    assert (await admin.ask("GET", "/v1/admin/buckets/none")).code == "BucketNotFound"
    grant(door, "bob", "alice", "admin")
    assert [line["name"] for line in (await alice.must("GET", "/v1/admin/buckets"))["buckets"]] == ["bob"]


# Quotas

async def test_a_quota_is_set_in_parts_and_read_by_its_user(door: Door, admin: Asker) -> None:
    bob = user_of(door, "bob")
    await bob.must("PUT", "/v1/files/bob/f", b"12345")
    await admin.must("PUT", "/v1/admin/quotas", {"subject": "user", "name": "bob", "bytes_max": 10})
    await admin.must("PUT", "/v1/admin/quotas", {"subject": "user", "name": "bob", "files_max": 2})
    assert await bob.must("GET", "/v1/quotas") == {
        "subject": "user", "name": "bob", "files": 1, "bytes": 5, "files_max": 2, "bytes_max": 10, "bytes_left": 5}
    await admin.must("PUT", "/v1/admin/quotas", {"subject": "user", "name": "bob", "bytes_max": None})
    assert (await bob.must("GET", "/v1/quotas"))["bytes_max"] is None
    await admin.must("PUT", "/v1/admin/quotas", {"subject": "bucket", "name": "/bob", "bytes_max": 6})
    assert (await bob.must("GET", "/v1/quotas?bucket=bob"))["bytes_left"] == 1
    told = await bob.ask("PUT", "/v1/files/bob/g", b"12")
    assert (told.status, told.code) == (507, "QuotaExceeded") and "uses 5 of the 6 bytes" in told.error["message"]
    for body in ({}, {"subject": "king", "bytes_max": 1}, {"bytes_max": -1}, {"files_max": True}):
        body = {"subject": "user", "name": "bob"} | body
        assert (await admin.ask("PUT", "/v1/admin/quotas", body)).code == "QuerySyntax"
    assert (await admin.ask("GET", "/v1/quotas?user=nobody")).code == "UserNotFound"
    assert (await admin.ask("GET", "/v1/quotas?bucket=nothing")).code == "BucketNotFound"
    assert (await admin.ask("GET", "/v1/quotas?bucket=bob&user=bob")).code == "QuerySyntax"


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
async def test_an_upload_that_outgrows_its_quota_is_refused_early_and_leaves_nothing(
        door: Door, announced: bool) -> None:
    bob = user_of(door, "bob")
    door.cluster.log.apply(SetQuota(header(), "user", "bob", 3 * CHUNK_SIZE, None))
    sent = 0

    async def pieces():  # type: ignore[no-untyped-def]
        nonlocal sent
        for _ in range(2000):
            sent += CHUNK_SIZE
            yield bytes(CHUNK_SIZE)

    body = bytes(4 * CHUNK_SIZE) if announced else pieces()
    async with door.client.put(f"{door.url}/v1/files/bob/f", data=body,
                               headers={"Authorization": "Bearer bob"}) as answer:
        assert answer.status == 507
        error = (await answer.json())["error"]
    assert (error["code"], error["bytes_left"]) == ("QuotaExceeded", 3 * CHUNK_SIZE)
    assert sent < 1000 * CHUNK_SIZE, "the rest was not even sent"
    assert door.files() == 0
    assert (await bob.must("GET", "/v1/quotas"))["bytes"] == 0
    await bob.must("PUT", "/v1/files/bob/f", bytes(3 * CHUNK_SIZE))
    await bob.must("PUT", "/v1/files/bob/f", b"\x01" * (3 * CHUNK_SIZE))
    told = await bob.ask("PUT", "/v1/files/bob/f", bytes(3 * CHUNK_SIZE + 1))
    assert told.code == "QuotaExceeded" and told.error["bytes_left"] == 3 * CHUNK_SIZE
    assert (await bob.must("GET", "/v1/info/bob/f"))["generation"] == 2


# What is remembered

async def refusals(door: Door, admin: Asker) -> list[tuple[str, str, str, str]]:
    assert door.desk.data is not None
    await door.desk.data.people.refusals.report()
    rows = (await admin.must("GET", "/v1/admin/audit?refused=1"))["audit"]
    assert all(row["refused"] for row in rows)
    return [(row["who"], row["act"], row["target"], row["detail"]) for row in rows]


async def test_refusals_and_changes_of_rights_are_in_the_audit_log(door: Door, admin: Asker) -> None:
    await add_user(admin, "alice")
    bob = user_of(door, "bob")
    await bob.ask("GET", "/v1/files/alice/f")
    await bob.ask("POST", "/v1/admin/users", {"name": "eve"})
    await bob.ask("PUT", "/v1/locks/secret-of-a-lock", {"ttl_s": 1})
    await stranger_of(door).ask("POST", "/v1/login", {"user": "alice", "password": "wrong one"})
    await stranger_of(door).ask("POST", "/v1/login", {"user": "my password", "password": "alice"})
    for number in range(300):
        await Asker(door, "nonsense").ask("GET", f"/v1/files/alice/{number}")
    found = await refusals(door, admin)
    assert ("bob", "GET /v1/files/{path}", "/v1/files/alice/f",
            "bucket alice belongs to alice; user bob may not read what is in it") in found
    assert ("bob", "POST /v1/admin/users", "/v1/admin/users", "only an admin may operate the cluster") in found
    assert ("alice", "POST /v1/login", "127.0.0.1", "name or password is wrong") in found
    assert ("", "POST /v1/login", "127.0.0.1", "name or password is wrong") in found
    assert len(found) == 5, "a stranger's 300 addresses are one line"
    assert any(act == "authenticate" and "(300 times)" in detail for _, act, _, detail in found)
    assert not any("secret" in " ".join(row) or "my password" in " ".join(row) for row in found)
    rows = (await admin.must("GET", "/v1/admin/audit?who=admin&limit=1"))["audit"]
    assert [(row["act"], row["target"]) for row in rows] == [("add-user", "alice")] or rows
    page = await admin.must("GET", "/v1/admin/audit?limit=2")
    older = await admin.must("GET", f"/v1/admin/audit?limit=2&before={page['before']}")
    assert [row["no"] for row in page["audit"] + older["audit"]] == sorted(
        (row["no"] for row in page["audit"] + older["audit"]), reverse=True)


async def test_no_secret_is_in_a_log_line_or_in_the_state(
        door: Door, admin: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await add_user(admin, "bob")
    bob = await log_in(door, "bob")
    lock = await bob.must("POST", "/v1/locks", {"path": "/bob/f"})
    signed = await bob.must("POST", "/v1/sign", {"path": "/bob/f", "method": "GET"})
    await bob.must("PUT", f"/v1/locks/{lock['token']}", {"ttl_s": 5})
    await stranger_of(door).ask("GET", signed["target"])
    door.desk.access_log.flush()
    text = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "/v1/login" in text and "/v1/files/bob/f" in text
    dump = door.cluster.reader.read(lambda db: "\n".join(db.iterdump()))
    for secret in (PASSWORD, str(bob.token), lock["token"], signed["target"].partition("signed=")[2]):
        assert secret not in text
        assert secret not in dump
    assert door.cluster.reader.read(lambda db: queries.login_by_name(db, "bob")) is not None
