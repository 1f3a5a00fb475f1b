"""Every command once from the command line, in front of a real door: words, JSON, exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.client.shell_door import Shell

NAMES = ["plain.txt", "with space", "ü.txt", "日本", "it's \"quoted\"", "100%", "a*b", "[x]", "~tilde", "-dash",
         "#hash", "\U0001f600"]


def write(name: str, data: bytes = b"data") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_file_goes_in_and_comes_back(shell: Shell) -> None:
    data = os.urandom(300_000)
    write("a.bin", data)
    assert shell("upload", "a.bin").code == 0
    assert shell("download", "a.bin", "b.bin").code == 0
    assert Path("b.bin").read_bytes() == data
    assert shell.raw("cat", "/admin/a.bin") == data
    assert shell.raw("download", "a.bin", "-") == data


@pytest.mark.parametrize("name", NAMES)
def test_awkward_names_go_in_and_come_back(shell: Shell, name: str) -> None:
    write(name, name.encode())
    said = shell("upload", "--json", "--", name)
    assert said.code == 0
    assert said.json["files"][0]["path"] == f"/admin/{name}"
    assert name in [entry["name"] for entry in shell("ls", "--json").json["entries"]]
    assert shell.sdk.get(f"/admin/{name}") == name.encode()
    line = "download '" + name.replace("'", "'\\''") + "' ./back"
    said = shell.lines(line.replace("download", "download --") if name.startswith("-") else line)
    assert said.code == 0, said.err
    assert Path("back").read_bytes() == name.encode()


def test_upload_finds_its_place(shell: Shell) -> None:
    for name in ("a", "b", "sub/c"):
        write(name, name.encode())
    shell.sdk.mkdir("/admin/docs", parents=True)

    def places(*arguments: str) -> list[str]:
        said = shell("upload", "--json", *arguments)
        assert said.code == 0, said.out
        return [file["path"] for file in said.json["files"]]
    assert places("a") == ["/admin/a"]
    assert places("a", "b") == ["/admin/a", "/admin/b"]
    assert places("a", "new-name") == ["/admin/new-name"]
    assert places("a", "docs") == ["/admin/docs/a"]
    assert places("a", "made/") == ["/admin/made/a"]
    assert places("a", "sub/c", "/admin/docs") == ["/admin/docs/a", "/admin/docs/c"]
    assert places("a", "--to", "b") == ["/admin/b"]
    assert shell.sdk.get("/admin/b") == b"a"


def test_upload_from_standard_input(shell: Shell) -> None:
    assert shell("upload", "-", "/admin/in", stdin=b"piped").code == 0
    assert shell.sdk.get("/admin/in") == b"piped"
    said = shell("upload", "-", stdin=b"piped")
    assert said.code == 1
    assert "no name" in said.err


def test_one_bad_file_does_not_stop_the_others(shell: Shell) -> None:
    write("a")
    said = shell("upload", "missing", "a", "--json", "--to", "/admin/")
    assert said.code == 1
    assert [file["path"] for file in said.json["files"]] == ["/admin/a"]
    assert said.json["errors"][0]["code"] == "LocalFileFailed"


def test_update_wants_a_file_that_is_there(shell: Shell) -> None:
    write("a", b"one")
    said = shell("update", "a", "/admin/a")
    assert said.code == 1
    assert shell("upload", "a", "--tag", "k=v", "--meta", "m=n", "--type", "x/odd").code == 0
    write("a", b"two")
    assert shell("update", "a", "/admin/a", "--json").json["generation"] == 2
    found = shell.sdk.info("/admin/a")
    assert (found.tags, found.meta, found.content_type) == ({"k": "v"}, {"m": "n"}, "x/odd")
    assert shell("upload", "a", "--new").code == 1
    assert shell.sdk.get("/admin/a") == b"two"


def test_a_local_file_is_not_replaced_without_force(shell: Shell) -> None:
    shell.sdk.put("/admin/a", b"remote")
    write("a", b"local")
    said = shell("download", "a")
    assert said.code == 1
    assert "--force" in said.err
    assert Path("a").read_bytes() == b"local"
    assert shell("download", "a", "nofolder/").code == 1
    assert shell("download", "a", ".", "-f").code == 0
    assert Path("a").read_bytes() == b"remote"


def test_folders_are_made_listed_and_removed(shell: Shell) -> None:
    assert shell("mkdir", "docs").code == 0
    assert shell("mkdir", "docs").code == 1
    assert shell("mkdir", "-p", "docs", "a/b/c", "/photos").code == 0
    assert shell("ls").out.splitlines() == ["a/", "docs/"]
    assert "photos/" in shell("ls", "/").out
    assert shell("rmdir", "a").code == 1
    assert shell("rmdir", "a/b/c", "docs").code == 0
    assert shell("ls", "--json").json["entries"][0]["name"] == "a"
    assert shell("rmdir", "/").code == 1
    assert shell("ls", "nowhere").code == 1


def test_listings(shell: Shell) -> None:
    for name in ("one.txt", "two.txt", "docs/three.pdf"):
        shell.sdk.put(f"/admin/{name}", b"x" * 2048)
    assert shell("list").out.count("/admin/") == 3
    assert "2.0 KiB" in shell("list", "--user", "admin").out
    assert shell("list", "--user", "nobody", "--json").json["entries"] == []
    assert "2.0 KiB" in shell("ls", "-l", "one.txt").out
    assert [hit["path"] for hit in shell("search", "TWO", "--json").json["hits"]] == ["/admin/two.txt"]
    assert len(shell("search", "t", "--limit", "1").out.splitlines()) == 1
    assert shell("ls", "*.txt").out.split() == ["one.txt", "two.txt"]
    assert shell("ls", "/*/*/*.pdf").out.split() == ["three.pdf"]
    assert shell("ls", "*.none").code == 1


def test_info_shows_what_is_known(shell: Shell) -> None:
    shell.sdk.put("/admin/a", b"x" * 200_000)
    said = shell("info", "a")
    assert said.code == 0
    assert "200000 bytes" in said.out
    assert "chunk 0" in said.out
    assert shell("stat", "/admin", "--json").json["files"][0]["kind"] == "bucket"
    assert shell("info", "none").code == 1


def test_delete(shell: Shell) -> None:
    for name in ("a.tmp", "b.tmp", "keep", "docs/deep/x", "docs/y"):
        shell.sdk.put(f"/admin/{name}", b"x")
    assert shell("rm", "*.tmp").code == 0
    assert shell("ls").out.split() == ["docs/", "keep"]
    assert shell("rm", "docs").code == 1
    assert shell("rm", "-r", "docs").code == 0
    assert shell("rm", "keep", "none").code == 1
    assert shell("ls").out == ""


def test_trees_go_in_and_come_back(shell: Shell) -> None:
    for name in ("tree/a", "tree/sub/b", "tree/sub/ü/c"):
        write(name, name.encode())
    Path("tree/empty").mkdir()
    Path("tree/link").symlink_to("a")
    said = shell("upload", "-r", "tree")
    assert said.code == 0, said.err
    assert shell.sdk.get("/admin/tree/sub/ü/c") == b"tree/sub/\xc3\xbc/c"
    assert shell("download", "-r", "tree", "back").code == 0
    assert Path("back/sub/b").read_bytes() == b"tree/sub/b"
    assert Path("back/link").read_bytes() == b"tree/a"
    assert Path("back/empty").is_dir()
    assert shell("upload", "tree").code == 1


def test_cat_as_json(shell: Shell) -> None:
    shell.sdk.put("/admin/text", "grüß".encode())
    shell.sdk.put("/admin/bytes", b"\xff\x00")
    shell.sdk.put("/admin/empty", b"")
    assert shell("cat", "text", "--json").json["data"] == "grüß"
    assert shell("cat", "bytes", "--json").json["encoding"] == "base64"
    assert shell("cat", "empty", "--json").json["size"] == 0


def test_the_cluster_commands(shell: Shell) -> None:
    assert "cluster" in shell("status").out
    assert shell("status", "--json").json["usage"]["files"] == 0
    assert "one" in shell("nodes").out
    assert shell("nodes", "--json").json["nodes"][0]["name"] == "one"
    assert shell("peer", "--json").json["peer"] == shell.connection.peers[0]
    assert shell("checkpoint", "--json").code == 0
    assert "quiet" in shell("repair", "quiet").out
    assert shell("repair", "config", "--json").json["mode"] is None
    assert shell("quarantine").code == 0
    assert [sorted(node) for node in shell("quarantine", "--json").json["nodes"]] == [["error", "node"]] * 3
    assert "error" in shell("quarantine", "--purge", "--yes", "--json").json["nodes"][0]
    assert shell("quarantine", "--chunk", "ab").code == 2
    assert shell("pwd", "--json").json == {"path": "/admin"}


def test_the_options_of_the_seed_systems(shell: Shell) -> None:
    write("a", b"a")
    assert shell("--upload", "a").code == 0
    Path("a").unlink()
    assert shell("--download", "/admin/a").code == 0
    assert Path("a").read_bytes() == b"a"
    assert shell("--download", "/admin/none").code == 1
    assert shell("--upload", "a", "ls").code == 2


def test_help_and_wrong_usage(shell: Shell) -> None:
    said = shell("help")
    assert "upload, put" in said.out
    assert "Examples" in shell("help", "upload").out
    assert shell("help", "rm", "--json").json["examples"][0]["line"] == "delete old.txt"
    assert shell("help", "nonsense").code == 1
    assert all(row["available"] for row in shell("help", "--json").json["commands"])
    assert shell("nonsense").code == 2
    assert "did you mean 'upload'" in shell("uplaod", "x").err
    assert shell("upload").code == 2
    assert shell("ls", "--nonsense").code == 2


def test_errors_as_json(shell: Shell) -> None:
    said = shell("cat", "none", "--json")
    assert said.code == 1
    assert said.json["error"]["code"] == "FileNotFound"
    assert said.err == ""


def test_names_cannot_move_the_cursor(shell: Shell) -> None:
    write("evil\u202egnp.exe")
    assert shell("upload", "evil\u202egnp.exe").code == 0
    assert "evil\\u202egnp.exe" in shell("ls").out
    assert "\u202e" not in shell("list").out
    assert "\x1b" not in shell("cat", "no\x1b[31mne").err
