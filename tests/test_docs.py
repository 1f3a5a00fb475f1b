"""The pages tell the truth where a program can check it.

Tables between `<!-- begin NAME -->` and `<!-- end NAME -->` are made from the code: `REWRITE=1` writes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fluffy.apps import mirror_settings, settings
from fluffy.apps.client import make_cli
from fluffy.base.errors import ERRORS_BY_CODE, StartRefused
from fluffy.client.shell.help import command_pages, command_table
from fluffy.client.shell.table import ShellGroup
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Route
from fluffy.gateways.s3.operation import Operation
from fluffy.gateways.s3.operations import OPERATIONS
from fluffy.gateways.supernode.routes import ROUTES as SUPERNODE_ROUTES
from fluffy.wire.metric_families import SECTIONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page, name, make", [
    ("docs/CLIENT.md", "commands", command_table), ("docs/COMMANDS.md", "pages", command_pages)])
def test_the_pages_about_commands_are_made_from_the_table_of_commands(
        page: str, name: str, make: Callable[[ShellGroup], list[str]]) -> None:
    check_part(ROOT / page, name, make(make_cli()))


def check_part(page: Path, name: str, lines: Sequence[str]) -> None:
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, rest = text.split(begin)
    written, after = rest.split(end)
    made = "\n".join(lines) + "\n"
    if os.environ.get("REWRITE"):
        page.write_text(before + begin + made + end + after, encoding="utf-8")
        return
    assert written == made, f"{page.name} is behind the code: write its tables anew with REWRITE=1"


def known_keys() -> set[str]:
    keys = {f"cluster.{key}" for key in settings.CLUSTER_KEYS if key not in ("repair", "checkpoint")}
    keys |= {f"cluster.repair.{key}" for key in settings.REPAIR_KEYS}
    keys |= {f"cluster.checkpoint.{key}" for key in settings.CHECKPOINT_KEYS}
    keys |= {f"nodes.NAME.{key}" for key in settings.NODE_KEYS}
    keys |= {f"supernode.{key}" for key in settings.SUPERNODE_KEYS if key not in ("clusters", "mirrors")}
    keys |= {f"supernode.clusters.NAME.{key}" for key in settings.SUPERNODE_CLUSTER_KEYS}
    keys |= {f"supernode.mirrors.NAME.{key}" for key in mirror_settings.MIRROR_KEYS}
    return keys | {f"tls.{key}" for key in settings.TLS_KEYS}


def test_operations_tells_every_key_of_the_configuration_and_no_other() -> None:
    text = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `((?:cluster|nodes|supernode|tls)\.[A-Za-z0-9_.]+)` \|", text, re.MULTILINE))
    assert told == known_keys()


def test_operations_tells_every_environment_variable_of_the_servers() -> None:
    text = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
    for file in (ROOT / "fluffy/apps").glob("*.py"):
        for name in re.findall(r'"(FLUFFY_[A-Z_]+)"', file.read_text(encoding="utf-8")):
            assert f"`{name}`" in text, f"{name} of {file.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:fluffy|tests|docs|benchmarks|deploy)/[A-Za-z0-9_./-]+)`", text)
    gone = [name for name in named if not (ROOT / name).exists()]
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def errors_table() -> list[str]:
    parents = {parent for cls in ERRORS_BY_CODE.values() for parent in cls.__mro__[1:]}
    leaves = [(cls.http_status, code, cls.sentence) for code, cls in ERRORS_BY_CODE.items()
              if cls not in parents and not issubclass(cls, StartRefused)]
    return ["| status | code | sentence |", "|---|---|---|",
            *(f"| {status} | `{code}` | {sentence} |" for status, code, sentence in sorted(leaves))]


def routes_table(routes: Sequence[Route] = ROUTES) -> list[str]:
    lines = ["| method and path | parameters | meaning |", "|---|---|---|"]
    for route in routes:
        parameters = ", ".join(f"`{parameter.name}`" for parameter in route.query)
        lines.append(f"| `{route.method} {route.pattern}` | {parameters} | {route.doc} |")
    return lines


def test_the_supernode_s_table_is_that_of_its_routes() -> None:
    check_part(ROOT / "docs/FEDERATION.md", "supernode", routes_table(SUPERNODE_ROUTES))


@pytest.mark.parametrize("name, make", [("errors", errors_table), ("routes", routes_table)],
                         ids=["errors", "routes"])
def test_the_tables_of_the_api_are_those_of_the_code(name: str, make: Callable[[], list[str]]) -> None:
    check_part(ROOT / "docs/API.md", name, make())


def metrics_tables() -> list[str]:
    lines: list[str] = []
    for title, families in SECTIONS.items():
        lines += ["", f"## {title}", "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} "
                  f"| {family.help} |" for family in families]
    return [*lines, ""]


def test_the_page_about_metrics_is_made_from_the_table_of_metrics() -> None:
    check_part(ROOT / "docs/METRICS.md", "metrics", metrics_tables())


def operations_table() -> list[str]:
    built = [operation for operation in OPERATIONS if operation.handler is not None]
    missing = [operation.name for operation in OPERATIONS if operation.handler is None]
    return ["| operation | request | |", "|---|---|---|",
            *(f"| `{operation.name}` | {_request_of(operation)} | {operation.note} |" for operation in built),
            "", "Answered 501 `NotImplemented`, by name: " + ", ".join(sorted(missing)) + "."]


def _request_of(operation: Operation) -> str:
    where = {"service": "/", "bucket": "/BUCKET", "object": "/BUCKET/KEY"}[operation.level]
    query = "?" + "&".join(operation.needs) if operation.needs else ""
    header = f" with `{operation.header}`" if operation.header else ""
    return f"`{operation.method} {where}{query}`{header}"


def test_the_page_about_s3_is_made_from_the_table_of_operations() -> None:
    check_part(ROOT / "docs/S3.md", "operations", operations_table())
