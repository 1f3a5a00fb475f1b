"""What users do: press, answer, choose, drop, look."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.browser.conftest import IS_WANTED
from tests.support.cluster import Cluster

if IS_WANTED:
    from playwright.sync_api import expect


def toast(page: Any, text: str) -> None:
    expect(page.locator("#toasts")).to_contain_text(re.compile(text), timeout=15_000)


def press(page: Any, name: str, *, inside: Any = None) -> None:
    (inside or page).get_by_role("button", name=name, exact=True).click()


def answer(page: Any, verb: str) -> None:
    """Press the button of the dialog that is open, once it may be pressed."""
    button = page.get_by_role("dialog").last.get_by_role("button", name=verb, exact=True)
    expect(button).to_be_enabled(timeout=15_000)
    button.click()


def put(cluster: Cluster, path: str, body: bytes, content_type: str = "text/plain") -> None:
    cluster.request("one", "PUT", f"/v1/files/{quote(path)}", body, headers={"Content-Type": content_type})


def row_of(page: Any, name: str) -> Any:
    """The line of a file or folder; other columns have words, too."""
    return page.get_by_role("option").filter(has=page.locator(".list-name", has_text=name))


def choose(page: Any, what: Any) -> None:
    """Choose files of this machine to be uploaded."""
    page.locator("input[type=file][multiple]").set_input_files(what)


def choose_by(page: Any, act: Callable[[], None], what: Any) -> None:
    """Choose files in the dialog of the browser that `act` opens."""
    opened: list[Any] = []
    page.on("filechooser", lambda one: opened.append(one))
    page.wait_for_timeout(200)  # the browser must know that it is asked for before it is
    act()
    for _ in range(100):
        if opened:
            break
        page.wait_for_timeout(100)
    assert opened, "no dialog of the browser was opened"
    opened[0].set_files(what)


def stored_hash(cluster: Cluster, node: str, path: str) -> str:
    return hashlib.sha256(cluster.request(node, "GET", path, timeout_s=60)[2]).hexdigest()


@contextmanager
def killed(cluster: Cluster, node: str) -> Iterator[None]:
    """A node that dies, and runs again whatever happens meanwhile."""
    cluster.kill(node)
    try:
        yield
    finally:
        cluster.start_ready(node)


def slow_line(page: Any, bytes_per_s: int) -> None:
    """The browser sends no more than that."""
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s})


def drop_for_real(page: Any, *paths: Path) -> None:
    """Drop files and folders of this machine in the middle of the page, as the browser itself does it."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    where = {"x": 640, "y": 420}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})
    session.detach()
