"""Large uploads by dropping, resuming them, and a node that dies while somebody looks."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ask_json, go
from tests.browser.doing import answer, choose, drop_for_real, killed, press, slow_line, stored_hash
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


def shown_percent(page: Any) -> int:
    return int(page.get_by_role("progressbar", name=re.compile("upload of film")).last.get_attribute("aria-valuenow"))


def test_200_mb_by_drag_and_drop_with_progress(page: Any, cluster: Cluster, large: Path) -> None:
    go(page, "files/admin")
    page.get_by_role("listbox").or_(page.get_by_text("This folder is empty")).first.wait_for()
    slow_line(page, 50 * MIB)
    began = time.monotonic()
    drop_for_real(page, large)
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
    check_stored(page, cluster, large, "three", "film.mkv")


def check_stored(page: Any, cluster: Cluster, large: Path, node: str, path: str) -> None:
    """The upload comes to its end, and a node that was not sent to has just these bytes."""
    expect(page.locator(".transfer").first).to_have_attribute("data-state", "done", timeout=120_000)
    assert stored_hash(cluster, node, f"/v1/files/admin/{path}") == hashlib.sha256(large.read_bytes()).hexdigest()


def wait_sent(page: Any, percent: int) -> None:
    shown = "Number(document.querySelector('.transfer .bar')?.getAttribute('aria-valuenow'))"
    page.wait_for_function(f"percent => {shown} > percent", arg=percent, timeout=120_000)


def empty_folder(page: Any, cluster: Cluster, name: str) -> None:
    cluster.request("one", "PUT", f"/v1/dirs/admin/{name}")
    go(page, f"files/admin/{name}")
    page.get_by_text("This folder is empty").wait_for()


def test_an_upload_goes_on_by_itself_when_its_node_was_killed(page: Any, cluster: Cluster, large: Path) -> None:
    empty_folder(page, cluster, "killed")
    slow_line(page, 40 * MIB)
    choose(page, large)
    wait_sent(page, 20)
    began = time.monotonic()
    with killed(cluster, "one"):
        expect(page.locator(".transfer").first).to_contain_text("trying again", timeout=10_000)
    print(f"the node was away for {time.monotonic() - began:.1f} s")
    check_stored(page, cluster, large, "two", "killed/film.mkv")


def test_an_upload_goes_on_after_the_tab_was_reloaded(page: Any, cluster: Cluster, large: Path) -> None:
    """In the middle of it, and the node was killed meanwhile. Nothing of what had arrived is sent again."""
    empty_folder(page, cluster, "again")
    slow_line(page, 40 * MIB)
    choose(page, large)
    wait_sent(page, 30)
    with killed(cluster, "one"):
        page.wait_for_timeout(500)
    page.reload()
    left = page.get_by_role("region", name="Not finished")
    expect(left).to_contain_text("Choose or drop the same file here, and it goes on", timeout=20_000)
    expect(left).to_contain_text(re.compile(r"film\.mkv[\d.]+ MiB of 200 MiB are here"))
    choose(page, large)
    expect(page.locator(".transfer").first).to_contain_text("went on at", timeout=20_000)
    check_stored(page, cluster, large, "two", "again/film.mkv")
    expect(left).to_be_hidden(timeout=10_000)


def test_an_upload_is_paused_gone_on_with_and_ended(page: Any, cluster: Cluster, large: Path) -> None:
    empty_folder(page, cluster, "ended")
    slow_line(page, 20 * MIB)
    choose(page, large)
    wait_sent(page, 10)
    press(page, "Pause film.mkv")
    expect(page.locator(".transfer").first).to_contain_text("paused at")
    assert len(unfinished(cluster, "ended")) == 1
    press(page, "Go on with film.mkv")
    expect(page.locator(".transfer").first).to_have_attribute("data-state", "running")
    press(page, "Pause film.mkv")
    press(page, "End the upload of film.mkv")
    cluster.wait_until(lambda: not unfinished(cluster, "ended"), 10, "the upload is ended")
    begun = {"path": "/admin/ended/of-a-program.bin", "size": LARGE}
    ask_json(cluster, "POST", "/v1/uploads", begun)
    page.reload()
    left = page.get_by_role("region", name="Not finished")
    expect(left).to_contain_text("It goes on where it was begun", timeout=10_000)
    page.get_by_title("End the unfinished upload of of-a-program.bin").click()
    answer(page, "End it")
    expect(left).to_be_hidden(timeout=10_000)
    assert not unfinished(cluster, "ended")


def unfinished(cluster: Cluster, folder: str) -> list[Any]:
    found: list[Any] = ask_json(cluster, "GET", f"/v1/uploads?path=/admin/{folder}")["uploads"]
    return found


def test_a_killed_node_is_seen_within_three_seconds_and_repair_live(page: Any, cluster: Cluster) -> None:
    go(page, "nodes")
    card = page.get_by_role("article", name="Node three")
    expect(card.locator(".pills")).to_contain_text("up", timeout=20_000)
    page.wait_for_timeout(1500)
    with killed(cluster, "three"):
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
    go(page, "overview")
    expect(page.get_by_role("region", name="Health")).to_contain_text("Everything is in order", timeout=60_000)


def test_when_the_own_node_dies_the_page_says_so_and_leads_on(page: Any, cluster: Cluster) -> None:
    expect(page.locator(".chip")).to_have_count(3, timeout=20_000)  # it knows the others
    with killed(cluster, "one"):
        lost = page.get_by_role("alert").filter(has_text="Node one does not answer")
        expect(lost).to_be_visible(timeout=15_000)
        page.get_by_role("link", name="Go on at two").click()
        expect(page.get_by_text("admin on two")).to_be_visible(timeout=10_000)
