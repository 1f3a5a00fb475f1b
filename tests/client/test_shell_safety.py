"""The commands that look back and protect, once each from the command line, in front of a real door."""

from __future__ import annotations

import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.errors import FileLocked
from tests.client.shell_door import Shell


@pytest.fixture
def plan(shell: Shell) -> str:
    """A file with three versions."""
    for text in (b"one", b"two", b"three"):
        shell.sdk.put("/admin/plan.txt", text)
    return "/admin/plan.txt"


def facts(shell: Shell, *arguments: str, code: int = 0) -> Any:
    said = shell(*arguments, "--json")
    assert said.code == code, said.out + said.err
    return said.json


def test_versions_are_listed_newest_first(shell: Shell, plan: str) -> None:
    assert [version["generation"] for version in facts(shell, "versions", plan)["versions"]] == [3, 2, 1]
    lines = shell("versions", plan).out.splitlines()
    assert "3*" in lines[1] and len(lines) == 4
    assert shell("versions", "no-such").code == 1


def test_restore_brings_back_the_version_before_or_any_other(shell: Shell, plan: str) -> None:
    assert shell("restore", plan).out == f"restored {plan} (generation 2 as 4, 3 B)\n"
    assert shell.sdk.get(plan) == b"two"
    assert facts(shell, "restore", plan, "--generation", "1")["generation"] == 5
    assert shell.sdk.get(plan) == b"one"
    assert shell("restore", plan, "--generation", "99").code == 1
    assert shell("restore", plan, "--generation", "1", "--at", "-1h").code == 2


def test_restore_only_says_what_it_would_do(shell: Shell, plan: str) -> None:
    assert facts(shell, "restore", plan, "--dry-run")["generation"] == 2
    assert shell.sdk.get(plan) == b"three"


def moment(shell: Shell, path: str) -> str:
    modified = shell.sdk.info(path).modified
    assert modified is not None
    return modified.isoformat()


def test_restore_at_a_time_also_folders(shell: Shell) -> None:
    shell.sdk.put("/admin/d/a", b"old")
    shell.sdk.put("/admin/d/gone", b"gone")
    at = moment(shell, "/admin/d/gone")
    shell.sdk.put("/admin/d/a", b"new")
    shell.sdk.delete("/admin/d/gone")
    shell.sdk.put("/admin/d/since", b"since")
    assert shell("restore", "d").code == 2
    planned = shell("restore", "d", "--at", at, "--dry-run").out.splitlines()
    assert sorted(planned) == ["would bring back /admin/d/gone", "would leave /admin/d/since",
                               "would restore /admin/d/a"]
    done = facts(shell, "restore", "d", "--at", at)
    assert (done["restored"], done["deleted"]) == (2, 0)
    assert (shell.sdk.get("/admin/d/a"), shell.sdk.get("/admin/d/gone")) == (b"old", b"gone")
    assert facts(shell, "restore", "d", "--at", at, "--exact")["deleted"] == 1
    shell.sdk.put("/admin/d/a", b"newest")
    assert shell("restore", "d/a", "--at", at).code == 0
    assert shell.sdk.get("/admin/d/a") == b"old"


def test_a_deleted_file_is_in_the_trash_and_comes_back(shell: Shell, plan: str) -> None:
    shell("rm", plan)
    [item] = facts(shell, "trash")["items"]
    assert item["path"] == plan
    assert plan in shell("trash", "/admin").out
    assert facts(shell, "undelete", plan)["files"][0]["path"] == plan
    assert shell.sdk.get(plan) == b"three"
    assert shell("undelete", plan).code == 1


def test_undelete_tells_what_stands_there_and_takes_another_place(shell: Shell, plan: str) -> None:
    shell("rm", plan)
    shell.sdk.mkdir(plan)
    said = shell("undelete", plan, "--json")
    assert (said.code, said.json["error"]["code"]) == (1, "AlreadyExists")
    assert shell("undelete", plan, "--to", "old.txt").code == 0
    assert shell.sdk.get("/admin/old.txt") == b"three"
    assert shell.sdk.info(plan).is_folder


def test_the_trash_through_a_pipe(shell: Shell) -> None:
    for name in ("a", "b"):
        shell.sdk.put(f"/admin/{name}", b"x")
        shell.sdk.delete(f"/admin/{name}")
    said = shell.lines("trash | undelete")
    assert said.code == 0, said.err
    assert {entry.name for entry in shell.sdk.ls("/admin")} == {"a", "b"}


def test_a_script_empties_the_trash_and_twice_is_harmless(shell: Shell, plan: str) -> None:
    shell("rm", plan)
    assert "would delete for good" in shell("trash", "--empty", "--dry-run").out
    assert facts(shell, "trash", "--empty")["purged"] == 1
    assert shell("trash", "--empty", "--yes").out == "the trash was empty already\n"
    assert facts(shell, "trash")["items"] == []


def test_a_lock_keeps_writers_away_until_it_is_given_back(shell: Shell, plan: str) -> None:
    taken = facts(shell, "lock", plan, "--ttl", "1h", "--note", "until noon")
    with pytest.raises(FileLocked):
        shell.sdk.put(plan, b"x")
    [held] = facts(shell, "locks")["locks"]
    assert (held["path"], held["mode"], held["note"]) == (plan, "exclusive", "until noon")
    assert "until noon" in shell("locks", "/").out
    assert shell("lock", plan).code == 1
    shell.sdk.put(plan, b"under the lock", lock=taken["token"])
    assert shell("unlock", plan).code == 0
    shell.sdk.put(plan, b"x")
    assert shell("unlock", plan).code == 1, "it was given back"


def test_a_lock_is_given_back_by_its_token_or_broken(shell: Shell, plan: str) -> None:
    token = shell("lock", plan, "--shared").out.split()[-1]
    assert shell("unlock", token).code == 0
    shell("lock", plan)
    assert shell("unlock", "--break", plan).code == 2, "asks first"
    assert shell("unlock", "--break", plan, "--yes").code == 0
    assert facts(shell, "locks")["locks"] == []


def test_a_session_writes_under_its_own_locks_and_gives_them_back_at_its_end(shell: Shell, plan: str) -> None:
    Path("plan.txt").write_bytes(b"by the holder")
    said = shell.lines("lock plan.txt", "update plan.txt plan.txt", "tag plan.txt k=v", "locks")
    assert said.code == 0, said.err
    assert "exclusive" in said.out
    assert shell.sdk.get(plan) == b"by the holder"
    assert list(shell.sdk.locks("/")) == []
    said = shell.lines("lock plan.txt", "unlock plan.txt", "locks")
    assert said.code == 0 and "exclusive  admin" not in said.out


def test_verify_reads_everything_and_finds_bytes_that_are_not_the_files(shell: Shell, plan: str) -> None:
    big = bytes(range(256)) * 2000
    shell.sdk.put("/admin/d/big", big)
    done = facts(shell, "verify", "/admin")
    assert {file["path"] for file in done["files"]} == {plan, "/admin/d/big"}
    assert all(file["good"] for file in done["files"])
    assert "good /admin/d/big" in shell("verify", "--each-peer", "d").out
    assert shell("verify", "no-such").code == 1


def test_verify_tells_a_chunk_that_is_not_what_its_name_says(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sdk.put("/admin/big", bytes(200_000))

    def damaged(self: Any, path: str, write: Any, **_: Any) -> None:
        write(bytes(100_000) + b"\x01" + bytes(99_999))
    monkeypatch.setattr("fluffy.client.sync.Fluffy.write_to", damaged)
    said = shell("verify", "/admin/big")
    assert said.code == 1 and "chunk 1" in said.err


def test_tags_are_shown_set_kept_and_taken_away(shell: Shell, plan: str) -> None:
    assert shell("tag", plan).out == f"{plan}: no tags\n"
    assert shell("tag", plan, "year=2026", "draft=").out == f"{plan}: draft= year=2026\n"
    assert facts(shell, "tag", plan, "-d", "draft")["files"][0]["tags"] == {"year": "2026"}
    assert facts(shell, "tag", plan, "--clear", "a=b=c")["files"][0]["tags"] == {"a": "b=c"}
    assert shell.sdk.info(plan).document["tags"] == {"a": "b=c"}
    assert shell("tag").code == 2


def test_tags_of_all_that_a_pipe_brings(shell: Shell, plan: str) -> None:
    shell.sdk.put("/admin/other.txt", b"x")
    assert shell.lines("find -name '*.txt' | tag year=2026").code == 0
    assert {entry.path for entry in shell.sdk.search(tags={"year": "2026"})} <= {plan, "/admin/other.txt"}
    assert shell.sdk.info("/admin/other.txt").document["tags"] == {"year": "2026"}


def test_a_shared_link_works_without_a_login(shell: Shell, plan: str) -> None:
    link = facts(shell, "share", plan, "--ttl", "5m")
    assert datetime.fromisoformat(link["expires"]) > datetime.now().astimezone()
    with urllib.request.urlopen(link["url"]) as answer:
        assert answer.read() == b"three"
    assert shell("share", "no-such").code == 1
    assert shell("share", plan).out.startswith("http")
    assert shell("share", plan, "--ttl", "soon").code == 2


def test_the_feed_is_followed_and_filtered(shell: Shell, plan: str) -> None:
    shell.sdk.put("/admin/elsewhere", b"x")
    lines = shell("watch", plan, "--since", "0", "--no-follow").out.splitlines()
    assert len(lines) == 3 and all(plan in line for line in lines)
    assert shell("watch", "--since", "0", "--limit", "2", "--json").out.count('"seq"') == 2


@pytest.mark.parametrize("line", [("recover", "nobody"), ("drain", "nobody", "--yes"), ("doctor", "--stop", "nobody")])
def test_a_node_that_is_not_there_is_named(shell: Shell, line: tuple[str, ...]) -> None:
    said = shell(*line, "--json")
    assert said.code == 1
    assert (said.json["error"]["code"], said.json["error"]["status"]) == ("NodeNotFound", 404)
