"""Bars for transfers that take a while, on a terminal, and nothing anywhere else."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from fluffy.base.errors import NoLeader
from fluffy.client.shell import progress, session
from fluffy.client.shell.output import Output
from fluffy.client.shell.progress import TransferBar, TreeCount

MIB = 1024 * 1024


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0.0)
    return Terminal()


def transfer(output: Output, label: str = "file") -> None:
    with TransferBar(output, label) as bar:
        for done in range(0, 101, 10):
            bar(done * MIB, 100 * MIB)


def test_a_long_transfer_shows_name_amount_and_rate(screen: Terminal) -> None:
    transfer(Output(err=screen), "[bold]evil\x1b[2J")
    shown = screen.getvalue()
    assert "[bold]evil\\x1b[2J" in shown
    assert "100.0 MiB" in shown
    assert "/s" in shown


def test_a_short_one_shows_nothing(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 60.0)
    transfer(Output(err=screen))
    assert screen.getvalue() == ""


@pytest.mark.parametrize("make", [lambda screen: Output(err=io.StringIO()), lambda screen: Output(err=screen)])
def test_programs_see_no_bar(screen: Terminal, make: Callable[[Terminal], Output]) -> None:
    output = make(screen)
    with output.as_json(output.err is screen):
        transfer(output)
    assert screen.getvalue() == ""
    assert output.err.getvalue() == ""  # type: ignore[attr-defined]


def test_a_tree_is_counted_on_one_line(screen: Terminal) -> None:
    with TreeCount(Output(err=screen), "uploading") as count:
        for number in range(5):
            count(f"/admin/[x]/{number}\x1b[2J", MIB)
    assert "uploading 5 files, 5.0 MiB: /admin/[x]/4\\x1b[2J" in screen.getvalue()
    silent = io.StringIO()
    with TreeCount(Output(err=silent), "uploading") as count:
        count("/admin/x", 1)
    assert silent.getvalue() == ""


def test_the_summary_says_how_fast_it_was(screen: Terminal) -> None:
    with TransferBar(Output(err=screen), "file") as bar:
        assert bar.summary(5 * MIB).startswith("5.0 MiB in ")
        assert "/s" in bar.summary(5 * MIB)


def test_long_waits_are_explained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    teller = session._Teller(Output(err=err))
    teller.begin()
    teller.retrying(NoLeader(), 1.0)
    assert err.getvalue() == ""
    monkeypatch.setattr(session, "TELL_AFTER_S", 0.0)
    teller.retrying(NoLeader(), 1.0)
    teller.retrying(NoLeader(), 1.0)
    teller.stale(7)
    teller.stale(8)
    assert err.getvalue().count("choosing a leader") == 1
    assert err.getvalue().count("7 s old") == 1
    assert "8 s" not in err.getvalue()
