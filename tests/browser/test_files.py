"""Files: upload by choosing and by dropping, folders, the panel of a file, moving, searching, the trash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import go
from tests.browser.doing import answer, choose, choose_by, drop_for_real, press, put, row_of, toast
from tests.support.cluster import Cluster

TREE = {"album/one.txt": b"1", "album/2024/two.txt": b"22", "album/2024/may/three – ü.txt": b"333",
        "album/.hidden": b""}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with folders in it, one of them empty."""
    for name, body in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (tmp_path / "album/empty/inner").mkdir(parents=True)
    return tmp_path / "album"


def tree_of(cluster: Cluster, folder: str) -> dict[str, bytes | None]:
    """What lies below a folder: bodies of files, None for folders that are empty."""
    found: dict[str, bytes | None] = {}
    for entry in cluster.json("two", f"/v1/dirs/{quote(folder)}?long=1")["entries"]:
        path = f"{folder}/{entry['name'].rstrip('/')}"
        if entry["kind"] == "file":
            found[path] = cluster.request("three", "GET", f"/v1/files/{quote(path)}")[2]
        else:
            found |= tree_of(cluster, path) or {path: None}
    return found


@pytest.mark.parametrize("way", ["dropped", "chosen"])
def test_a_folder_comes_with_all_that_is_in_it(page: Any, cluster: Cluster, album: Path, way: str) -> None:
    cluster.request("one", "PUT", f"/v1/dirs/admin/{way}")
    go(page, f"files/admin/{way}")
    page.get_by_text("This folder is empty").wait_for()
    if way == "dropped":
        drop_for_real(page, album, album / "one.txt")
    else:
        choose_by(page, lambda: press(page, "Upload a folder"), album)
    expect(row_of(page, "album")).to_be_visible(timeout=15_000)
    expect(page.locator(".transfer[data-state=done]")).to_have_count(len(TREE) + (way == "dropped"), timeout=15_000)
    wanted: dict[str, bytes | None] = {f"admin/{way}/{name}": body for name, body in TREE.items()}
    if way == "dropped":  # what is chosen by the browser's dialog is told without empty folders
        wanted |= {"admin/dropped/one.txt": b"1", "admin/dropped/album/empty/inner": None}
    cluster.wait_until(lambda: tree_of(cluster, f"admin/{way}") == wanted, 10, f"all that was {way}")


def test_a_file_from_upload_to_trash(page: Any, cluster: Cluster) -> None:
    go(page, "files/admin")
    first = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"first words"}
    choose_by(page, lambda: press(page, "Upload"), first)
    row_of(page, "notes.txt").wait_for(timeout=15_000)
    choose(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"second words"})
    page.get_by_text("done · 12 B").wait_for(timeout=15_000)
    press(page, "Clear what is done")
    expect(page.get_by_role("region", name="Uploads")).to_be_hidden()
    row_of(page, "notes.txt").locator(".list-name").click()
    panel = page.get_by_role("dialog")
    expect(panel.get_by_label("Preview")).to_have_text("second words")
    press(page, "Add a tag", inside=panel)
    page.get_by_label("Name", exact=True).fill("colour")
    page.get_by_label("Value").fill("blue")
    answer(page, "Add it")
    expect(panel).to_contain_text("colour = blue")
    press(page, "Remove the tag colour", inside=panel)
    expect(panel).not_to_contain_text("colour = blue", timeout=10_000)
    with page.expect_download() as download:
        panel.get_by_role("link", name="Download generation 1").click()
    assert download.value.path().read_bytes() == b"first words"
    panel.get_by_title("Restore generation 1").click()
    answer(page, "Bring it back")
    expect(panel.get_by_label("Preview")).to_have_text("first words")
    press(page, "Share", inside=panel)
    page.get_by_label("It works for").select_option("3600")
    answer(page, "Make the link")
    link = page.get_by_label("Link", exact=True).last
    link.click()
    assert page.request.get(link.input_value(), headers={"Cookie": ""}).text() == "first words"
    answer(page, "Done")
    with page.expect_download() as download:
        panel.get_by_role("link", name="Download", exact=True).click()
    assert download.value.path().read_bytes() == b"first words"
    panel.get_by_title("Rename or move").click()
    page.get_by_label("New path").fill("/admin/words.txt")
    answer(page, "Move it")
    row_of(page, "words.txt").locator(".list-name").click()
    press(page, "Delete", inside=panel)
    answer(page, "Delete")
    expect(row_of(page, "words.txt")).to_have_count(0, timeout=10_000)


def test_out_of_the_trash_and_for_good(page: Any, cluster: Cluster) -> None:
    for name in ("a", "b"):
        put(cluster, f"admin/gone-{name}.txt", b"kept")
        cluster.request("one", "DELETE", f"/v1/files/admin/gone-{name}.txt")
    go(page, "files/admin")
    page.get_by_role("link", name="Trash").click()
    page.get_by_title("Bring back /admin/gone-a.txt", exact=True).click()
    toast(page, "/admin/gone-a.txt is back")
    page.get_by_title("Bring back /admin/gone-b.txt to another place").click()
    page.get_by_label("Path").fill("/admin/here.txt")
    answer(page, "Bring it back")
    toast(page, "It is at /admin/here.txt")
    press(page, "Empty the trash")
    answer(page, "Empty it")
    toast(page, "purged")
    page.get_by_role("link", name="Files").last.click()
    expect(page.get_by_role("heading", level=1, name="Files")).to_be_visible()
    for path in ("gone-a.txt", "here.txt"):
        assert cluster.request("two", "GET", f"/v1/files/admin/{path}")[2] == b"kept"


def test_all_of_a_long_trash_is_seen(page: Any) -> None:
    line = {"item": 1, "kind": "file", "size": 1, "files": 1, "generation": 1, "owner": "admin",
            "deleted": "2026-07-01T00:00:00Z", "expires": "2036-07-01T00:00:00Z"}
    pages = {False: {"items": [{**line, "path": "/admin/newest"}], "after": "1"},
             True: {"items": [{**line, "path": "/admin/oldest"}], "after": None}}
    page.route(re.compile(r"/v1/trash\?"), lambda route: route.fulfill(json=pages["after=" in route.request.url]))
    go(page, "files/!trash")
    press(page, "Older ones")
    expect(page.get_by_text("/admin/oldest")).to_be_visible()
    expect(page.get_by_text("/admin/newest")).to_be_visible()
    expect(page.get_by_role("button", name="Older ones")).to_have_count(0)


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


def test_several_files_at_once_and_the_way_back(page: Any, cluster: Cluster) -> None:
    for name in ("1", "2", "3"):
        put(cluster, f"admin/many/from/m{name}.txt", name.encode() * int(name))
    go(page, "files/admin/many/from")
    row_of(page, "m1.txt").wait_for()
    page.get_by_role("button", name=re.compile("Sort by Size")).click()
    page.get_by_role("button", name=re.compile("Sort by Size, ascending")).click()
    expect(page.get_by_role("option").first).to_contain_text("m3.txt")
    for name in ("m1.txt", "m2.txt"):
        row_of(page, name).locator(".check").click()
    press(page, "Choose none")
    expect(page.get_by_text("chosen")).to_have_count(0)
    for name in ("m1.txt", "m2.txt"):
        row_of(page, name).locator(".check").click()
    downloads: list[Any] = []
    page.on("download", lambda one: downloads.append(one))
    press(page, "Download")
    page.wait_for_timeout(1500)
    assert sorted(one.path().read_bytes() for one in downloads) == [b"1", b"22"]
    press(page, "Move")
    page.get_by_label("Into this folder").fill("/admin/many")
    answer(page, "Move them")
    toast(page, "2 entries moved")
    page.get_by_role("link", name="many", exact=True).click()
    expect(row_of(page, "m2.txt")).to_be_visible(timeout=10_000)
    page.get_by_role("link", name="All buckets").click()
    expect(row_of(page, "admin")).to_be_visible(timeout=10_000)
    press(page, "New bucket")
    press(page, "Close", inside=page.get_by_role("dialog"))
    expect(page.get_by_role("dialog")).to_have_count(0)
