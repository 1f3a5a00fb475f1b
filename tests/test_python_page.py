"""docs/PYTHON.md runs as it stands, and names every verb."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import fsspec
import pytest

from fluffy import AsyncFluffy
from fluffy.apps.filesystem import FluffyFileSystem
from tests.client.shell_door import door_in_thread
from tests.support.local_log import ADMIN_TOKEN
from tests.test_docs import ROOT, check_part

PAGE = ROOT / "docs/PYTHON.md"
SUBJECTS = {"files": "files", "opening": "files", "folders": "folders, search, changes", "history": "the past",
            "locks": "locks", "people": "people", "cluster": "the cluster", "disaster": "the cluster",
            "api": "the client"}


def test_the_examples_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fsspec.register_implementation("fluffy", FluffyFileSystem, clobber=True)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) > 8
    with door_in_thread(tmp_path / "node") as door:
        names = {"token": ADMIN_TOKEN}
        for number, example in enumerate(examples):
            text = example.replace("127.0.0.1:7101", f"{door.host}:{door.port}")
            exec(compile(text, f"example {number} of {PAGE.name}", "exec"), names)


def test_the_page_names_every_verb_with_its_arguments() -> None:
    check_part(PAGE, "verbs", verb_table())


def verb_table() -> list[str]:
    """Every public name of AsyncFluffy, by the module it comes from."""
    lines = ["| verb | meaning |", "|---|---|"]
    for module, subject in SUBJECTS.items():
        found = [name for name, value in inspect.getmembers(AsyncFluffy) if not name.startswith("_")
                 and inspect.isfunction(value) and value.__module__.rpartition(".")[2] == module]
        if f"| *{subject}* | |" not in lines:
            lines.append(f"| *{subject}* | |")
        for name in found:
            verb = getattr(AsyncFluffy, name)
            lines.append(f"| `{name}({_arguments(verb)})` | {(inspect.getdoc(verb) or '').splitlines()[0]} |")
    return lines


def _arguments(verb: object) -> str:
    """Names, with `=` where there is a default."""
    told, only_by_name = [], False
    for parameter in list(inspect.signature(verb).parameters.values())[1:]:  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY and not only_by_name:
            only_by_name = True
            told.append("*")
        told.append(parameter.name + ("" if parameter.default is parameter.empty else "="))
    return ", ".join(told)
