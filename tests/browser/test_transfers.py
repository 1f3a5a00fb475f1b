"""Large uploads by dropping, resuming them, and a node that dies while somebody looks."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import go
from tests.support.cluster import Cluster

MIB = 1024 * 1024
LARGE = 200 * MIB
SEEN_WITHIN_S = 3.0


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bytes of which no two chunks are equal."""
    path = tmp_path_factory.mktemp("large") / "film.mkv"
    with path.open("wb") as file:
        for number in range(LARGE // MIB):
            file.write(hashlib.sha256(str(number).encode()).digest() * (MIB // 32))
    return path


def drop(page: Any, path: Path) -> None:
    """Drop a file of this machine on the page: the browser reads it through a file input, as Playwright can do it."""
    page.evaluate("""() => { const input = document.createElement('input'); input.type = 'file'; input.id = 'dropped';
                     document.body.append(input); }""")
    page.locator("#dropped").set_input_files(path)
    page.evaluate("""() => { const input = document.getElementById('dropped'); const data = new DataTransfer();
        for (const file of input.files) data.items.add(file);
        for (const type of ['dragenter', 'dragover', 'drop'])
            window.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
        input.remove(); }""")


def shown_percent(page: Any) -> int:
    return int(page.get_by_role("progressbar", name=re.compile("upload of film")).last.get_attribute("aria-valuenow"))


def stored_hash(cluster: Cluster, node: str, path: str) -> str:
    return hashlib.sha256(cluster.request(node, "GET", path, timeout_s=60)[2]).hexdigest()


def test_200_mb_by_drag_and_drop_with_progress(page: Any, cluster: Cluster, large: Path) -> None:
    go(page, "files/admin")
    page.get_by_role("listbox").or_(page.get_by_text("This folder is empty")).first.wait_for()
    began = time.monotonic()
    drop(page, large)
    seen: set[int] = set()
    line = page.locator(".transfer").first
    line.wait_for()
    while line.get_attribute("data-state") != "done":
        assert line.get_attribute("data-state") in ("waiting", "running"), line.text_content()
        seen.add(shown_percent(page))
        assert time.monotonic() - began < 180
        page.wait_for_timeout(100)
    took_s = time.monotonic() - began
    print(f"200 MiB in {took_s:.1f} s, {len(seen)} different percents were shown")
    assert len(seen) >= 5, seen
    assert stored_hash(cluster, "three", "/v1/files/admin/film.mkv") == hashlib.sha256(large.read_bytes()).hexdigest()


def test_an_upload_goes_on_after_the_page_was_closed(page: Any, cluster: Cluster, large: Path) -> None:
    cluster.request("one", "PUT", "/v1/dirs/admin/again")
    go(page, "files/admin/again")
    page.get_by_text("This folder is empty").wait_for()
    page.locator("input[type=file]").set_input_files(large)
    page.wait_for_function("""() => document.querySelector('.transfer .bar')?.getAttribute('aria-valuenow') > 30""",
                           timeout=120_000)
    page.get_by_role("button", name="Pause film.mkv").click()
    expect(page.locator(".transfer").first).to_contain_text("paused at")
    page.reload()
    page.get_by_text("This folder is empty").wait_for()
    page.locator("input[type=file]").set_input_files(large)
    expect(page.locator(".transfer").first).to_contain_text("went on at", timeout=20_000)
    expect(page.locator(".transfer").first).to_have_attribute("data-state", "done", timeout=120_000)
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    assert stored_hash(cluster, "two", "/v1/files/admin/again/film.mkv") == digest


def test_a_killed_node_is_seen_within_three_seconds_and_repair_live(page: Any, cluster: Cluster) -> None:
    go(page, "nodes")
    card = page.get_by_role("article", name="Node three")
    expect(card.locator(".pills")).to_contain_text("up", timeout=20_000)
    page.wait_for_timeout(1500)
    cluster.kill("three")
    began = time.monotonic()
    expect(card.locator(".pills")).to_contain_text(re.compile("does not answer|suspect|down"), timeout=10_000)
    seen_s = time.monotonic() - began
    print(f"the kill was seen after {seen_s:.2f} s")
    assert seen_s < SEEN_WITHIN_S
    go(page, "overview")
    expect(page.get_by_role("region", name="Health")).to_contain_text("three does not answer", timeout=10_000)
    expect(page.locator(".finding").first).to_be_visible(timeout=15_000)
    go(page, "topology")
    expect(page.locator(".node-box.is-bad")).to_have_count(1, timeout=15_000)
    cluster.start_ready("three")
    go(page, "overview")
    expect(page.get_by_role("region", name="Health")).to_contain_text("Everything is in order", timeout=60_000)


def test_when_the_own_node_dies_the_page_says_so_and_leads_on(page: Any, cluster: Cluster) -> None:
    cluster.kill("one")
    expect(page.get_by_role("alert").filter(has_text="Node one does not answer")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("link", name="Go on at two")).to_have_attribute("href", f"{cluster.url('two')}/")
    cluster.start_ready("one")
    expect(page.get_by_role("alert").filter(has_text="Node one does not answer")).to_be_hidden(timeout=30_000)
