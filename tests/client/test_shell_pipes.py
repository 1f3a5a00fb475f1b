"""Pipes between commands: what runs through, what is refused, who ends whom."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.input import PipeInput

from fluffy.base.errors import LocalFileFailed, QuerySyntax
from fluffy.client.shell.pipes import PIPE_BYTES_MAX, Drain, Pipe, PipeClosed, plan
from fluffy.client.thread_names import UPLOAD_THREADS
from tests.client.shell_door import Said, Shell
from tests.client.test_shell_repl import type_keys


def a_pipe() -> Pipe:
    return Pipe(paths_wanted=False, writer="cat")


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_all_bytes_come_in_order(blocks: list[bytes], wanted: int) -> None:
    pipe = a_pipe()
    for block in blocks:
        Drain(pipe).buffer.write(block)
    pipe.end(failed=False)
    got = []
    while block := pipe.take(wanted):
        assert len(block) <= wanted
        got.append(block)
    assert b"".join(got) == b"".join(blocks)


def test_a_full_pipe_makes_the_writer_wait_until_somebody_reads_or_nobody_will() -> None:
    for let_go in (lambda pipe: pipe.take(PIPE_BYTES_MAX), lambda pipe: pipe.close()):
        pipe = a_pipe()
        pipe.put(bytes(PIPE_BYTES_MAX))
        ended: list[str] = []

        def write(pipe: Pipe = pipe, ended: list[str] = ended) -> None:
            try:
                pipe.put(b"more")
                ended.append("written")
            except PipeClosed:
                ended.append("closed")
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.05)
        assert writer.is_alive()
        let_go(pipe)
        writer.join(10)
        assert ended in (["written"], ["closed"])


def test_a_reader_learns_that_its_writer_failed() -> None:
    pipe = a_pipe()
    pipe.put(b"/a\n/b\n")
    pipe.end(failed=True)
    with pytest.raises(LocalFileFailed, match="'cat' before the pipe failed"):
        pipe.paths()


def test_ends_must_fit() -> None:
    find, head, rm, cat = (("find", "paths", "nothing"), ("head", "same", "text"), ("rm", "text", "paths"),
                           ("cat", "text", "paths"))
    assert plan([find, rm]) == [True]
    assert plan([find, head]) == [False]
    assert plan([find, head, rm]) == [True, True]
    assert plan([find, cat, head]) == [True, False]
    assert plan([find]) == []
    for line in ([cat, rm], [rm, head, rm], [head, rm], [find, find], [find, head, find]):
        with pytest.raises(QuerySyntax):
            plan(line)


@pytest.fixture
def tree(shell: Shell) -> Shell:
    for name in ("a.txt", "b.txt", "docs/c d.txt", "docs/ü/日本.txt", "docs/it's", "docs/-dash", "x.log"):
        shell.sdk.put(f"/admin/{name}", b"".join(b"%s %d\n" % (name.encode(), line) for line in range(20)))
    return shell


def line(shell: Shell, text: str) -> Said:
    return shell("-c", text)


def test_paths_run_from_find_to_the_commands_that_take_them(tree: Shell) -> None:
    said = line(tree, "find . -type f | info --json")
    assert said.code == 0, said.err
    assert sorted(file["path"] for file in said.json["files"]) == sorted(
        entry.path for entry in tree.sdk.list("admin"))
    assert line(tree, "ls *.txt | cp kept/").code == 0
    assert line(tree, "find docs -type f | mv kept").code == 0
    assert sorted(entry.name for entry in tree.sdk.ls("/admin/kept")) == [
        "-dash", "a.txt", "b.txt", "c d.txt", "it's", "日本.txt"]
    assert line(tree, "find kept -name 'it*' | rm").code == 0
    assert line(tree, "find . -type d -depth 9 | head -n 1 | du -s").code == 2
    assert line(tree, "find . -type d | head -n 1 | du -s").out.endswith("  /admin/docs\n")
    Path("out").mkdir()
    assert line(tree, "search '*.txt' | download out").code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.txt", "b.txt", "c d.txt", "日本.txt"]


def test_text_runs_to_head_append_and_upload(tree: Shell) -> None:
    assert line(tree, "cat a.txt | head -n 2").out == "a.txt 0\na.txt 1\n"
    assert line(tree, "cat a.txt b.txt | head -c 3").out == "a.t"
    assert line(tree, "ls -l | head -n 1").out.rstrip().endswith("a.txt")
    assert line(tree, "head -n 1 a.txt | append x.log").code == 0
    assert tree.sdk.get("/admin/x.log").endswith(b"x.log 19\na.txt 0\n")
    assert line(tree, "cat a.txt | head -n 1 | upload - first").code == 0
    assert line(tree, "cat a.txt | upload second").code == 0
    assert tree.sdk.get("/admin/first") == b"a.txt 0\n"
    assert tree.sdk.get("/admin/second") == tree.sdk.get("/admin/a.txt")
    assert line(tree, "cat a.txt | head -n 1 --json").json["data"] == "a.txt 0\n"


def test_nothing_found_is_nothing_to_do(tree: Shell) -> None:
    assert line(tree, "find . -name none | rm -r").code == 0
    assert line(tree, "find . -name none | rm --json").json == {"files": []}


@pytest.mark.parametrize("text", [
    "cat a.txt | rm", "find . | mkdir", "status | rm", "head a.txt | rm", "find . | nonsense", "find . |"])
def test_ends_that_do_not_fit_are_refused_before_anything_runs(tree: Shell, text: str) -> None:
    said = line(tree, text)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert len(list(tree.sdk.list("admin"))) == 7


def test_a_failure_before_the_pipe_leaves_everything_as_it_is(tree: Shell) -> None:
    said = line(tree, "find docs nowhere | rm -r")
    assert said.code == 1
    assert "'find' before the pipe failed" in said.err
    assert len(list(tree.sdk.list("admin"))) == 7
    assert line(tree, "cat a.txt none | upload - made").code == 1
    assert [entry.name for entry in tree.sdk.ls("/admin")] == ["a.txt", "b.txt", "docs", "x.log"]


def test_a_reader_that_has_enough_ends_a_long_writer(tree: Shell) -> None:
    tree.sdk.put("/admin/big", b"0123456789abcde\n" * (1 << 20))
    said = line(tree, "cat big | head -n 1")
    assert (said.code, said.out) == (0, "0123456789abcde\n")
    assert threading.active_count() < 30


def test_lines_of_a_session_have_pipes_and_one_shot_commands_read_paths_from_standard_input(tree: Shell) -> None:
    said = tree.lines("cd docs", "ls | head -n 1", "find . | head -n 1 | info --json", "cat nothing | head")
    assert said.out.splitlines()[0] == "-dash"
    assert '"path": "/admin/docs/-dash"' in said.out
    assert said.code == 1
    said = tree("info", "-", "--json", stdin="/admin/a.txt\n/admin/docs/ü/日本.txt\n".encode())
    assert [file["path"] for file in said.json["files"]] == ["/admin/a.txt", "/admin/docs/ü/日本.txt"]
    assert tree("rm", stdin=b"/admin/a.txt\n").code == 2


def test_ctrl_c_ends_all_commands_of_a_line_and_keeps_the_session(tree: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe")  # an upload from it waits for ever

    def keys(pipe: PipeInput) -> None:
        pipe.send_text("put pipe | head | head\r")
        for _ in range(200):
            if any(thread.name.startswith(UPLOAD_THREADS) for thread in threading.enumerate()):
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        pipe.send_text("mkdir fine\r\x04")
    assert type_keys(tree, monkeypatch, keys) == 0
    Path("pipe").write_bytes(b"")  # let the thread that opens it go
    assert [entry.name for entry in tree.sdk.ls("/admin")] == ["a.txt", "b.txt", "docs", "fine", "x.log"]
    assert not [thread for thread in threading.enumerate() if thread.name in ("fluffy-put", "fluffy-head")]


def test_given_lines_run_until_one_fails(tree: Shell) -> None:
    said = tree("-c", "cd docs", "-c", "pwd", "-c", "cat none", "-c", "pwd")
    assert said.code == 1
    assert said.out == "/admin/docs\n"
    assert tree("-c", "pwd", "ls").code == 2
