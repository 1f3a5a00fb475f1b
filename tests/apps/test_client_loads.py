"""A command line loads what it uses, and nothing of what nodes and restores are made of: the modules say it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from fluffy.apps.client import make_cli
from fluffy.client.shell.index import Row

SERVER = ("pysyncobj", "sqlite3", "cryptography", "httptools", "fluffy.drivers", "fluffy.gateways",
          "fluffy.services.keeper", "fluffy.core.metadata.machine", "fluffy.core.metadata.commands",
          "fluffy.apps.server", "fluffy.apps.settings")
TERMINAL = ("prompt_toolkit", "rich")
NETWORK = ("aiohttp", "asyncio", "ssl", "yaml", "blake3")
REACHED = "the end"


def loaded_by(*arguments: str) -> set[str]:
    """The modules in a process that has run this command line."""
    code = f"""
import sys
from fluffy.apps.client import main
from fluffy.client.shell import session
session.REACH_S = 0.0
try:
    main({list(arguments)!r})
except SystemExit as end:
    assert end.code == {3 if "ls" in arguments else 0}, end.code
print({REACHED!r}, *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.partition(REACHED)[2].split())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("help",)])
def test_a_help_loads_no_client_and_no_command(arguments: tuple[str, ...]) -> None:
    loaded = loaded_by(*arguments)
    assert loaded & {*SERVER, *TERMINAL, *NETWORK} == set()
    assert "fluffy.client.shell.files" not in loaded and "fluffy.client.sync" not in loaded


def test_a_command_that_asks_the_cluster_loads_the_client_alone() -> None:
    loaded = loaded_by("ls", "/", "--peer", "127.0.0.1:1", "--token", "nobody")
    assert "fluffy.client.sync" in loaded, "it came as far as the cluster"
    assert loaded & {*SERVER, *TERMINAL} - {"fluffy.apps.settings"} == set()


def test_the_table_says_what_the_commands_say() -> None:
    cli = make_cli()
    told = {row.name: row for row in cli.rows.values()}
    assert told == {spec.name: Row(told[spec.name].module, spec.name, spec.group,
                                   spec.command.get_short_help_str(limit=120), spec.aliases)
                    for spec in cli.specs.values()}


def test_every_command_of_a_module_stands_in_the_table() -> None:
    rows = make_cli().rows.values()
    there = {(module, spec.name) for module in {row.module for row in rows} for spec in import_module(module).SPECS}
    assert there == {(row.module, row.name) for row in rows}
