"""The house is built as docs/ARCHITECTURE.md says: floors, the order inside core, the bans. Each check has teeth."""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path

import pytest

from tests.support import architecture
from tests.support.architecture import ENTRY_FILES, EXEMPT, FLOORS, RULES, Rule, Source, parse

ROOT = Path(__file__).resolve().parents[1]


@cache
def sources() -> tuple[Source, ...]:
    files = [ROOT / name for name in ENTRY_FILES]
    for folder in ("fluffy", "tests", "benchmarks"):
        files += sorted((ROOT / folder).rglob("*.py"))
    return tuple(parse(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    broken = [f"{source.path}:{line}: {problem}" for source in sources() for line, problem in rule(source)
              if (rule.__name__, source.path) not in EXEMPT]
    assert not broken, "\n" + "\n".join(broken)


def test_every_exemption_is_needed() -> None:
    rules = {rule.__name__: rule for rule in RULES}
    by_path = {source.path: source for source in sources()}
    assert [key for key in EXEMPT if not list(rules[key[0]](by_path[key[1]]))] == []


def test_every_room_stands_on_a_floor() -> None:
    rooms = {path.name for path in (ROOT / "fluffy").iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert rooms <= set(FLOORS)


# rule -> (file, what it forbids, what it allows)
PLANTED = {
    "floors": [
        ("fluffy/base/x.py", "from fluffy.core.metadata import model", "import json"),
        ("fluffy/services/x.py", "import fluffy.drivers.log_client", "import fluffy.ports"),
        ("fluffy/drivers/x.py", "from fluffy.sim import world", "from fluffy.drivers import buffers"),
        ("fluffy/gateways/x.py", "from fluffy.client import api", "from fluffy.drivers import buffers"),
        ("fluffy/core/data/x.py", "from fluffy import ports", "from fluffy.base import ids"),
        ("fluffy/wire/x.py", "from fluffy.apps.settings import load", "from fluffy.core.metadata import model"),
        ("fluffy/wire/x.py", "from ..apps import settings", "from fluffy.wire import frames"),
        ("fluffy/apps/x.py", "from fluffy.cellar import x", "from fluffy.client import api"),
        ("fluffy/client/x.py", 'x = later("fluffy.apps.settings", "load")', 'x = later("fluffy.base.ids", "NodeNo")'),
        ("fluffy/base/x.py", '__getattr__ = found_later("x", {"Fluffy": "fluffy.client.sync"})', "import json"),
    ],
    "core_order": [
        ("fluffy/core/metadata/x.py", "from fluffy.core.data import y", "from fluffy.core.metadata import y"),
        ("fluffy/core/data/x.py", "from fluffy.core.placement import y", "from fluffy.core.repair import y"),
        ("fluffy/core/placement/x.py", "from fluffy.core.access import y", "from fluffy.core.metadata import y"),
        ("fluffy/core/access/x.py", "from fluffy.core.repair import y", "from fluffy.core.metadata import y"),
    ],
    "core_is_pure": [("fluffy/core/data/x.py", "import time", "import struct"),
                     ("fluffy/core/data/x.py", "from os import path", "import sqlite3")],
    "metadata_has_no_floats": [
        ("fluffy/core/metadata/x.py", "HALF = 0.5", "HALF = 5"),
        ("fluffy/core/metadata/x.py", "def f(a): return a / 2", "def f(a): return a // 2"),
        ("fluffy/core/metadata/x.py", "def f(a): return float(a)", "def f(a): return int(a)"),
    ],
    "tasks_have_parents": [
        ("fluffy/services/x.py", "asyncio.create_task(f())", "group.create_task(f())"),
        ("fluffy/services/x.py", "asyncio.get_running_loop().create_task(f())", "self._group.create_task(f())"),
        ("fluffy/services/x.py", "from asyncio import create_task", "from asyncio import TaskGroup"),
        ("fluffy/services/x.py", "asyncio.ensure_future(f())", "asyncio.run(f())"),
    ],
    "broad_exceptions": [
        ("fluffy/services/x.py", "try: f()\nexcept: raise", "try: f()\nexcept Exception: raise"),
        ("fluffy/services/x.py", "try: f()\nexcept Exception as e: log(e)", "try: f()\nexcept ValueError as e: log(e)"),
        ("fluffy/services/x.py", "try: f()\nexcept (KeyError, BaseException): g()", "try: f()\nexcept KeyError: g()"),
        ("fluffy/services/x.py", "try: f()\nexcept OSError: pass", "try: f()\nexcept FileNotFoundError: pass"),
        ("fluffy/services/x.py", "try: f()\nexcept OSError: ...", "try: f()\nexcept OSError: g()"),
        ("fluffy/services/x.py", "with suppress(OSError): f()", "with suppress(FileNotFoundError): f()"),
    ],
    "no_type_checking": [
        ("fluffy/base/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING: import y", "import typing"),
        ("fluffy/base/x.py", "import typing\nif typing.TYPE_CHECKING: import y", "TYPES = 1"),
    ],
    "imports_at_the_top": [
        ("fluffy/base/x.py", "def f():\n  import os", "if 1:\n  import os"),
        ("fluffy/base/x.py", "class A:\n  async def f(self):\n    from os import path", "import os"),
    ],
    "no_sleeping_loop": [
        ("fluffy/services/x.py", "async def f(): time.sleep(1)", "def f(): time.sleep(1)"),
        ("tests/x.py", "async def f():\n  if a: time.sleep(1)", "async def f(): await asyncio.sleep(1)"),
        ("tests/x.py", "async def f(): time.sleep(1)", "async def f():\n  def g(): time.sleep(1)"),
    ],
    "sizes": [("fluffy/base/x.py", "x = 1\n" * 501, "x = 1\n" * 500),
              ("fluffy/base/x.py", "def f():\n" + "  x = 1\n" * 60, "def f():\n" + "  x = 1\n" * 59)],
    "entry_files_are_short": [("server.py", "x = 1\n" * 30, "x = 1\n" * 29)],
    "no_print": [("fluffy/services/x.py", "print(1)", "log.info('x')"),
                 ("fluffy/client/api.py", "print(1)", "self.print(1)")],
    "no_pickle": [("fluffy/wire/x.py", "import pickle", "import msgpack"),
                  ("fluffy/wire/x.py", "from pickle import loads", "from json import loads"),
                  ("fluffy/wire/x.py", "eval('1')", "model.eval('1')")],
    "environment_only_in_apps": [("fluffy/services/x.py", "os.environ['A']", "os.getpid()"),
                                 ("fluffy/client/x.py", "os.getenv('A')", "a = 1")],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_has_teeth(rule: Rule) -> None:
    for path, forbidden, allowed in PLANTED[rule.__name__]:
        assert list(rule(parse(path, textwrap.dedent(forbidden)))), f"{rule.__name__} missed: {forbidden[:80]}"
        assert not list(rule(parse(path, textwrap.dedent(allowed)))), f"{rule.__name__} fired at: {allowed[:80]}"


def test_the_same_words_elsewhere_are_allowed() -> None:
    """The bans are for their rooms: a driver may sleep in a thread, import os, divide."""
    elsewhere = parse("fluffy/drivers/x.py", "import os, time\ndef f(a):\n  time.sleep(0.5)\n  return a / 2\n")
    for rule in RULES:
        assert list(rule(elsewhere)) == []
    shell = parse("fluffy/client/shell/x.py", "import os\nprint(os.environ['EDITOR'])\n")
    assert [problem for rule in RULES for problem in rule(shell)] == []
    assert architecture.PRINT_ALLOWED
