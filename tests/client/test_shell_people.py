"""The commands about people, once each from the command line, in front of a real door."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fluffy.apps.connecting import connect
from fluffy.client.keepsakes import Logins
from fluffy.client.shell.session import Connection, ConnectOptions
from tests.client.shell_door import Said, Shell

PASSWORD = "correct horse battery"


@pytest.fixture
def alice(shell: Shell) -> str:
    assert shell("users", "add", "alice", "--password-stdin", stdin=PASSWORD.encode()).code == 0
    return "alice"


@pytest.fixture(autouse=True)
def no_credentials_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FLUFFY_TOKEN", "FLUFFY_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stored(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The shell with the credentials of the user's config folder, as `fluffy` has them; the admin's are not found."""
    monkeypatch.setenv("FLUFFY_PEERS", shell.door.url)
    monkeypatch.setattr(Shell, "connection", property(lambda self: connect(ConnectOptions())), raising=False)
    return shell


def facts(shell: Shell, *arguments: str, stdin: bytes = b"") -> Any:
    said = shell(*arguments, "--json", stdin=stdin)
    assert said.code == 0, said.out + said.err
    return said.json


def as_user(shell: Shell, token: str) -> None:
    shell.connection = Connection((shell.door.url,), token)


def test_whoami_tells_user_role_quota_and_buckets(shell: Shell) -> None:
    assert facts(shell, "whoami")["user"] == "admin"
    said = shell("whoami")
    assert "role" in said.out and "admin" in said.out


def test_users_are_added_changed_listed_and_removed(shell: Shell, alice: str) -> None:
    assert shell.sdk.info("/alice").document["owner"] == "alice", "the home bucket is made with the user"
    assert {user["name"] for user in facts(shell, "users")["users"]} == {"admin", "alice"}
    assert shell("users", "add", "alice").code == 1
    assert facts(shell, "users", "change", "alice", "--role", "readonly", "--disable")["disabled"] is True
    assert "disabled" in shell("users").out
    assert shell("users", "change", "alice").code == 2
    assert shell("users", "remove", "alice").code == 2, "asks first"
    shell.sdk.put("/alice/file", b"x")
    assert shell("users", "remove", "alice", "--yes").code == 1, "her bucket is not empty"
    assert shell("users", "remove", "alice", "--give-to", "admin", "--yes").code == 0
    assert shell.sdk.info("/alice").document["owner"] == "admin"


def login(shell: Shell, *more: str) -> Said:
    return shell("login", "alice", "--password-stdin", *more, stdin=PASSWORD.encode() + b"\n")


def test_a_login_is_stored_for_its_owner_only_and_used_from_then_on(stored: Shell, alice_token_free: None) -> None:
    said = login(stored)
    assert said.code == 0, said.err
    file = Logins(os.environ).path
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert PASSWORD not in file.read_text()
    assert facts(stored, "whoami")["user"] == "alice"
    assert stored("pwd").out == "/alice\n"
    assert stored("ls", "/admin").code == 1


@pytest.fixture
def alice_token_free(shell: Shell) -> None:
    shell.sdk.add_user("alice", "user", PASSWORD)


def test_logout_ends_the_token_and_forgets_it(stored: Shell, alice_token_free: None) -> None:
    login(stored)
    assert Logins(os.environ).for_peers([stored.door.url]) is not None
    assert stored("logout").code == 0
    assert Logins(os.environ).for_peers([stored.door.url]) is None
    said = stored("whoami")
    assert said.code == 1 and "no token was found" in said.err
    assert stored("logout").code == 1


def test_a_login_goes_to_no_other_cluster(stored: Shell, alice_token_free: None) -> None:
    login(stored)
    assert connect(ConnectOptions(peer="http://127.0.0.1:9")).token is None
    assert connect(ConnectOptions(peer=stored.door.url)).token is not None
    assert connect(ConnectOptions(peer=stored.door.url, token="given")).token == "given"


def test_a_login_that_has_ended_says_so_and_can_be_forgotten(stored: Shell, alice_token_free: None) -> None:
    login(stored)
    stored.sdk.revoke_token("all", "alice")
    said = stored("ls")
    assert said.code == 1 and "'login' again, or 'logout'" in said.err
    assert login(stored).code == 0, "the ended token is not in the way"
    stored.sdk.revoke_token("all", "alice")
    assert stored("logout").code == 0
    assert "no token was found" in stored("ls").err


def test_a_wrong_password_is_refused_and_stores_nothing(stored: Shell, alice_token_free: None) -> None:
    said = stored("login", "alice", "--password-stdin", stdin=b"wrong\n")
    assert said.code == 1
    assert not Logins(os.environ).path.exists()
    assert stored("login", "alice").code == 2, "nobody can be asked"
    assert stored("login", "alice", "--password-stdin").code == 2, "no password came"


def test_a_session_becomes_the_user_who_logs_in(shell: Shell, alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluffy.client.shell.people._password", lambda *_, **__: PASSWORD)
    said = shell.lines("login alice", "pwd", "whoami --json", "upload - x", "logout")
    assert "/alice\n" in said.out and '"user": "alice"' in said.out
    assert "alice is logged out" in said.out


def test_a_password_is_changed_by_its_owner(stored: Shell, alice_token_free: None) -> None:
    login(stored)
    assert stored("password", "--password-stdin", stdin=b"wrong\nanother one 123\n").code == 1
    assert stored("password", "--password-stdin", stdin=f"{PASSWORD}\nanother one 123\n".encode()).code == 0
    assert login(stored).code == 1
    assert stored("login", "alice", "--password-stdin", stdin=b"another one 123\n").code == 0


def test_rights_are_granted_shown_and_revoked(shell: Shell, alice: str) -> None:
    shell.sdk.put("/admin/shared", b"x")
    assert shell("grant", "/admin", "alice").code == 2
    assert shell("grant", "/admin", "alice", "read").code == 0
    assert shell("grant", "admin").out.split() == ["alice", "read"]
    assert facts(shell, "grant", "admin")["grants"] == [{"bucket": "admin", "user": "alice", "right": "read"}]
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    assert shell("cat", "/admin/shared").out == "x"
    assert shell("rm", "/admin/shared").code == 1
    assert shell("grant", "admin", "alice", "admin").code == 1, "not by oneself"
    shell.sdk.revoke("admin", "alice")
    assert shell("cat", "/admin/shared").code == 1


def test_revoke_takes_a_grant_back(shell: Shell, alice: str) -> None:
    shell("grant", "admin", "alice", "write")
    assert shell("revoke", "admin", "alice").code == 0
    assert shell("revoke", "admin", "alice").code == 1
    assert facts(shell, "grant", "admin")["grants"] == []


def test_tokens_are_made_shown_once_and_revoked(shell: Shell, alice: str) -> None:
    made = facts(shell, "token", "add", "backup", "--ttl", "1h", "--user", "alice")
    as_user(shell, made["token"])
    assert [token["label"] for token in facts(shell, "token")["tokens"]] == ["backup"]
    assert made["token"] not in shell("token").out
    secret = shell("token", "add", "second").out.strip()
    assert shell("token", "revoke", made["token_id"]).code == 0
    assert shell("whoami").code == 1
    as_user(shell, secret)
    assert shell("token", "revoke", "all").code == 0
    assert shell("token").code == 1
    assert shell("token", "add").code == 2


def test_key_pairs_are_made_brought_along_and_deleted(shell: Shell, alice: str) -> None:
    made = facts(shell, "key", "create", "backup", "--user", "alice")
    assert len(made["access_key"]) == 20 and len(made["secret"]) == 40
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    assert [key["label"] for key in facts(shell, "key")["keys"]] == ["backup"]
    assert made["secret"] not in shell("key").out and made["access_key"] in shell("key", "list").out
    old = shell("key", "create", "--access-key", "OLDKEY", "--secret-stdin", stdin=b"an-old-secret\n")
    assert old.code == 0 and "OLDKEY" in old.out and "an-old-secret" not in old.out
    assert shell("key", "create", "--access-key", "OLDKEY", "--secret-stdin", stdin=b"another-one\n").code == 1
    assert shell("key", "create", "--access-key", "OLDKEY").code == 2
    assert shell("key", "delete", made["access_key"]).code == 0
    assert shell("key", "delete", made["access_key"]).code == 1
    assert shell("key", "delete").code == 2
    assert shell("key", "--user", "admin").code == 1


def test_quotas_are_shown_and_set_one_limit_at_a_time(shell: Shell, alice: str) -> None:
    assert facts(shell, "quota", "alice", "--bytes", "1MiB")["bytes_max"] == 1024 * 1024
    done = facts(shell, "quota", "alice", "--files", "2")
    assert (done["bytes_max"], done["files_max"]) == (1024 * 1024, 2)
    assert facts(shell, "quota", "alice", "--bytes", "none")["bytes_max"] is None
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    for name in "ab":
        assert shell("touch", name).code == 0
    said = shell("touch", "c")
    assert said.code == 1 and "quota" in said.err
    assert shell("quota").out == "alice: 2 of 2 files, 0 B\n"
    assert shell("quota", "admin").code == 1
    assert shell("quota", "--bytes", "1GiB").code == 2


def test_a_quota_in_the_middle_of_a_push_is_a_failure_with_its_reason(shell: Shell, alice: str) -> None:
    facts(shell, "quota", "alice", "--files", "3")
    for number in range(5):
        Path("src").mkdir(exist_ok=True)
        Path(f"src/{number}").write_bytes(b"x")
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    said = shell("push", "src", "--json")
    assert said.code == 1
    assert (said.json["sent"], said.json["failed"]) == (3, 2)
    assert {error["code"] for error in said.json["errors"]} == {"QuotaExceeded"}


def test_buckets_and_their_rules(shell: Shell, alice: str) -> None:
    shell.sdk.mkdir("/team")
    [team] = facts(shell, "buckets", "team", "--versions", "5", "--trash-days", "30", "--owner", "alice")["buckets"]
    assert (team["versions_max"], team["trash_days"], team["owner"]) == (5, 30, "alice")
    assert "team" in shell("buckets").out
    assert facts(shell, "quota", "/team", "--bucket", "--files", "9")["files_max"] == 9
    assert shell("buckets", "--versions", "5").code == 2
    assert shell("buckets", "no-such").code == 1


def test_the_audit_log_tells_who_did_what_and_what_was_refused(shell: Shell, alice: str) -> None:
    shell("grant", "admin", "alice", "read")
    lines = facts(shell, "audit", "--limit", "2")["audit"]
    assert [(line["act"], line["target"]) for line in lines] == [("grant", "admin"), ("add-user", "alice")]
    assert "grant" in shell("audit").out
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    assert shell("audit").code == 1


def test_the_commands_of_admins_are_refused_to_others(shell: Shell, alice: str) -> None:
    as_user(shell, shell.sdk.add_token("t", user="alice").token)
    for line in (("users",), ("users", "add", "bob"), ("users", "remove", "admin", "--yes"),
                 ("buckets", "admin", "--versions", "3"),
                 ("quota", "alice", "--bytes", "none"), ("token", "--user", "admin"), ("audit",)):
        said = shell(*line, "--json")
        assert (said.code, said.json["error"]["code"]) == (1, "AccessDenied"), line
