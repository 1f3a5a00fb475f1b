"""The shell as a part of other programs: JSON of every command, locks that go along, refusals on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluffy.apps.client import make_cli
from tests.client.shell_door import Shell

# One line for each command of the groups: all succeed, and end in exactly one JSON document.
LINES = [
    "upload local", "put local other --new", "update local old", "download old here", "get -r docs there", "delete old",
    "rm -r docs", "rm -n old", "list", "ls", "ls -l docs", "ls -d docs", "ls --at now", "search old", "info old",
    "stat docs",
    "cat old", "cat old docs/a", "head old", "head -c 2 old docs/a", "touch new", "append local old", "append -t x old",
    "edit old", "pwd", "cd docs", "mkdir made", "mkdir -p made/deep", "rmdir empty", "mv old moved", "mv -n old moved",
    "cp old copy", "cp -r docs copy", "tree", "du", "du -sh docs", "find", "find docs -type f", "diff --from -1h",
    "ls | head -n 1", "find | info", "find | du", "cat old | head", "cat old | append log", "cat old | upload - x",
    "find docs -type f | rm", "find docs -type f | mv made/", "search old | cp made/", "ls docs | touch", "help",
    "help ls",
]


@pytest.fixture
def tree(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("EDITOR", "true")
    Path("local").write_bytes(b"local\n")
    for name in ("old", "docs/a", "docs/b"):
        shell.sdk.put(f"/admin/{name}", b"bytes\n")
    shell.sdk.mkdir("/admin/empty")
    return shell


@pytest.mark.parametrize("line", LINES)
def test_every_command_answers_with_one_document(tree: Shell, line: str) -> None:
    said = tree("-c", f"{line} --json")
    assert said.code == 0, said.err + said.out
    assert len(said.out.splitlines()) >= 1
    assert isinstance(json.loads(said.out), dict)
    assert said.err == ""
    assert "\x1b" not in said.out


def test_every_command_of_the_groups_has_a_line() -> None:
    cli = make_cli()
    wanted = {spec.name for spec in cli.specs.values() if spec.group in ("files", "folders")}
    typed = {spec.name for line in LINES if (spec := cli.spec_of(line.split()[0])) is not None}
    assert sorted(wanted - typed) == []


@pytest.mark.parametrize("line", [
    "cat none", "rm none", "mv none x", "cp none x", "cd none", "ls none", "info none", "head none", "download none",
    "update local none", "rmdir none", "du none", "find none", "tree none", "mkdir docs", "upload nowhere", "edit docs",
    "append none log", "rmdir docs", "cp docs copy", "touch docs", "cat docs", "head docs", "diff none --from -1h",
    "cat none | head", "cat none docs"])
def test_a_refusal_is_one_document_too_and_exit_code_1(tree: Shell, line: str) -> None:
    said = tree("-c", f"{line} --json")
    assert said.code == 1, said.out + said.err
    document = json.loads(said.out)
    assert "error" in document or document["errors"], document
    told = document.get("error") or document["errors"][0]
    assert told["code"] and told["message"] and told["retry"] == "never"
    assert "HTTP" not in told["message"], "somebody can act on it"


def test_a_lock_goes_along_with_what_is_written_below_it(tree: Shell) -> None:
    tree.sdk.put("/admin/locked/a", b"1\n")
    token = tree.sdk.lock("/admin/locked", ttl_s=60).token
    Path("more").mkdir()
    Path("more/b").write_bytes(b"b")
    lines = ["upload local locked/", "update local locked/a", "append -t x locked/a", "touch locked/a",
             "mkdir locked/sub", "rmdir locked/sub", "mv locked/a locked/b", "cp old locked/c",
             "upload -r more locked/more", "rm -r locked/more"]
    for line in lines:
        said = tree("-c", line)
        assert (said.code, "lock" in said.err) == (1, True), line + said.err
        said = tree("-c", f"{line} --lock {token}")
        assert said.code == 0, line + said.err


def test_a_listing_that_breaks_in_the_middle_is_still_one_document(tree: Shell) -> None:
    said = tree("ls", "docs", "nowhere", "--json")
    assert said.code == 1
    assert [entry["name"] for entry in said.json["entries"]] == ["a", "b"]
    assert said.json["error"]["code"] == "FolderNotFound"
