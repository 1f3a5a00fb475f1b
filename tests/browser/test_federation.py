"""The supernode's dashboard, what a node's says of other clusters, and sessions of both at one address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import careful_page, go, log_in
from tests.browser.controls import Pressed
from tests.browser.doing import press, put
from tests.support.cluster import Cluster
from tests.support.supernodes import Supernode


@pytest.fixture
def above(browser: Any, cluster: Cluster, supernode: Supernode, pressed: Pressed) -> Iterator[Any]:
    """A page of the supernode, logged in with a token of its cluster, which it knows already."""
    put(cluster, "admin/tale.txt", b"once upon a time")
    with careful_page(browser, pressed) as page:
        page.goto(supernode.url)
        page.get_by_label("Token").fill("not a token of anybody")
        press(page, "Log in")
        expect(page.get_by_role("alert")).to_have_text("No user has this token.")
        page.get_by_label("Token").fill(cluster.token)
        press(page, "Log in")
        expect(page.get_by_role("article", name="Cluster drill")).to_contain_text("you are admin", timeout=15_000)
        expect(page.get_by_role("article", name="Cluster drill")).to_contain_text("3 of 3", timeout=30_000)
        yield page


def test_all_clusters_are_searched_and_browsed(above: Any) -> None:
    above.get_by_role("searchbox").fill("tale*")
    hit = above.get_by_role("region", name="Hits").get_by_role("link", name="/admin/tale.txt")
    for _ in range(30):  # until the catalog has heard of it
        press(above, "Search")
        above.wait_for_timeout(500)
        if hit.count():
            break
    with above.expect_download() as download:
        hit.click()
    assert download.value.path().read_bytes() == b"once upon a time"
    for name in ("drill", "admin"):
        above.get_by_role("region", name="Catalog").get_by_role("button", name=name).click()
    with above.expect_download() as download:
        above.get_by_role("region", name="Catalog").get_by_role("link", name="tale.txt").click()
    assert download.value.path().read_bytes() == b"once upon a time"
    press(above, "All clusters")
    expect(above.get_by_role("region", name="Catalog").get_by_role("button", name="drill")).to_be_visible()


def test_mirrors_are_told_where_there_are_any(above: Any) -> None:
    expect(above.get_by_role("heading", name="Mirrors")).to_have_count(0)
    mirror = {"name": "safe", "from": "drill:/admin", "to": "other:/admin", "state": "behind", "error": None,
              "fresh_as_of": "2026-07-01T00:00:00Z", "lag": {"seconds": 61.0, "changes": 2, "pending": 1},
              "failing": [{"path": "/admin/x", "attempts": 3, "error": "no room"}], "kept_count": 1, "kept": []}
    above.route("**/v1/mirrors", lambda route: route.fulfill(json={"mirrors": [mirror]}))
    expect(above.get_by_role("row", name=re.compile("safe.*behind.*3 changes, 61 s.*1 path fails: .admin.x"))
           ).to_be_visible(timeout=10_000)


def test_both_dashboards_at_one_host_keep_their_sessions(above: Any, cluster: Cluster, supernode: Supernode) -> None:
    other = above.context.new_page()
    log_in(other, cluster, "one")
    above.reload()
    expect(above.get_by_role("heading", name="Clusters", exact=True)).to_be_visible(timeout=10_000)
    press(above, "Light or dark")
    assert above.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    press(above, "Log out")
    expect(above.get_by_role("button", name="Log in")).to_be_visible()
    other.reload()
    expect(other.get_by_text("admin on one")).to_be_visible(timeout=10_000)
    press(other, "Log out")
    above.get_by_label("Token").fill(cluster.token)
    press(above, "Log in")
    card = above.get_by_role("article", name="Cluster drill")
    card.get_by_role("link").first.click()
    expect(above.get_by_role("button", name="Log in")).to_be_visible()
    assert above.url.rstrip("/") == cluster.url("one")


def test_a_node_tells_of_other_clusters(page: Any, cluster: Cluster, supernode: Supernode) -> None:
    put(cluster, "admin/tale.txt", b"once upon a time")
    go(page, "federation")
    expect(page.get_by_role("region", name="Clusters")).to_contain_text("drill (this one)", timeout=15_000)
    page.get_by_role("searchbox").fill("tale*")
    hit = page.get_by_role("region", name="Hits").get_by_text("/admin/tale.txt")
    for _ in range(30):
        press(page, "Search")
        page.wait_for_timeout(500)
        if hit.count():
            break
    expect(page.get_by_role("row", name=re.compile("drill.*admin.tale.txt"))).to_be_visible()
    page.get_by_role("link", name=supernode.url).click()
    expect(page.get_by_role("heading", name="Fluffy")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_visible()
