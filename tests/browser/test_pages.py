"""Every page and button of the dashboard, as a user sees and presses them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import go
from tests.browser.doing import answer, press, put, row_of, toast
from tests.support.cluster import Cluster

EVIL = "<img src=x onerror=alert(1)>.txt"
PAGES = {"overview": "Overview", "files": "Files", "files/admin": "Files", "files/!trash": "Trash", "nodes": "Nodes",
         "jobs": "Jobs", "topology": "Topology", "federation": "Federation", "people": "People", "audit": "Audit"}


@pytest.mark.parametrize("where", PAGES)
def test_every_page_opens(page: Any, where: str) -> None:
    go(page, where)
    expect(page.get_by_role("heading", level=1, name=PAGES[where])).to_be_visible()
    page.wait_for_timeout(800)


def test_the_overview_says_how_the_cluster_is(page: Any) -> None:
    expect(page.get_by_role("region", name="Health")).to_contain_text("Everything is in order", timeout=20_000)
    expect(page.locator(".chip")).to_have_count(3)
    press(page, "Checkpoint")
    expect(page.get_by_role("dialog")).to_contain_text("The doctor", timeout=15_000)
    answer(page, "Make a checkpoint")
    toast(page, r"Checkpoint at position \d+")
    press(page, "Scrub")
    answer(page, "Begin the scrub")
    toast(page, "The scrub of 3 nodes begins")


def test_nodes_are_emptied_filled_and_recovered(page: Any) -> None:
    go(page, "nodes")
    card = page.get_by_role("article", name="Node two")
    expect(card).to_contain_text("free of", timeout=10_000)
    press(page, "Empty", inside=card)
    expect(page.get_by_role("dialog")).to_contain_text("2 of 3 voting nodes would be left", timeout=15_000)
    answer(page, "Cancel")
    expect(card).to_contain_text("up")
    press(page, "Empty", inside=card)
    answer(page, "Empty two")
    expect(card).to_contain_text("being emptied", timeout=15_000)
    press(page, "Stop emptying", inside=card)
    answer(page, "Stop emptying")
    expect(card.locator(".pills")).to_contain_text("up", timeout=15_000)
    press(page, "Recover", inside=card)
    answer(page, "Recover two")
    toast(page, "two compares its disk")
    press(page, "Scrub", inside=card)
    answer(page, "Begin the scrub")
    toast(page, "The scrub of 1 node begins")


def test_names_and_contents_of_users_do_nothing(page: Any, cluster: Cluster) -> None:
    put(cluster, f"admin/evil/{EVIL}", b"<script>alert(2)</script>")
    put(cluster, "admin/evil/page.html", b"<script>alert(3); document.title = 'taken'</script>", "text/html")
    put(cluster, "admin/evil/run.js", b"alert(4)", "text/javascript")
    go(page, "files/admin/evil")
    expect(row_of(page, EVIL)).to_be_visible()
    row_of(page, EVIL).locator(".list-name").click()
    expect(page.get_by_role("dialog").get_by_label("Preview")).to_have_text("<script>alert(2)</script>")
    expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_have_text(EVIL)
    page.keyboard.press("Escape")
    assert page.locator("img").count() == 0
    loads = page.evaluate("""url => new Promise(done => { const script = document.createElement('script');
        try { script.src = url; script.onload = () => done('ran'); script.onerror = () => done('refused');
        document.head.append(script); } catch (error) { done('refused'); } })""", "/v1/files/admin/evil/run.js")
    assert loads == "refused"
    other = page.context.new_page()
    other.goto(f"{cluster.url('one')}/v1/files/admin/evil/page.html")
    assert other.title() != "taken"
    for where in ("files/!trash", "audit", "jobs"):
        go(page, where)
    other.close()


def test_pictures_are_shown_and_svg_runs_nothing(page: Any, cluster: Cluster) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(5)</script></svg>'
    cluster.request("one", "PUT", "/v1/files/admin/pictures/a.svg", svg, headers={"Content-Type": "image/svg+xml"})
    cluster.request("one", "PUT", "/v1/files/admin/pictures/b.pdf", b"%PDF-1.4\n%%EOF", headers={
        "Content-Type": "application/pdf"})
    go(page, "files/admin/pictures")
    row_of(page, "a.svg").locator(".list-name").click()
    picture = page.get_by_role("img", name="Preview of a.svg")
    expect(picture).to_be_visible()
    assert picture.evaluate("one => one.complete && one.naturalWidth") == 9
    page.keyboard.press("Escape")
    row_of(page, "b.pdf").locator(".list-name").click()
    expect(page.get_by_title("Preview of the PDF")).to_be_visible()


def test_repair_modes_and_a_session_that_ends(page: Any, cluster: Cluster) -> None:
    go(page, "jobs")
    page.get_by_label("How much repair may take").select_option("quiet")
    toast(page, "Repair is quiet on all nodes now")
    page.get_by_label("How much repair may take").select_option("")
    toast(page, "as each configuration says")
    press(page, "Light or dark")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    press(page, "Light or dark")
    press(page, "Log out")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    press(page, "Log in")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")


def test_a_hundred_thousand_files_by_keyboard(page: Any) -> None:
    """Pages of the folder come from here: the list itself is what is tried."""
    total = 100_000

    def entries(route: Any) -> None:
        after = re.search(r"after=f(\d+)", route.request.url)
        first = int(after[1]) + 1 if after else 0
        limit = int(re.search(r"limit=(\d+)", route.request.url)[1])  # type: ignore[index]
        last = min(total, first + limit)
        route.fulfill(json={"path": "/admin/many", "version": "1", "entries": [
            {"name": f"f{no:06}", "path": f"/admin/many/f{no:06}", "kind": "file", "size": no, "owner": "admin",
             "modified": "2026-07-01T00:00:00Z", "content_type": "text/plain"} for no in range(first, last)],
            "after": f"f{last - 1:06}" if last < total else None})

    page.route(re.compile(r"/v1/dirs/admin/many\?"), entries)
    page.route(re.compile(r"/v1/info/admin/many$"), lambda route: route.fulfill(json={"entries": total}))
    go(page, "files/admin/many")
    page.get_by_text("200 of 100,000 loaded").wait_for()
    view = page.get_by_role("listbox")
    view.focus()
    began = time.monotonic()
    page.get_by_role("button", name=re.compile("Sort by Size")).click()
    page.get_by_text("100,000 entries").wait_for(timeout=60_000)
    loaded_s = time.monotonic() - began
    view.focus()
    began = time.monotonic()
    page.keyboard.press("End")
    expect(row_of(page, "f099999")).to_be_visible()
    page.keyboard.press("Home")
    expect(row_of(page, "f000000")).to_be_visible()
    assert time.monotonic() - began < 3, "moving is quick however long the list is"
    assert page.get_by_role("option").count() < 100, "only what is seen is drawn"
    page.keyboard.press(" ")
    page.get_by_text("1 chosen").wait_for()
    print(f"100,000 entries loaded and sorted in {loaded_s:.1f} s")


def test_hits_elsewhere_in_the_bucket_hide_none_in_the_folder(page: Any, cluster: Cluster) -> None:
    """The search knows buckets only, so the page passes over what lies elsewhere, here a whole page of hits."""
    put(cluster, "admin/here/needle.txt", b"n")
    hit = {"kind": "file", "size": 1, "owner": "admin", "modified": "2026-07-01T00:00:00Z", "content_type": "a/b"}
    there = [{**hit, "path": f"/admin/there/needle-{no}"} for no in range(500)]

    def hits(route: Any) -> None:
        if "after=" in route.request.url:
            route.fulfill(json={"hits": [{**hit, "path": "/admin/here/needle.txt"}], "after": None})
        else:
            route.fulfill(json={"hits": there, "after": "x"})

    page.route(re.compile(r"/v1/search\?"), hits)
    go(page, "files/admin/here")
    row_of(page, "needle.txt").wait_for()
    page.get_by_role("searchbox").fill("needle")
    expect(page.get_by_text("1 hit", exact=True)).to_be_visible(timeout=10_000)
    expect(row_of(page, "needle.txt")).to_be_visible()
