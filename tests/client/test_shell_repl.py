"""The session: prompt, history, completion, Ctrl-C and Ctrl-D, with keys typed through a pipe."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from fluffy.client.shell.completion import ShellCompleter
from fluffy.client.shell.main import build_cli, run_command_line, run_repl
from fluffy.client.shell.repl import open_history
from fluffy.client.shell.session import Connection, Session
from fluffy.client.shell.table import ShellGroup
from fluffy.client.thread_names import UPLOAD_THREADS
from tests.client.shell_door import Shell


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def type_keys(shell: Shell, monkeypatch: pytest.MonkeyPatch, keys: str | Callable[[PipeInput], None]) -> int:
    """Run the REPL with `keys` typed into it."""
    monkeypatch.setattr(sys, "stdin", Terminal())
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        if callable(keys):
            typist = threading.Thread(target=keys, args=(pipe,))
            typist.start()
        else:
            pipe.send_text(keys)
        code = run_repl(lambda _: shell.connection)
        if callable(keys):
            typist.join()
    return code


def test_a_session_remembers_where_it_is(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x").write_bytes(b"x")
    code = type_keys(shell, monkeypatch,
                     "mkdir docs\rcd docs\rput x 'with space'\rcd ..\rcd -\rrm wit*\rcd /\rcd\rexit\rput x never\r")
    assert code == 0
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["docs"]
    assert list(shell.sdk.ls("/admin/docs")) == []


def test_ctrl_d_leaves_and_ctrl_c_clears_the_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type_keys(shell, monkeypatch, "mkdir oops\x03mkdir fine\r\x04") == 0
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["fine"]


def test_errors_keep_the_session(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    type_keys(shell, monkeypatch, "cat none\rnonsense\rls 'open\rmv a b\rls --peer x\r\r  \rmkdir fine\r\x04")
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["fine"]


def test_tab_completes_commands_and_remote_paths(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sdk.put("/admin/a long name (1).txt", b"x")

    offered = threading.Semaphore(0)
    get_completions = ShellCompleter.get_completions

    def watched(self: ShellCompleter, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        yield from get_completions(self, document, event)
        offered.release()
    monkeypatch.setattr(ShellCompleter, "get_completions", watched)

    def keys(pipe: PipeInput) -> None:
        for text in ("del\t", "a\\ lo\t"):
            pipe.send_text(text)
            assert offered.acquire(timeout=20)
            time.sleep(0.3)  # from the thread that asked the cluster to the screen
        pipe.send_text("\r\x04")
    type_keys(shell, monkeypatch, keys)
    assert list(shell.sdk.ls("/admin")) == []


def test_ctrl_c_ends_the_command_and_keeps_the_session(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe")  # an upload from it waits for ever

    def keys(pipe: PipeInput) -> None:
        pipe.send_text("put pipe\r")
        for _ in range(200):
            if any(thread.name.startswith(UPLOAD_THREADS) for thread in threading.enumerate()):
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        pipe.send_text("mkdir fine\r")
        for _ in range(200):
            if any(entry.name == "fine" for entry in shell.sdk.ls("/admin")):
                break
            time.sleep(0.1)
        # Only now: an upload that saw the end of its file before the interrupt would be a whole one.
        Path("pipe").write_bytes(b"")  # let the thread that opens it go
        pipe.send_text("\x04")
    assert type_keys(shell, monkeypatch, keys) == 0
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["fine"]


def test_lines_from_a_pipe_need_no_terminal(shell: Shell) -> None:
    said = shell.lines("pwd", "mkdir docs", "cd docs", "pwd", "cat none", "# a comment", "", "pwd --json")
    assert said.code == 1
    assert "/admin\n" in said.out
    assert '{"path": "/admin/docs"}' in said.out
    assert "\x1b" not in said.out


def test_quoted_patterns_are_names(shell: Shell) -> None:
    for name in ("a*", "ab", "ac"):
        shell.sdk.put(f"/admin/{name}", b"x")
    assert shell.lines("rm 'a*'").code == 0
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["ab", "ac"]
    assert shell.lines("rm a*").code == 0
    assert list(shell.sdk.ls("/admin")) == []
    Path("one.x").write_bytes(b"1")
    Path("two.x").write_bytes(b"2")
    assert shell.lines("put *.x").code == 0
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["one.x", "two.x"]
    assert shell.lines("put '*.x'").code == 1


def test_history_is_kept_for_its_owner_only(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    type_keys(shell, monkeypatch, "mkdir remembered\r\x04")
    file = tmp_path / "state" / "fluffy" / "history"
    assert "mkdir remembered" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert list(open_history({"HOME": "/proc/nowhere"}).load_history_strings()) == []


@pytest.mark.parametrize(("connection", "code"), [
    (Connection((), "x"), 3), (Connection(("http://127.0.0.1:9",), "x"), 3)])
def test_a_session_needs_a_cluster(monkeypatch: pytest.MonkeyPatch, connection: Connection, code: int) -> None:
    monkeypatch.setattr("fluffy.client.shell.session.REACH_S", 0.3)
    assert run_command_line(build_cli(lambda _: connection), []) == code


@pytest.fixture
def offers(shell: Shell) -> Iterator[Callable[[str], list[str]]]:
    session = Session(lambda _: shell.connection, interactive=True)
    group = build_cli(lambda _: shell.connection)
    assert isinstance(group, ShellGroup)
    completer = ShellCompleter(group, session)

    def complete(line: str) -> list[str]:
        return [line[:len(line) + offer.start_position] + offer.text
                for offer in completer.get_completions(Document(line), CompleteEvent())]
    yield complete
    session.close()


def test_what_tab_offers(shell: Shell, offers: Callable[[str], list[str]]) -> None:
    for name in ("docs/x", "docs/y z", "data.txt", ".hidden"):
        shell.sdk.put(f"/admin/{name}", b"x")
    Path("local.txt").write_bytes(b"")
    Path("folder").mkdir()
    assert offers("upl") == ["upload "]
    assert offers("cat")[:2] == ["cat ", "catalog "]
    assert offers("cat a | hea") == ["cat a | head "]
    assert offers("ls | rm d") == ["ls | rm data.txt ", "ls | rm docs/"]
    assert offers("ls d") == ["ls data.txt ", "ls docs/"]
    assert offers("cd d") == ["cd docs/"]
    assert offers("cat docs/") == ["cat docs/x ", "cat docs/y\\ z "]
    assert offers("cat 'docs/y") == ["cat docs/y\\ z "]
    assert offers("cat /ad") == ["cat /admin/"]
    assert offers("cat .") == ["cat .hidden "]
    assert offers("put ") == ["put folder/", "put local.txt "]
    assert offers("put local.txt do") == ["put local.txt docs/"]
    assert offers("get data.txt l") == ["get data.txt local.txt "]
    assert "ls --long " in offers("ls --l")
    assert offers("help upl") == ["help upload "]
    assert offers("cat nowhere/") == []
    assert offers("nonsense x") == []
    assert offers("status ") == []
