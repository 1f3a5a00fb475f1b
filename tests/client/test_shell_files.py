"""The commands about files that the first version of the shell had not: beginnings, writing from within, questions."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from fluffy.apps.client import make_cli
from fluffy.client.shell.files import first_of
from fluffy.client.shell.listing import _show_columns
from fluffy.client.shell.main import run_repl
from fluffy.client.shell.output import Output
from fluffy.client.shell.pipes import plan
from fluffy.client.shell.table import ShellCommand, Spec
from fluffy.client.shell.words import split_pipeline
from tests.client.shell_door import Shell
from tests.client.test_shell_repl import Terminal

LINES = b"".join(b"line %d\n" % number for number in range(30_000))


def test_head_shows_the_beginning_and_fetches_no_more(shell: Shell) -> None:
    shell.sdk.put("/admin/log", LINES)
    shell.sdk.put("/admin/short", b"no end")
    shell.sdk.put("/admin/empty", b"")
    assert shell.raw("head", "log") == b"".join(b"line %d\n" % number for number in range(10))
    assert shell.raw("head", "-n", "20000", "log") == LINES[:LINES.index(b"line 20000\n")]
    assert shell.raw("head", "-n", "99999", "log") == LINES
    assert shell.raw("head", "-c", "5", "log") == b"line "
    assert shell.raw("head", "-n", "0", "log") == b""
    assert shell.raw("head", "short", "empty") == b"==> /admin/short <==\nno end==> /admin/empty <==\n"
    assert shell("head", "short", "--json").json["data"] == "no end"
    assert shell("head", "-n", "1", "-c", "1", "log").code == 2
    assert shell("head", "none").code == 1


@given(st.binary(max_size=60), st.integers(0, 12), st.integers(1, 9), st.booleans())
def test_the_first_lines_are_the_same_however_they_come(data: bytes, count: int, size: int, lines: bool) -> None:
    data = data.replace(b"\x00", b"\n")
    blocks = [data[start:start + size] for start in range(0, len(data), size)]
    got = b"".join(first_of(blocks, count if lines else None, count))
    assert got == (_first_lines(data, count) if lines else data[:count])


def _first_lines(data: bytes, count: int) -> bytes:
    parts = data.split(b"\n")
    whole = [part + b"\n" for part in parts[:-1]] + [parts[-1]]
    return b"".join(whole[:count])


def test_touch_makes_files_and_renews_times(shell: Shell) -> None:
    shell.sdk.put("/admin/old", b"kept")
    before = shell.sdk.info("/admin/old").modified
    assert shell("touch", "old", "new", "deep/er").code == 0
    assert shell.sdk.get("/admin/old") == b"kept"
    assert shell.sdk.get("/admin/new") == shell.sdk.get("/admin/deep/er") == b""
    after = shell.sdk.info("/admin/old").modified
    assert before is not None and after is not None and after > before
    assert shell("touch").code == 2


def test_append_puts_bytes_behind_the_end(shell: Shell) -> None:
    Path("one").write_bytes(b"1\n")
    Path("two").write_bytes(b"2\n")
    assert shell("append", "one", "log").code == 0
    assert shell("append", "one", "two", "log", "--json").json["files"][1]["offset"] == 4
    assert shell("append", "--text", "drei", "-t", "vier", "log").code == 0
    assert shell("append", "-", "log", stdin=b"5").code == 0
    assert shell("append", "log", stdin=b"6").code == 0
    assert shell.sdk.get("/admin/log") == b"1\n1\n2\ndrei\nvier\n56"
    assert shell("append", "none", "log").code == 1
    assert shell("append", "--text", "x", "one", "log").code == 2
    assert shell.lines("append log").code == 1


def test_upload_labels_files(shell: Shell) -> None:
    Path("a").write_bytes(b"a")
    labels = ("--tag", "k=v", "--tag", "year=2026", "--type", "text/x-odd", "--meta", "from=me")
    assert shell("upload", "a", *labels).code == 0
    found = shell.sdk.info("/admin/a")
    assert (found.tags, found.meta, found.content_type) == ({"k": "v", "year": "2026"}, {"from": "me"}, "text/x-odd")
    assert shell("upload", "a", "--tag", "bare").code == 2


def test_search_takes_all_filters(shell: Shell) -> None:
    for name, size, content_type, tags in (("report.pdf", 10, "application/pdf", {"year": "2026"}),
                                           ("report.txt", 5000, "text/plain", {"year": "2025", "x": "y"}),
                                           ("other.png", 10, "image/png", None)):
        shell.sdk.put(f"/admin/{name}", b"x" * size, content_type=content_type, tags=tags)

    def hits(*arguments: str) -> list[str]:
        said = shell("search", *arguments)
        assert said.code == 0, said.err
        return [path.removeprefix("/admin/") for path in said.out.splitlines()]
    assert hits("report") == ["report.pdf", "report.txt"]
    assert hits("*.pdf") == ["report.pdf"]
    assert hits("report", "--type", "text/") == ["report.txt"]
    assert hits("--tag", "year=2026") == ["report.pdf"]
    assert hits("--tag", "year", "--tag", "x=y") == ["report.txt"]
    assert hits("--min-size", "1KiB") == ["report.txt"]
    assert hits("report", "--max-size", "10", "--owner", "admin", "--bucket", "admin") == ["report.pdf"]
    assert hits("--bucket", "admin", "--limit", "1", "report") == ["report.pdf"]
    assert len(hits("report", "--since", "-1h")) == 2
    assert hits("report", "--until", "-1h") == []
    assert "5000 B" not in shell("search", "report", "-l").out and "4.9 KiB" in shell("search", "report", "-l").out
    assert shell("search").code == 2
    assert shell("search", "x", "--since", "soon").code == 2


def test_purge_is_for_good_and_scripts_must_mean_it(shell: Shell) -> None:
    for name in ("a", "b", "docs/x", "docs/y"):
        shell.sdk.put(f"/admin/{name}", b"x")
    said = shell("rm", "--purge", "a")
    assert said.code == 2
    assert "--yes" in said.err
    assert shell("rm", "--purge", "a", "--json").json["error"]["code"] == "UsageWrong"
    assert shell("rm", "--purge", "--yes", "a").code == 0
    assert shell("rm", "-r", "--purge", "-y", "docs").code == 0
    assert shell("rm", "-r", "b").code == 0
    assert [item.path for item in shell.sdk.trash()] == ["/admin/b"]


def test_ls_of_files_of_folders_themselves_and_of_several(shell: Shell) -> None:
    for name in ("a", "docs/x", "more/y"):
        shell.sdk.put(f"/admin/{name}", b"x")
    assert shell("ls", "docs", "a", "more").out == "/admin/docs:\nx\na\n/admin/more:\ny\n"
    said = shell("ls", "none", "docs")
    assert (said.code, said.out) == (1, "/admin/docs:\nx\n")
    assert "/admin/none" in said.err
    assert shell("ls", "-d", "docs", "a").out == "/admin/docs/\n/admin/a\n"
    assert shell("ls", "*").out == "a\n/admin/docs:\nx\n/admin/more:\ny\n"


@pytest.mark.parametrize(("columns", "rows"), [("200", 1), ("40", 5), ("5", 30)])
def test_columns_are_as_wide_as_the_terminal_is_now(columns: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    screen = Terminal()
    names = [f"日{number:02}" for number in range(30)]
    _show_columns(Output(screen), iter([(4, name) for name in names]))
    shown = screen.getvalue().splitlines()
    assert len(shown) == rows
    cells = [line.split() for line in shown]
    assert [row[column] for column in range(len(cells[0])) for row in cells if column < len(row)] == names


def editor(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An editor that does `script` to the file, named by $EDITOR."""
    file = Path("editor")
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(file.absolute()))


def test_edit_stores_what_the_editor_left(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell.sdk.put("/admin/my notes.txt", b"one\n", tags={"k": "v"}, meta={"m": "n"}, content_type="text/x-odd")
    editor(monkeypatch, 'echo two >> "$1"')
    said = shell("edit", "my notes.txt", "--json")
    assert (said.code, said.json["generation"]) == (0, 2)
    found = shell.sdk.info("/admin/my notes.txt")
    assert (found.tags, found.meta, found.content_type) == ({"k": "v"}, {"m": "n"}, "text/x-odd")
    assert shell.sdk.get("/admin/my notes.txt") == b"one\ntwo\n"
    assert shell("edit", "new/file").code == 0
    assert shell.sdk.get("/admin/new/file") == b"two\n"
    editor(monkeypatch, "true")
    assert shell("edit", "my notes.txt").out == "unchanged: /admin/my notes.txt\n"
    assert shell("edit", "never").out == "nothing was written, no file was made: /admin/never\n"
    assert shell("info", "never").code == 1
    assert shell.sdk.info("/admin/my notes.txt").generation == 2
    assert list((tmp_path / "state/fluffy/edits").iterdir()) == []
    assert shell("edit", "new").code == 1


def test_edit_overwrites_nobodys_change_and_keeps_the_text(shell: Shell, monkeypatch: pytest.MonkeyPatch,
                                                          tmp_path: Path) -> None:
    shell.sdk.put("/admin/notes", b"one\n")
    put_by_another = threading.Event()
    os.mkfifo("go")

    def another() -> None:
        Path("go").read_bytes()  # the editor has opened the file
        shell.sdk.put("/admin/notes", b"theirs\n")
        put_by_another.set()
        Path("go").write_bytes(b"")
    thread = threading.Thread(target=another)
    thread.start()
    editor(monkeypatch, f'echo mine >> "$1"; echo > "{Path("go").absolute()}"; cat "{Path("go").absolute()}"')
    said = shell("edit", "notes")
    thread.join(30)
    assert said.code == 1
    assert "somebody else changed it meanwhile" in said.err
    kept = Path(said.err.rpartition("your text is in ")[2].strip())
    assert kept.read_bytes() == b"one\nmine\n"
    assert shell.sdk.get("/admin/notes") == b"theirs\n"


def test_an_editor_that_fails_stores_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sdk.put("/admin/notes", b"one\n")
    editor(monkeypatch, 'echo two >> "$1"; exit 3')
    said = shell("edit", "notes")
    assert said.code == 1
    assert "code 3" in said.err and "your text is in" in said.err
    assert shell("edit", "notes", "--editor", "no-such-editor").code == 1
    assert shell.sdk.get("/admin/notes") == b"one\n"


def typed(shell: Shell, monkeypatch: pytest.MonkeyPatch, keys: str) -> int:
    monkeypatch.setattr(sys, "stdin", Terminal())
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        return run_repl(lambda _: shell.connection)


def test_the_session_asks_before_it_destroys(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docs/x", "more/y", "a", "b", "c"):
        shell.sdk.put(f"/admin/{name}", b"x")
    typed(shell, monkeypatch, "rm -r docs\rn\rrm -r more\ry\rrm a\rrm --purge b\r\rrm --purge -y c\r"
                              "rm --purge b\r\x03\x04")
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["b", "docs"]
    typed(shell, monkeypatch, "find . -type f | rm --purge\rYES\r\x04")
    assert [entry.name for entry in shell.sdk.ls("/admin")] == ["docs"]
    assert list(shell.sdk.ls("/admin/docs")) == []


SPECS = list(make_cli().specs.values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_command_has_a_summary_and_examples_that_are_right(spec: Spec) -> None:
    group = make_cli()
    assert (spec.command.help or "").strip()
    assert spec.examples or spec.group == "machine"
    for example in spec.examples:
        if "fluffy" in example.line:
            continue  # for another shell
        stages = split_pipeline(example.line)
        named = [found for words in stages if (found := group.spec_of(words[0])) is not None]
        plan([(found.name, found.gives, found.eats) for found in named])
        for words in stages:
            spec_there = group.spec_of(words[0])
            assert spec_there is not None, example.line
            command = spec_there.command
            with command.make_context(words[0], words[1:]):
                assert isinstance(command, ShellCommand) or spec.group == "machine"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_command_takes_json_and_every_option_is_explained(spec: Spec) -> None:
    if spec.group == "machine":
        return
    assert any("--json" in param.opts for param in spec.command.params)
    for param in spec.command.params:
        assert not isinstance(param, click.Option) or param.help, f"{spec.name} {param.name}"


def test_edits_are_for_their_owner_only(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor(monkeypatch, f'stat -c %a "$(dirname "$1")" > "{tmp_path}/mode"')
    assert shell("edit", "--json", "x").code == 0
    assert (tmp_path / "mode").read_text() == "700\n"
    assert stat.S_IMODE((tmp_path / "state/fluffy/edits").stat().st_mode) == 0o700


def test_a_name_stands_in_the_table_once() -> None:
    """Also not once for now and once for later."""
    names = [name for spec in SPECS for name in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))
