"""People: users, their rights and limits, buckets' rules, one's own password, tokens and keys; and who is no admin."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import ask_json, careful_page, go
from tests.browser.controls import Pressed
from tests.browser.doing import answer, press, toast
from tests.support.cluster import Cluster


def may_log_in(cluster: Cluster, user: str, password: str) -> bool:
    body = json.dumps({"user": user, "password": password}).encode()
    return cluster.request("one", "POST", "/v1/login", body, token=None)[0] < 300


def test_a_user_from_the_first_password_to_the_last(page: Any, cluster: Cluster) -> None:
    go(page, "people")
    press(page, "Add a user")
    page.get_by_label("Name", exact=True).fill("dora")
    page.get_by_role("dialog").get_by_label("Role").select_option("user")
    page.get_by_label("Password").fill("a fine password")
    answer(page, "Add")
    toast(page, "dora is a user now")
    page.get_by_title("Role of dora").click()
    page.get_by_role("dialog").get_by_label("Role").select_option("readonly")
    answer(page, "Save")
    toast(page, "dora is readonly now")
    page.get_by_title("Password of dora").click()
    page.get_by_label("New password").fill("a better password")
    answer(page, "Save")
    toast(page, "Done")
    assert may_log_in(cluster, "dora", "a better password") and not may_log_in(cluster, "dora", "a fine password")
    page.get_by_title("Limit of dora").click()
    page.get_by_label("GiB").fill("1.5")
    answer(page, "Save")
    expect(page.get_by_role("row", name=re.compile("dora.*1.5 GiB"))).to_be_visible(timeout=10_000)
    page.get_by_title("Make a token for dora").click()
    page.get_by_label("What it is for").fill("her backups")
    page.get_by_label("Days that it lasts").fill("3")
    answer(page, "Make it")
    token = page.get_by_role("dialog").get_by_label("Token", exact=True)
    token.click()
    press(page, "Copy")
    assert cluster.request("two", "GET", "/v1/whoami", token=token.input_value())[0] == 200
    answer(page, "Done")
    page.get_by_title("Disable dora").click()
    toast(page, "dora is locked out")
    assert not may_log_in(cluster, "dora", "a better password")
    page.get_by_title("Enable dora").click()
    toast(page, "dora may come in again")
    page.get_by_title("Remove dora").click()
    page.get_by_label("Who gets buckets that are not empty").fill("admin")
    answer(page, "Remove")
    toast(page, "dora is not a user any more")
    go(page, "audit")
    page.get_by_label("About", exact=True).fill("dora")
    expect(page.get_by_role("row", name=re.compile("remove-user dora"))).to_be_visible(timeout=10_000)


def test_rights_and_rules_of_a_bucket(page: Any, cluster: Cluster) -> None:
    ask_json(cluster, "POST", "/v1/admin/users", {"name": "eve"})
    go(page, "people")
    page.get_by_title("Give a right in admin").click()
    page.get_by_label("User", exact=True).fill("eve")
    page.get_by_role("dialog").get_by_label("May").select_option("write")
    answer(page, "Give it")
    right = page.get_by_label("Take the right of eve in admin back")
    expect(page.get_by_text("eve: write")).to_be_visible(timeout=10_000)
    right.click()
    answer(page, "Cancel")
    expect(right).to_be_visible()
    right.click()
    answer(page, "Take it back")
    expect(right).to_have_count(0, timeout=10_000)
    page.get_by_title("Rules of eve").click()
    page.get_by_label("Days in the trash").fill("5")
    page.get_by_label("Versions of a file").fill("7")
    page.get_by_label("Copies").fill("2")
    answer(page, "Save")
    toast(page, "The rules hold now")
    expect(page.get_by_role("row", name=re.compile("eve.*2 copies, 7 versions, trash 5 days"))).to_be_visible()
    page.get_by_role("link", name="eve", exact=True).click()
    expect(page.get_by_text("This folder is empty")).to_be_visible(timeout=10_000)
    ask_json(cluster, "DELETE", "/v1/admin/users/eve")


def test_one_s_own_tokens_and_keys(page: Any, cluster: Cluster) -> None:
    go(page, "people")
    press(page, "Make a token")
    page.get_by_label("What it is for").fill("a program")
    answer(page, "Make it")
    token = page.get_by_label("Token", exact=True).last.input_value()
    assert cluster.request("one", "GET", "/v1/whoami", token=token)[0] == 200
    answer(page, "Done")
    page.get_by_title("End the token a program").click()
    answer(page, "End it")
    toast(page, "no longer valid")
    assert cluster.request("one", "GET", "/v1/whoami", token=token)[0] == 401
    press(page, "Make a key")
    page.get_by_label("What it is for").fill("backups")
    answer(page, "Make it")
    assert page.get_by_label("Secret key", exact=True).last.input_value()
    access_key = page.get_by_label("Access key", exact=True).last.input_value()
    answer(page, "Done")
    page.get_by_title(f"End the key {access_key}").click()
    answer(page, "End it")
    toast(page, "The key is no longer valid")
    assert access_key not in json.dumps(ask_json(cluster, "GET", "/v1/keys"))


def test_who_is_no_admin_changes_the_own_password_and_sees_what_is_theirs(
        browser: Any, cluster: Cluster, pressed: Pressed) -> None:
    ask_json(cluster, "POST", "/v1/admin/users", {"name": "finn", "password": "a first password"})
    with careful_page(browser, pressed) as page:
        page.goto(cluster.url("two"))
        page.get_by_label("Name").fill("finn")
        page.get_by_label("Password").fill("not it")
        press(page, "Log in")
        expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
        page.get_by_label("Password").fill("a first password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.get_by_role("button", name="Checkpoint")).to_have_count(0)
        expect(page.get_by_role("link", name="Audit")).to_have_count(0)
        go(page, "nodes")
        expect(page.get_by_role("article", name="Node one")).to_be_visible()
        expect(page.get_by_role("button", name="Empty")).to_have_count(0)
        go(page, "files")
        expect(page.get_by_role("option")).to_have_count(1)
        go(page, "files/admin")
        expect(page.get_by_text("This folder cannot be shown")).to_be_visible()
        go(page, "people")
        expect(page.get_by_role("button", name="Add a user")).to_have_count(0)
        press(page, "Change the password")
        page.get_by_label("Old password").fill("wrong")
        page.get_by_label("New password").fill("a second password")
        answer(page, "Save")
        expect(page.locator(".toast-problem")).to_be_visible(timeout=10_000)
        press(page, "Close this message")
        press(page, "Change the password")
        answer(page, "Cancel")
        press(page, "Change the password")
        page.get_by_label("Old password").fill("a first password")
        page.get_by_label("New password").fill("a second password")
        answer(page, "Save")
        toast(page, "The password is changed")
    assert may_log_in(cluster, "finn", "a second password") and not may_log_in(cluster, "finn", "a first password")
    ask_json(cluster, "DELETE", "/v1/admin/users/finn")


def test_a_tab_of_somebody_who_has_left_shows_who_is_here_now(page: Any, cluster: Cluster) -> None:
    """All nodes of a cluster at one host share the session: a second tab must not go on as somebody else."""
    ask_json(cluster, "POST", "/v1/admin/users", {"name": "gil", "password": "a fine password"})
    session = cluster.url("two") + "/v1/session"
    told = page.request.post(session, data={"user": "gil", "password": "a fine password"}).json()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text("gil on one")).to_be_visible(timeout=10_000)
    page.request.delete(session, headers={"Fluffy-Csrf": told["csrf"]})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended", timeout=10_000)
    ask_json(cluster, "DELETE", "/v1/admin/users/gil")
