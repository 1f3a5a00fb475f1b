"""A real browser before a real cluster: `make browser`. Without FLUFFY_BROWSER=1 nothing here runs.

The browser is the machine's Chromium (FLUFFY_CHROMIUM, else the first that is found); Playwright brings none along.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster

IS_WANTED = os.environ.get("FLUFFY_BROWSER") == "1"
if IS_WANTED:  # whoever runs the suite without it needs no Playwright
    from playwright.sync_api import sync_playwright
FOUND = os.environ.get("FLUFFY_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
collect_ignore_glob = [] if IS_WANTED else ["test_*.py"]
# Refused requests and dead nodes; what a test tries to run and the page's policy blocks.
EXPECTED = ("Failed to load resource", "net::ERR", "TrustedScriptURL", "sandboxed")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    repair = {"mode": "fast", "down_after": "3s", "grace": "4s"}
    with Cluster(tmp_path_factory.mktemp("browser"), cluster={"repair": repair}) as running:
        running.start_ready(*running.names)
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    assert FOUND, "no Chromium was found: apt-get install chromium, or name one in FLUFFY_CHROMIUM"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, cluster: Cluster, tmp_path: Path) -> Iterator[Any]:
    """Logged in as admin at node one. Any error on the console, or a page that runs something, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 820}, accept_downloads=True)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
    opened.on("dialog", lambda asked: (faults.append(f"a dialog of the browser: {asked.message}"), asked.dismiss()))
    opened.on("console", lambda said: faults.append(f"console: {said.text}") if said.type == "error"
              and not any(word in said.text for word in EXPECTED) else None)
    log_in(opened, cluster, "one")
    yield opened
    shots = os.environ.get("FLUFFY_SHOTS")
    if shots:
        opened.screenshot(path=f"{shots}/{tmp_path.name}.png")
    context.close()
    assert faults == []


def log_in(page: Any, cluster: Cluster, node: str) -> None:
    page.goto(cluster.url(node))
    page.get_by_role("button", name="Use a token").click()
    page.get_by_label("Token").fill(cluster.token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def go(page: Any, where: str) -> None:
    page.evaluate("where => { location.hash = where; }", f"#/{where}")
