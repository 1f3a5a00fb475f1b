"""What operators press: a new machine is emptied and removed, jobs explained and retried; the audit log; all ways."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import ask_json, go
from tests.browser.doing import answer, killed, press, put, toast
from tests.support.cluster import Cluster

MIB = 1024 * 1024


def test_a_machine_joins_takes_over_and_is_removed(page: Any, cluster: Cluster) -> None:
    """While it is there another one dies: its copies are made anew, job by job, before one's eyes."""
    for number in range(6):
        put(cluster, f"admin/heavy/{number}.bin", os.urandom(8 * MIB), "application/octet-stream")
    cluster.add("four", through="one")
    cluster.start_ready("four")
    go(page, "nodes")
    card = page.get_by_role("article", name="Node four")
    expect(card.locator(".pills")).to_contain_text("up", timeout=30_000)
    expect(card.get_by_role("button", name="Remove")).to_be_hidden()
    go(page, "jobs")
    page.get_by_label("How much repair may take").select_option("quiet")
    with killed(cluster, "three"):
        job = page.locator(".job").first
        job.wait_for(timeout=40_000)
        job.click()
        expect(page.get_by_role("dialog")).to_contain_text(re.compile("Attempt|It is done"), timeout=10_000)
        press(page, "Close", inside=page.get_by_role("dialog"))
        page.get_by_label("How much repair may take").select_option("")
    go(page, "nodes")
    press(page, "Empty", inside=card)
    answer(page, "Empty four")
    expect(card).to_contain_text("being emptied", timeout=15_000)
    cluster.wait_until(lambda: cluster.json("one", "/v1/admin/nodes/four/drain")["safe"], 60, "four is empty")
    press(page, "Remove", inside=card)
    page.get_by_label("Type four to be sure").fill("for")
    answer(page, "Remove it")
    toast(page, "nothing was done")
    press(page, "Remove", inside=card)
    expect(page.get_by_role("dialog")).to_contain_text("safe to stop", timeout=10_000)
    answer(page, "Cancel")
    page.route("**/v1/admin/nodes/four/drain", as_if_dead)
    press(page, "Remove", inside=card)
    expect(page.get_by_role("dialog")).to_contain_text("3 pieces of files had no other copy", timeout=10_000)
    page.get_by_label("give it up").check()
    page.get_by_label("Type four to be sure").fill("four")
    with page.expect_request("**/v1/admin/nodes/four?force=1"):
        answer(page, "Remove it")
    toast(page, "four is not a member any more")
    expect(card).to_have_count(0, timeout=15_000)
    cluster.exit_code("four")
    cluster.names = cluster.names[:3]


def as_if_dead(route: Any) -> None:
    """What the cluster says of a node that died with copies of its own; this one is alive and empty."""
    told = route.fetch().json()
    route.fulfill(json={**told, "state": "down", "safe": False, "only_here": 3, "verdict": "not safe yet"})


def tell_live(page: Any, **lines: Any) -> None:
    """What the node tells the page is this."""
    events = [f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in lines.items()]
    stream = "".join(["retry: 300\n\n", *events])
    page.route("**/v1/live", lambda route: route.fulfill(content_type="text/event-stream", body=stream))


def test_full_disks_are_no_good_order(page: Any, cluster: Cluster) -> None:
    """Really full ones: tests/faults/disk_full.py."""
    nodes = cluster.json("one", "/v1/nodes?ask=1")
    for node in nodes["nodes"][:2]:
        node["told"] |= {"free_bytes": 4 * MIB, "total_bytes": 260 * MIB}
    tell_live(page, status=cluster.json("one", "/v1/status"), nodes=nodes)
    page.reload()
    health = page.get_by_role("region", name="Health")
    expect(health).to_contain_text("The disks of one and two are nearly full", timeout=10_000)
    expect(health).to_contain_text("New files go to the other nodes")


def test_stuck_jobs_begin_afresh(page: Any, cluster: Cluster) -> None:
    """That two are stuck comes from here: it takes a broken disk and half a minute. What the button does is real."""
    jobs = cluster.json("one", "/v1/jobs")
    jobs["repair"]["stuck"] = 2
    tell_live(page, status=cluster.json("one", "/v1/status"), jobs=jobs)
    go(page, "jobs")
    page.reload()
    expect(page.get_by_text("2 jobs stuck.")).to_be_visible(timeout=10_000)
    press(page, "Try stuck jobs again")
    answer(page, "Try again")
    toast(page, "0 jobs begin afresh")
    press(page, "Scrub")
    answer(page, "Cancel")


def test_the_audit_log_is_looked_through(page: Any, cluster: Cluster) -> None:
    ask_json(cluster, "POST", "/v1/admin/users", {"name": "hal"})
    for number in range(110):
        right = {"bucket": "admin", "user": "hal", "right": ("read", "write")[number % 2]}
        ask_json(cluster, "POST", "/v1/admin/grants", right)
    ask_json(cluster, "DELETE", "/v1/admin/users/hal")
    cluster.request("one", "GET", "/v1/status", token="nonsense")
    go(page, "audit")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(101, timeout=10_000)
    press(page, "Older ones")
    page.wait_for_function("() => document.querySelectorAll('tbody tr').length > 100")
    page.get_by_label("Who", exact=True).fill("nobody at all")
    expect(page.get_by_text("Nothing fits")).to_be_visible(timeout=10_000)
    page.get_by_label("Who", exact=True).fill("admin")
    page.get_by_label("About", exact=True).fill("hal")
    expect(page.get_by_role("row", name=re.compile("remove-user"))).to_be_visible(timeout=10_000)
    page.get_by_label("Who", exact=True).fill("")
    page.get_by_label("About", exact=True).fill("")
    cluster.wait_until(lambda: bool(ask_json(cluster, "GET", "/v1/admin/audit?refused=1")["audit"]), 20, "a refusal")
    page.get_by_label("only refusals").check()
    press(page, "Look again")
    expect(page.get_by_role("row").nth(1)).to_contain_text("refused", timeout=10_000)


def test_every_way_from_page_to_page(page: Any, cluster: Cluster) -> None:
    for link, heading in (("All about the nodes", "Nodes"), ("Jobs and queues", "Jobs")):
        go(page, "overview")
        page.get_by_role("link", name=link).click()
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    menu = page.get_by_role("navigation", name="Pages")
    for link in ("Overview", "Files", "Nodes", "Jobs", "Topology", "Federation", "People", "Audit"):
        menu.get_by_role("link", name=link).click()
        expect(page.get_by_role("heading", level=1, name=link)).to_be_visible()
    for link in (page.locator(".brand"), page.locator(".health-chip")):
        go(page, "jobs")
        link.click()
        expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    page.locator(".chip").first.click()
    expect(page.get_by_role("heading", level=1, name="Nodes")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 780})
    press(page, "Menu")
    menu.get_by_role("link", name="Topology").click()
    expect(page.get_by_role("heading", level=1, name="Topology")).to_be_visible()
    expect(menu).to_be_hidden()
    go(page, "nodes")
    page.get_by_role("article", name="Node two").get_by_role("link", name="Its dashboard").click()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 820})
    expect(page.get_by_text("admin on two")).to_be_visible(timeout=10_000)
