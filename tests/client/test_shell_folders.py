"""The commands about folders and places, once each from the command line, in front of a real door."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from fluffy.client.shell.whens import parse_when, size, until, when
from tests.client.shell_door import Shell

NAMES = ["plain.txt", "with space", "ü.txt", "日本", "it's \"quoted\"", "100%", "a*b", "[x]", "~tilde", "-dash",
         "#hash", "a|b", ">", "\U0001f600"]


@pytest.fixture
def tree(shell: Shell) -> Shell:
    for name, size_bytes in (("a.txt", 10), ("docs/b.txt", 2048), ("docs/deep/c.log", 300_000), ("docs/deep/ü.txt", 1)):
        shell.sdk.put(f"/admin/{name}", b"x" * size_bytes)
    return shell


def names(shell: Shell, path: str = "/admin") -> list[str]:
    return [entry.name for entry in shell.sdk.ls(path)]


def test_mv_renames_and_moves_into_folders(tree: Shell) -> None:
    assert tree("mv", "a.txt", "b.txt").out == "moved /admin/a.txt to /admin/b.txt\n"
    assert tree("mv", "b.txt", "docs").code == 1
    assert tree("mv", "b.txt", "made/").code == 0
    assert tree("mv", "docs", "made/b.txt", "/archive/2026").code == 0
    assert names(tree, "/archive/2026") == ["b.txt", "docs"]
    assert tree("mv", "none", "x").code == 1
    assert tree("mv", "only").code == 2
    assert tree("mv", "/archive/2026", "/archive/2026/docs").code == 1


def test_what_stands_there_is_replaced_only_by_force(tree: Shell) -> None:
    for command in ("cp", "mv"):
        said = tree(command, "a.txt", "docs/b.txt")
        assert said.code == 1
        assert "-f puts it into the trash" in said.err
    assert tree("cp", "-f", "a.txt", "docs/b.txt", "--json").code == 0
    assert tree.sdk.get("/admin/docs/b.txt") == b"x" * 10


def test_cp_copies_files_folders_and_old_versions(tree: Shell) -> None:
    assert tree("cp", "a.txt", "copy.txt").code == 0
    said = tree("cp", "docs", "other")
    assert said.code == 1
    assert "-r" in said.err
    assert tree("cp", "-r", "docs", "other").code == 0
    assert tree("cp", "-r", "docs", "other").code == 0
    assert names(tree, "/admin/other") == ["b.txt", "deep", "docs"]
    tree.sdk.put("/admin/a.txt", b"new")
    assert tree("cp", "--generation", "1", "a.txt", "old.txt").code == 0
    assert tree.sdk.get("/admin/old.txt") == b"x" * 10


@pytest.mark.parametrize("command", ["mv", "cp", "rm", "rmdir"])
def test_a_dry_run_changes_nothing(tree: Shell, command: str) -> None:
    places = {"mv": ["docs/deep/c.log", "moved"], "cp": ["a.txt", "copy"], "rm": ["-r", "docs", "a.txt"],
              "rmdir": ["docs"]}
    before = tree("find", "--json").json
    said = tree(command, "--dry-run", *places[command])
    assert said.code == 0, said.err
    assert said.out.startswith("would ")
    assert tree(command, "-n", *places[command], "--json").json["files"][0]["dry_run"] is True
    assert tree("find", "--json").json == before
    assert tree(command, "-n", "none", *places[command][1:]).code == 1


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_moved_copied_found_and_removed(shell: Shell, name: str) -> None:
    shell.sdk.put("/admin/plain", name.encode())
    quoted = "'" + name.replace("'", "'\\''") + "'"
    lines = (f"mkdir -- {quoted}", f"cp -- plain {quoted}", f"mv -- {quoted}/plain {quoted}/{quoted}",
             f"touch -- {quoted}/new", f"cat -- {quoted}/{quoted}", f"find -- {quoted}", f"rm -- {quoted}/{quoted}",
             f"rm -- {quoted}/new", f"rmdir -- {quoted}", "ls")
    said = shell.lines(*lines)
    assert said.code == 0, said.err
    assert f"/admin/{name}/{name}\n" in said.out
    assert said.out.endswith("\nplain\n")


def test_tilde_is_a_home(tree: Shell) -> None:
    tree.sdk.mkdir("/alice")
    tree.sdk.put("/admin/~alice", b"a name")
    said = tree.lines("cd /", "cd ~", "pwd", "cd ~/docs", "pwd", "cd ~alice", "pwd", "cd -", "pwd", "cat ~/'~alice'")
    assert said.code == 0, said.err
    assert said.out == "/admin\n/admin/docs\n/alice\n/admin/docs\n/admin/docs\na name"
    assert tree("cat", "~alice").out == "a name"


def test_tree_draws_branches(tree: Shell) -> None:
    assert tree("tree").out == (
        "/admin\n├── a.txt\n└── docs/\n    ├── b.txt\n    └── deep/\n        ├── c.log\n        └── ü.txt\n"
        "2 folders, 4 files\n")
    assert tree("tree", "-L", "1").out.splitlines()[-1] == "1 folder, 1 file"
    assert "a.txt" not in tree("tree", "-d").out
    assert [entry["depth"] for entry in tree("tree", "docs", "--json").json["entries"]] == [1, 1, 2, 2]
    assert tree("tree", "none").code == 1


def test_du_sums(tree: Shell) -> None:
    assert tree("du", "-s").out.split() == ["302059", "4", "/admin"]
    assert [line.split()[-1] for line in tree("du", "-d", "5").out.splitlines()] == [
        "/admin/docs/deep", "/admin/docs", "/admin"]
    assert "295.0 KiB" in tree("du", "-h").out
    found = tree("du", "--json", "docs", "a.txt").json["files"]
    assert (found[0]["size"], found[0]["folders"][0]["files"], found[1]["size"]) == (302049, 2, 10)


def found(shell: Shell, *arguments: str) -> list[str]:
    said = shell("find", *arguments)
    assert said.code == 0, said.err
    return [path.removeprefix("/admin/") for path in said.out.splitlines()]


def test_find_tests_name_kind_size_time_and_owner(tree: Shell) -> None:
    assert found(tree) == ["a.txt", "docs/", "docs/b.txt", "docs/deep/", "docs/deep/c.log", "docs/deep/ü.txt"]
    assert found(tree, "-name", "*.txt", "docs") == ["docs/b.txt", "docs/deep/ü.txt"]
    assert found(tree, "--iname", "B.T?T") == ["docs/b.txt"]
    assert found(tree, "-type", "d", "-maxdepth", "1") == ["docs/"]
    assert found(tree, "-size", "+2KiB") == ["docs/deep/c.log"]
    assert found(tree, "-size", "-10") == ["docs/deep/ü.txt"]
    assert found(tree, "-size", "10") == ["a.txt"]
    assert found(tree, "-newer", "-1h", "--type", "f", "--limit", "1") == ["a.txt"]
    assert found(tree, "-older", "-1h") == []
    assert found(tree, "-owner", "nobody") == []
    assert found(tree, "a.txt", "docs/deep") == ["a.txt", "docs/deep/c.log", "docs/deep/ü.txt"]
    assert "2.0 KiB" in tree("find", "-l", "-name", "b*").out
    assert tree("find", "nowhere").code == 1
    assert tree("find", "-size", "much").code == 2
    assert tree("find", "-newer", "soon").code == 2


def a_moment_between() -> str:
    """A millisecond in which nothing happens: the log's clock has no finer ones."""
    time.sleep(0.002)
    moment = datetime.now(UTC).isoformat()
    time.sleep(0.002)
    return moment


def test_diff_tells_what_changed_between_two_moments(tree: Shell) -> None:
    before = a_moment_between()
    tree.sdk.put("/admin/docs/b.txt", b"changed")
    tree.sdk.put("/admin/docs/new", b"added")
    tree.sdk.delete("/admin/docs/deep/c.log")
    said = tree("diff", "docs", "--from", before)
    assert said.code == 0, said.err
    assert sorted(said.out.split()) == [
        "+", "-", "/admin/docs/b.txt", "/admin/docs/deep/c.log", "/admin/docs/new", "~"]
    assert len(tree("diff", "docs", "--from", before, "--json").json["lines"]) == 3
    assert tree("diff", "docs", "--from", before, "--to", before).out == ""
    assert tree("-c", f"diff docs --from {before} | info --json").json["files"][0]["path"] == "/admin/docs/b.txt"
    assert tree("diff", "docs").code == 2
    assert tree("ls", "--at", before, "docs/deep").out.split() == ["c.log", "ü.txt"]
    assert "c.log" in tree("tree", "--at", before).out


NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("text", "moment"), [
    ("now", NOW), ("-2h", NOW - timedelta(hours=2)), ("-1.5d", NOW - timedelta(days=1.5)),
    ("-1w", NOW - timedelta(days=7)),
    ("2026-07-01T12:30:00Z", datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
    ("2026-07-01T12:30+02:00", datetime(2026, 7, 1, 10, 30, tzinfo=UTC))])
def test_times_are_read(text: str, moment: datetime) -> None:
    assert parse_when(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "2h", "-h", "-2x", "2026-13-01", "-99999999999d"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="-2h"):
        parse_when(text, NOW)


def test_options_give_what_the_doors_read() -> None:
    assert when("2026-07-01T12:30:00Z") == "2026-07-01T12:30:00.000Z"
    assert datetime.fromisoformat(until("2026-07-01")) - datetime.fromisoformat(when("2026-07-01")) == timedelta(
        days=1, milliseconds=-1)
    assert size("2KiB") == 2048


@pytest.mark.parametrize(("line", "said"), [
    (("rm", "docs"), "error: /admin/docs is a folder; say -r to take it with all in it\n"),
    (("download", "docs"), "error: /admin/docs is a folder; say -r to take it with all in it\n"),
    (("cp", "docs", "x"), "error: /admin/docs is a folder; say -r to take it with all in it\n"),
    (("cat", "docs"), "error: /admin/docs is a folder\n"),
    (("touch", "docs"), "error: /admin/docs is a folder\n"),
    (("mkdir", "a/b/c"), "error: /admin/a/b/c: the folder above it does not exist; say -p to make it, too\n"),
    (("mkdir", "docs"), "error: /admin/docs: there is already something at that path\n"),
    (("rmdir", "docs"), "error: /admin/docs: the folder is not empty\n"),
])
def test_a_refusal_names_the_path_and_the_option_that_helps(tree: Shell, line: tuple[str, ...], said: str) -> None:
    done = tree(*line)
    assert (done.code, done.err) == (1, said)


def test_help_of_the_program_lists_commands_by_group_with_their_other_names(shell: Shell) -> None:
    text = shell("--help").out
    assert "\nfiles:\n" in text and "upload, put" in text and text.index("files:") < text.index("people:")
