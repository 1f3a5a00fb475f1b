"""No serious fault of accessibility on any page, light and dark, wide and narrow; nothing runs off a phone's screen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import go
from tests.browser.doing import answer, choose_by, press, put, row_of
from tests.browser.test_pages import PAGES
from tests.support.cluster import Cluster

AXE = Path(os.environ.get("FLUFFY_AXE", "build/axe/package/axe.min.js"))
LOOKS = {"light": (1280, 820), "dark": (390, 780)}


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious_on_any_page(page: Any, cluster: Cluster, look: str) -> None:
    put(cluster, "admin/seen.txt", b"words")
    width, height = LOOKS[look]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=look, reduced_motion="reduce")
    for where in PAGES:
        go(page, where)
        expect(page.get_by_role("heading", level=1, name=PAGES[where])).to_be_visible()
        page.wait_for_timeout(1200)
        check(page, f"{where} {look}")
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{where} is {wider} px wider than the screen"
    go(page, "files/admin")
    row_of(page, "seen.txt").locator(".list-name").click()
    page.get_by_role("dialog").get_by_text("Versions").first.wait_for()
    check(page, f"a file's panel {look}")
    page.keyboard.press("Escape")
    go(page, "nodes")
    page.get_by_role("article", name="Node two").get_by_role("button", name="Empty").click()
    expect(page.get_by_role("dialog")).to_contain_text("voting nodes", timeout=15_000)
    check(page, f"a question {look}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    check(page, f"login {look}")


def check(page: Any, where: str) -> None:
    page.evaluate(f"() => {{ if (!window.axe) {{ {AXE.read_text()} }} }}")
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    serious = [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
               for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert serious == [], f"{where}: " + "\n".join(serious)


def tab_to(page: Any, role: str, name: str | None = None) -> None:
    """Press Tab until that is where the focus is."""
    wanted = page.get_by_role(role, name=name, exact=True) if name else page.get_by_role(role)
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.count() and wanted.last.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {role} {name}")


def test_the_menu_can_be_skipped(page: Any) -> None:
    go(page, "nodes")
    expect(page.get_by_role("heading", level=1, name="Nodes")).to_be_visible()
    tab_to(page, "link", "Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    expect(page.get_by_role("heading", level=1, name="Nodes")).to_be_visible()


def test_messages_are_seen_above_what_is_open(page: Any, cluster: Cluster) -> None:
    put(cluster, "admin/seen.txt", b"words")
    go(page, "files/admin")
    row_of(page, "seen.txt").locator(".list-name").click()
    press(page, "Add a tag")
    page.get_by_label("Name", exact=True).fill("a")
    answer(page, "Add it")
    said = page.get_by_text("Tagged.", exact=True)
    expect(said).to_be_visible()
    spot = said.bounding_box()
    seen = page.evaluate("at => document.elementFromPoint(at[0], at[1]).closest('.toast-line') !== null",
                         [spot["x"] + 5, spot["y"] + 5])
    assert seen, "the panel covers it"
    page.keyboard.press("Escape")
    expect(said).to_be_visible()


def test_upload_search_download_and_delete_by_keyboard(page: Any) -> None:
    """Nothing but keys, from the first page on."""
    tab_to(page, "link", "Files")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="Files").wait_for()
    row_of(page, "admin").wait_for()
    tab_to(page, "listbox")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Upload", exact=True).wait_for()
    tab_to(page, "button", "Upload")
    words = {"name": "by-keys.txt", "mimeType": "text/plain", "buffer": b"words"}
    choose_by(page, lambda: page.keyboard.press("Enter"), words)
    row_of(page, "by-keys.txt").wait_for(timeout=15_000)
    page.keyboard.press("/")
    page.keyboard.type("by-keys")
    expect(page.get_by_role("option")).to_have_count(1, timeout=15_000)
    tab_to(page, "listbox")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Preview")).to_have_text("words")
    tab_to(page, "link", "Download")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.path().read_bytes() == b"words"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.get_by_role("listbox").evaluate("node => node === document.activeElement"), "back where one was"
    page.keyboard.press("Delete")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row_of(page, "by-keys.txt")).to_be_visible()
    page.keyboard.press("Delete")
    tab_to(page, "button", "Delete")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text(re.compile("in the trash"), timeout=10_000)
