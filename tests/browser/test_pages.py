"""Every page and button of the dashboard, as a user sees and presses them."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import go
from tests.support.cluster import Cluster

EVIL = "<img src=x onerror=alert(1)>.txt"
PAGES = {"overview": "Overview", "files": "Files", "files/admin": "Files", "files/!trash": "Trash", "nodes": "Nodes",
         "jobs": "Jobs", "topology": "Topology", "federation": "Federation", "people": "People", "audit": "Audit"}


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
    return page.get_by_role("option").filter(has_text=name)


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


def test_a_file_from_upload_to_trash(page: Any, cluster: Cluster) -> None:
    go(page, "files/admin")
    choose = page.locator("input[type=file]")
    choose.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"first words"})
    row_of(page, "notes.txt").wait_for(timeout=15_000)
    choose.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"second words"})
    page.get_by_text("done · 12 B").wait_for(timeout=15_000)
    row_of(page, "notes.txt").locator(".list-name").click()
    panel = page.get_by_role("dialog")
    expect(panel.get_by_label("Preview")).to_have_text("second words")
    press(page, "Add a tag", inside=panel)
    page.get_by_label("Name", exact=True).fill("colour")
    page.get_by_label("Value").fill("blue")
    answer(page, "Add it")
    expect(panel).to_contain_text("colour = blue")
    panel.get_by_title("Restore generation 1").click()
    answer(page, "Bring it back")
    expect(panel.get_by_label("Preview")).to_have_text("first words")
    press(page, "Share", inside=panel)
    answer(page, "Make the link")
    link = page.get_by_label("Link", exact=True).last.input_value()
    assert page.request.get(link, headers={"Cookie": ""}).text() == "first words"
    answer(page, "Done")
    with page.expect_download() as download:
        panel.get_by_role("link", name="Download", exact=True).click()
    assert download.value.path().read_bytes() == b"first words"
    press(page, "Delete", inside=panel)
    answer(page, "Delete")
    expect(row_of(page, "notes.txt")).to_have_count(0, timeout=10_000)
    go(page, "files/!trash")
    page.get_by_title("Bring back /admin/notes.txt", exact=True).click()
    toast(page, "/admin/notes.txt is back")
    press(page, "Empty the trash")
    answer(page, "Empty it")
    toast(page, "purged")
    assert cluster.request("two", "GET", "/v1/files/admin/notes.txt")[2] == b"first words"


def test_folders_moves_and_search(page: Any, cluster: Cluster) -> None:
    put(cluster, "admin/work/deep/report-7.txt", b"r")
    go(page, "files/admin")
    press(page, "New folder")
    page.get_by_label("Name", exact=True).fill("new place")
    answer(page, "Make it")
    row_of(page, "new place").wait_for()
    row_of(page, "work").locator(".check").click()
    press(page, "Rename or move")
    page.get_by_label("New path").fill("/admin/new place/work")
    answer(page, "Move it")
    toast(page, "It is at /admin/new place/work now")
    page.get_by_role("searchbox").fill("report-*")
    expect(row_of(page, "new place/work/deep/report-7.txt")).to_be_visible(timeout=15_000)
    page.get_by_role("searchbox").fill("")
    expect(row_of(page, "new place/work")).to_have_count(0)
    row_of(page, "new place").locator(".check").click()
    press(page, "Delete")
    answer(page, "Delete")
    expect(row_of(page, "new place")).to_have_count(0, timeout=10_000)


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


def test_users_rights_tokens_and_keys(page: Any, cluster: Cluster) -> None:
    go(page, "people")
    press(page, "Add a user")
    page.get_by_label("Name", exact=True).fill("dora")
    page.get_by_label("Password").fill("a fine password")
    answer(page, "Add")
    toast(page, "dora is a user now")
    page.get_by_title("Role of dora").click()
    page.get_by_role("dialog").get_by_label("Role").select_option("readonly")
    answer(page, "Save")
    toast(page, "dora is readonly now")
    page.get_by_title("Limit of dora").click()
    page.get_by_label("GiB").fill("1.5")
    answer(page, "Save")
    expect(page.get_by_role("row", name=re.compile("dora.*1.5 GiB"))).to_be_visible(timeout=10_000)
    page.get_by_title("Give a right in admin").click()
    page.get_by_label("User", exact=True).fill("dora")
    answer(page, "Give it")
    expect(page.get_by_text("dora: read")).to_be_visible(timeout=10_000)
    press(page, "Make a token")
    page.get_by_label("What it is for").fill("a program")
    answer(page, "Make it")
    assert len(page.get_by_label("Token", exact=True).last.input_value()) > 20
    answer(page, "Done")
    press(page, "Make a key")
    page.get_by_label("What it is for").fill("backups")
    answer(page, "Make it")
    assert page.get_by_label("Secret key", exact=True).last.input_value()
    answer(page, "Done")
    page.get_by_title("Disable dora").click()
    toast(page, "dora is locked out")
    page.get_by_title("Remove dora").click()
    answer(page, "Remove")
    toast(page, "dora is not a user any more")
    go(page, "audit")
    page.get_by_label("About", exact=True).fill("dora")
    expect(page.get_by_role("row", name=re.compile("remove-user"))).to_be_visible(timeout=10_000)


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
