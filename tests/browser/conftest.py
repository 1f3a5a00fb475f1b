"""A real browser before a real cluster: `make browser`. Without FLUFFY_BROWSER=1 nothing here runs.

The browser is the machine's Chromium (FLUFFY_CHROMIUM, else the first that is found); Playwright brings none along.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.controls import Pressed
from tests.support.cluster import Cluster, Surroundings, free_address
from tests.support.supernodes import PORT, Supernode

IS_WANTED = os.environ.get("FLUFFY_BROWSER") == "1"
if IS_WANTED:  # whoever runs the suite without it needs no Playwright
    from playwright.sync_api import sync_playwright
FOUND = os.environ.get("FLUFFY_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
collect_ignore_glob = [] if IS_WANTED else ["test_*.py"]
LAST = "test_every_control_was_pressed"
# Refused requests and dead nodes; what a test tries to run and the page's policy blocks.
EXPECTED = ("Failed to load resource", "net::ERR", "TrustedScriptURL", "sandboxed")
WIDE = {"width": 1280, "height": 820}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name == LAST)


class AtOneAddress(Surroundings):
    """All nodes at an address that is known before there is a cluster."""

    def __init__(self, address: str) -> None:
        self.address = address

    def host(self, name: str) -> str:
        return self.address


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes. Where its supernode will be, it knows already: at the same address."""
    at = AtOneAddress(free_address())
    settings = {"repair": {"mode": "fast", "down_after": "3s", "grace": "4s"}, "supernodes": [f"http://{at.address}:{PORT}"]}
    with Cluster(tmp_path_factory.mktemp("browser"), cluster=settings, around=at) as running:
        running.host = at.address  # also of machines that join
        running.start_ready(*running.names)
        yield running


@pytest.fixture(scope="session")
def supernode(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supernode]:
    """Over the one cluster, at its address."""
    ask_json(cluster, "POST", "/v1/admin/users", {"name": "supernode", "role": "supernode"})
    token = ask_json(cluster, "POST", "/v1/tokens", {"label": "drill", "user": "supernode"})["token"]
    running = Supernode(tmp_path_factory.mktemp("supernode"), {"drill": cluster}, {"drill": token},
                        cluster.host_of("one"))
    running.start_ready()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    assert FOUND, "no Chromium was found: apt-get install chromium, or name one in FLUFFY_CHROMIUM"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def pressed() -> Pressed:
    return Pressed()


@pytest.fixture
def page(browser: Any, cluster: Cluster, pressed: Pressed, tmp_path: Path) -> Iterator[Any]:
    """Logged in as admin at node one. Any error on the console, or a page that runs something, fails the test."""
    with careful_page(browser, pressed) as opened:
        log_in(opened, cluster, "one")
        yield opened
        shots = os.environ.get("FLUFFY_SHOTS")
        if shots:
            opened.screenshot(path=f"{shots}/{tmp_path.name}.png")


@contextmanager
def careful_page(browser: Any, pressed: Pressed) -> Iterator[Any]:
    """A page in a browser of its own, in which nothing may go wrong unseen."""
    context = browser.new_context(viewport=WIDE, accept_downloads=True)
    pressed.watch(context)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
    opened.on("dialog", lambda asked: _answer_browser(asked, faults))
    opened.on("console", lambda said: faults.append(f"console: {said.text}") if said.type == "error"
              and not any(word in said.text for word in EXPECTED) else None)
    yield opened
    context.close()
    assert faults == []


def _answer_browser(asked: Any, faults: list[str]) -> None:
    """Whether to leave while something is sent is the only thing that the browser itself may ask."""
    if asked.type == "beforeunload":
        asked.accept()
        return
    faults.append(f"a dialog of the browser: {asked.message}")
    asked.dismiss()


def log_in(page: Any, cluster: Cluster, node: str) -> None:
    page.goto(cluster.url(node))
    page.get_by_role("button", name="Use a token").click()
    page.get_by_label("Token").fill(cluster.token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def go(page: Any, where: str) -> None:
    page.evaluate("where => { location.hash = where; }", f"#/{where}")


def ask_json(cluster: Cluster, method: str, target: str, document: Any = None) -> Any:
    """The answer to what a program asks as admin."""
    body = None if document is None else json.dumps(document).encode()
    status, _, answer = cluster.request("one", method, target, body)
    assert status < 300, (method, target, status, answer)
    return json.loads(answer) if answer else None
