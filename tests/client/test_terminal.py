"""A session in a real terminal, against a real cluster of three nodes: every command of every group, once at least.

The screens are kept in tests/data/screens; `REWRITE=1` records them anew: read the diff. Without tmux (`.ci/run`
installs it) only the recorded screens are looked at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.apps.client import make_cli
from fluffy.base.errors import QuerySyntax
from fluffy.client.shell.words import split_pipeline
from tests.client.terminal_scripts import SCRIPTS, SHOWN
from tests.client.terminal_scripts_care import SAME_IN_ALL_RUNS
from tests.client.terminal_steps import Step, normalised
from tests.support.cluster import ROOT, Cluster
from tests.support.terminal import HAS_TMUX, Terminal

SCREENS = ROOT / "tests/data/screens"
EDITOR = "#!/bin/sh\nprintf 'from the editor\\n' >> \"$1\"\n"
LEAVING = ("exit", "quit")
KEYS = ("Tab", "C-c", "C-d", "Up")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("alpha"), cluster={"name": "alpha"}) as running:
        running.start_ready()
        yield running


@pytest.fixture
def terminal(cluster: Cluster, tmp_path: Path) -> Iterator[Terminal]:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "editor").write_text(EDITOR)
    (tmp_path / "editor").chmod(0o755)
    command = [sys.executable, str(ROOT / "client.py"), "--config", str(cluster.config)]
    running = Terminal(tmp_path, command, cwd=here, env={
        "HOME": str(tmp_path / "home"), "EDITOR": str(tmp_path / "editor"), "VISUAL": "", "PYTHONPATH": str(ROOT),
        "TZ": "UTC", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "", "FLUFFY_TOKEN": "",
        "FLUFFY_PEERS": "", "NO_COLOR": ""})
    try:
        yield running
    finally:
        running.close()


def play(terminal: Terminal, script: tuple[Step, ...], here: Path) -> list[str]:
    """Type the script; the screens, one below the other, each with its typed line."""
    terminal.wait_for_prompt()
    screens: list[str] = []
    for step in script:
        if step.columns is not None:
            terminal.resize(step.columns)
        if step.before is not None:
            step.before(here)
        terminal.type(step.line)
        if not step.answers or step.answers[0][1] != "Tab":
            terminal.press("Enter")
        if step.during is not None:
            step.during(here)
        for text, answer in step.answers:
            terminal.wait_for_text(text)
            if answer in KEYS:
                terminal.press(answer)
            else:
                terminal.type(answer)
                terminal.press("Enter")
        if step.line in LEAVING:
            break
        screens += [f"==== {step.line}", *(normalised(line, SAME_IN_ALL_RUNS) for line in terminal.wait_for_prompt())]
    return screens


if HAS_TMUX:
    @pytest.mark.parametrize("name", list(SCRIPTS))
    def test_a_session_looks_as_it_was_recorded(name: str, terminal: Terminal, tmp_path: Path) -> None:
        shown = "\n".join(play(terminal, SCRIPTS[name], tmp_path / "here")) + "\n"
        file = SCREENS / f"{name}.txt"
        if os.environ.get("REWRITE"):
            file.write_text(shown, encoding="utf-8")
            return
        assert shown == file.read_text(encoding="utf-8"), "record the screens anew with REWRITE=1, and read the diff"


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_every_step_has_its_screen(name: str) -> None:
    text = (SCREENS / f"{name}.txt").read_text(encoding="utf-8")
    assert [line[5:] for line in text.splitlines() if line.startswith("==== ")] == [
        step.line for step in SCRIPTS[name] if step.line not in LEAVING]


@pytest.mark.parametrize("group", SHOWN)
def test_every_command_of_the_group_is_in_a_script(group: str) -> None:
    cli = make_cli()
    wanted = {spec.name for spec in cli.specs.values() if spec.group == group}
    typed = {spec.name for script in SCRIPTS.values() for step in script
             for words in stages_of(step.line) if (spec := cli.spec_of(words[0])) is not None}
    assert sorted(wanted - typed) == []


def stages_of(line: str) -> list[list[str]]:
    try:
        return split_pipeline(line)
    except QuerySyntax:
        return []  # typed to see what is said about it
