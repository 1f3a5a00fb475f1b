"""The pages tell the truth where a program can check it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluffy.apps import settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def known_keys() -> set[str]:
    keys = {f"cluster.{key}" for key in settings.CLUSTER_KEYS if key not in ("repair", "checkpoint")}
    keys |= {f"cluster.repair.{key}" for key in settings.REPAIR_KEYS}
    keys |= {f"cluster.checkpoint.{key}" for key in settings.CHECKPOINT_KEYS}
    keys |= {f"nodes.NAME.{key}" for key in settings.NODE_KEYS}
    keys |= {f"supernode.{key}" for key in settings.SUPERNODE_KEYS if key != "clusters"}
    keys |= {f"supernode.clusters.NAME.{key}" for key in settings.SUPERNODE_CLUSTER_KEYS}
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
