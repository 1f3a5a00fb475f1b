"""`fluffy://`: what fsspec's own suites do not ask, and what people use it for."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import tomllib
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import fsspec.asyn
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest
from fsspec.asyn import AsyncFileSystem

from fluffy import Fluffy
from fluffy.apps.filesystem import FluffyFileSystem
from fluffy.base.errors import ERRORS_BY_CODE, Conflict, NotFound
from fluffy.client.os_errors import os_error
from fluffy.client.verbs.asking import Asking
from fluffy.client.verbs.folders import FolderVerbs
from tests.client.shell_door import door_in_thread
from tests.support.cluster import ROOT
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import Door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door_in_thread(tmp_path_factory.mktemp("node")) as door:
        yield door


@pytest.fixture
def options(door: Door) -> dict[str, str]:
    fsspec.register_implementation("fluffy", FluffyFileSystem, clobber=True)
    return {"peers": door.url, "token": ADMIN_TOKEN}


@pytest.fixture
def fs(options: dict[str, str]) -> Iterator[FluffyFileSystem]:
    """Each test begins with an empty bucket of that name, and no kept listings."""
    fs = FluffyFileSystem(**options)
    if fs.exists("/t"):
        fs.rm("/t", recursive=True)
    fs.invalidate_cache()
    fs.mkdir("/t")
    yield fs


@pytest.fixture
def other(door: Door) -> Iterator[Fluffy]:
    """Somebody else, of whom the file system hears nothing."""
    with Fluffy(door.url, ADMIN_TOKEN, patience_s=5.0) as other:
        yield other


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The `limit` of every listing that is asked for."""
    asked: list[int] = []
    ls_page = FolderVerbs.ls_page

    async def counted(self: FolderVerbs, path: str = "/", **more: int) -> object:
        asked.append(more.get("limit", 1000))
        return await ls_page(self, path, **more)  # type: ignore[arg-type]
    monkeypatch.setattr(FolderVerbs, "ls_page", counted)
    return asked


def test_the_package_says_where_fluffy_urls_lead() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["fsspec.specs"]["fluffy"]
    module, _, name = named.partition(":")
    assert getattr(import_module(module), name) is FluffyFileSystem


def test_a_path_may_be_written_in_each_way() -> None:
    for written in ("fluffy://b/f", "fluffy:///b/f", "/b/f", "b/f", "/b/f/"):
        assert FluffyFileSystem._strip_protocol(written) == "/b/f"
    assert FluffyFileSystem._strip_protocol(["fluffy://", "/", ""]) == ["/", "/", "/"]
    assert FluffyFileSystem._parent("/b/f") == "/b" and FluffyFileSystem._parent("/b") == "/"


def test_a_kept_listing_is_checked_and_what_others_changed_is_seen_at_once(
        fs: FluffyFileSystem, other: Fluffy, requests: list[int]) -> None:
    for number in range(5):
        other.put(f"/t/d/{number}", b"x")
    assert [Path(name).name for name in fs.ls("/t/d", detail=False)] == ["0", "1", "2", "3", "4"]
    assert requests == [1000]
    assert len(fs.ls("/t/d")) == 5 and requests == [1000, 1]
    other.put("/t/d/3", b"longer")
    assert [info["size"] for info in fs.ls("/t/d")] == [1, 1, 1, 6, 1]
    assert requests == [1000, 1, 1, 1000]
    other.put("/t/d/below/deep", b"x")
    other.put("/t/elsewhere", b"x")
    assert len(fs.ls("/t/d")) == 6
    requests.clear()
    other.put("/t/d/below/deep", b"another")
    assert len(fs.ls("/t/d")) == 6 and requests == [1]
    other.move("/t/d", "/t/old")
    other.put("/t/d/new", b"x")
    assert [info["name"] for info in fs.ls("/t/d")] == ["/t/d/new"]
    other.delete("/t/d", recursive=True)
    with pytest.raises(FileNotFoundError):
        fs.ls("/t/d")


def test_a_listing_that_changed_between_its_pages_is_not_kept(
        fs: FluffyFileSystem, other: Fluffy, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        other.put(f"/t/d/{number}", b"x")
    ls_page = FolderVerbs.ls_page

    async def small_pages(self: FolderVerbs, path: str = "/", *, after: str | None = None, limit: int = 1) -> object:
        if after == "0":
            await asyncio.to_thread(other.put, "/t/d/0", b"changed")
        return await ls_page(self, path, after=after, limit=1)
    monkeypatch.setattr(FolderVerbs, "ls_page", small_pages)
    assert len(fs.ls("/t/d")) == 3
    monkeypatch.undo()
    assert [info["size"] for info in fs.ls("/t/d")] == [7, 1, 1]


def test_listings_are_not_kept_where_that_is_not_wanted(options: dict[str, str], requests: list[int]) -> None:
    fs = FluffyFileSystem(**options, use_listings_cache=False)
    fs.ls("/admin"), fs.ls("/admin")
    assert requests == [1000, 1000]


def test_everything_known_of_a_file_and_a_folder(fs: FluffyFileSystem, other: Fluffy) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    other.put("/t/d/f.csv", b"12345", content_type="text/csv", tags={"k": "v"})
    other.put("/t/d/g", b"1")
    info = fs.info("fluffy://t/d/f.csv")
    assert (info["name"], info["type"], info["size"], info["content_type"], info["tags"]) == (
        "/t/d/f.csv", "file", 5, "text/csv", {"k": "v"})
    assert fs.isfile("/t/d/f.csv") and fs.isdir("/t/d") and not fs.exists("/t/none") and fs.isdir("/")
    assert fs.du("/t/d") == 6 and fs.du("/t/d/g") == 1 and fs.sizes(["/t/d/g", "/t/d/f.csv"]) == [1, 5]
    assert fs.du("/t", total=False) == {"/t/d/f.csv": 5, "/t/d/g": 1}
    assert fs.ls("/t/d/g")[0]["name"] == "/t/d/g"
    created, checksum, ukey = fs.created("/t/d/g"), fs.checksum("/t/d/g"), fs.ukey("/t/d/g")
    other.put("/t/d/g", b"1")
    assert fs.checksum("/t/d/g") == checksum and fs.ukey("/t/d/g") != ukey
    other.put("/t/d/g", b"2")
    assert fs.checksum("/t/d/g") != checksum
    assert began < created == fs.created("/t/d/g") < fs.modified("/t/d/g") and fs.created("/t/d") > began
    assert {info["name"] for info in fs.ls("/") if info["type"] == "directory"} >= {"/t", "/admin"}
    assert fs.find("/t") == ["/t/d/f.csv", "/t/d/g"] and fs.glob("/t/**/*.csv") == ["/t/d/f.csv"]
    assert [(top, dirs, files) for top, dirs, files in fs.walk("/t")] == [
        ("/t", ["d"], []), ("/t/d", [], ["f.csv", "g"])]


def test_parts_of_files_are_cut_as_slices_are(fs: FluffyFileSystem) -> None:
    data = bytes(range(200))
    fs.pipe("/t/f", data)
    for start, end in ((None, None), (0, 10), (5, None), (-10, None), (None, -5), (-20, -10), (190, 300), (200, 210),
                       (300, None), (10, 5), (0, 0)):
        assert fs.cat_file("/t/f", start, end) == data[start:end], (start, end)
    assert fs.cat_ranges(["/t/f", "/t/f", "/t/none"], [0, 100, 0], [10, 120, 1])[:2] == [data[:10], data[100:120]]
    assert fs.head("/t/f", 3) == data[:3] and fs.tail("/t/f", 3) == data[-3:]
    assert fs.read_block("/t/f", 10, 5) == data[10:15]


def test_moving_and_deleting_take_one_step_whatever_is_inside(
        fs: FluffyFileSystem, other: Fluffy, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        other.put(f"/t/a/b/{number}", b"x")
    writes: list[str] = []
    write = Asking._write

    async def counted(self: Asking, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        writes.append(f"{method} {url}")
        return await write(self, method, url, **more)
    monkeypatch.setattr(Asking, "_write", counted)
    fs.mv("/t/a", "/t/z", recursive=True)
    fs.mkdir("/t/into")
    fs.mv("/t/z/b", "/t/into/")
    fs.mv("/t/into/b/1", "/t/into")
    fs.rename("/t/into/1", "/t/one")
    assert fs.find("/t/into") == [f"/t/into/b/{number}" for number in (0, 2, 3, 4, 5, 6, 7, 8, 9)]
    with pytest.raises(NotADirectoryError):
        fs.mv("/t/into/b/*", "/t/one")
    fs.mv("/t/into/b/[2-4]", "/t/z/")
    assert fs.find("/t/z") == ["/t/z/2", "/t/z/3", "/t/z/4"]
    fs.rm("/t/into", recursive=True)
    assert Counter(writes) == {"POST /v1/move": 7, "PUT /v1/dirs/t/into": 1, "PUT /v1/dirs/t": 1,
                               "DELETE /v1/files/t/into": 1}
    assert {item.path for item in other.trash("/t")} >= {"/t/into"}
    with pytest.raises(OSError, match="folder"):
        fs.rm("/t/z")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("/t/z")
    fs.rm("/t/z/*")
    fs.rmdir("/t/z")
    fs.touch("/t/one")
    assert fs.size("/t/one") == 0
    fs.pipe("/t/one", b"kept")
    fs.touch("/t/one", truncate=False)
    assert fs.cat("/t/one") == b"kept"


def test_a_transaction_makes_its_files_appear_at_its_end_or_not_at_all(fs: FluffyFileSystem) -> None:
    with fs.transaction:
        for name in ("a", "b"):
            with fs.open(f"/t/{name}", "wb") as file:
                file.write(b"x")
        assert fs.ls("/t") == []
    assert fs.find("/t") == ["/t/a", "/t/b"]
    with pytest.raises(ZeroDivisionError), fs.transaction:
        with fs.open("/t/c", "wb") as file:
            file.write(b"x")
        raise ZeroDivisionError
    assert fs.find("/t") == ["/t/a", "/t/b"]


def test_files_are_pythons_own_and_so_are_their_errors(fs: FluffyFileSystem, other: Fluffy) -> None:
    with pytest.raises(FileNotFoundError, match="/t/none"):
        fs.open("/t/none")
    with fs.open("/t/text", "w", encoding="utf-8") as text:
        text.write("ü\n" * 3)
    with fs.open("/t/text") as file:
        assert file.readlines() == ["ü\n".encode()] * 3
    with fs.open("/t/text.gz", "wt", compression="infer") as text:
        text.write("packed")
    assert fs.open("/t/text.gz", "rt", compression="gzip").read() == "packed"
    for mode, compression in (("wt", None), ("wb", None), ("wt", "gzip"), ("wb", "bz2")):
        with pytest.raises(ZeroDivisionError), fs.open("/t/half", mode, compression=compression) as half:
            half.write("half" if mode == "wt" else b"half")
            raise ZeroDivisionError
        assert half.closed and not fs.exists("/t/half")
    with fs.open("/t/text") as file:
        other.put("/t/text", b"new")
        assert file.read() == "ü\nü\nü\n".encode()
    with pytest.raises(FileExistsError):
        fs.makedirs("/t", exist_ok=False)
    fs.mkdir("/t/folder")
    with pytest.raises(IsADirectoryError):
        fs.cat_file("/t/folder")
    with pytest.raises(NotADirectoryError):
        fs.pipe("/t/text/below", b"x")
    with pytest.raises(PermissionError):
        FluffyFileSystem(fs.client.peers, "wrong-token").ls("/t")
    assert other.get("/t/text") == b"new"


def test_each_of_our_errors_has_one_of_pythons() -> None:
    for cls in ERRORS_BY_CODE.values():
        error = os_error(cls("a sentence"), "/a/path")
        assert error.errno and "a sentence" in str(error) and error.filename == "/a/path"
        assert isinstance(error, FileNotFoundError) == issubclass(cls, NotFound)
    assert os_error(Conflict()).filename is None


def test_progress_is_told_and_local_files_go_in_and_out(fs: FluffyFileSystem, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(2_000_000))
    callback = fsspec.Callback()
    fs.put_file(str(tmp_path / "big"), "/t/big", callback=callback)
    assert callback.size == callback.value == 2_000_000
    callback = fsspec.Callback()
    fs.get_file("/t/big", str(tmp_path / "deep" / "back"), callback=callback)
    assert callback.size == callback.value == 2_000_000
    assert (tmp_path / "deep" / "back").read_bytes() == (tmp_path / "big").read_bytes()
    (tmp_path / "back").write_bytes(b"old")
    fs.get("/t/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
    with open(tmp_path / "third", "wb") as file:
        fs.get_file("/t/big", file)
    assert (tmp_path / "third").read_bytes() == (tmp_path / "big").read_bytes()


def test_signed_urls_copies_of_the_file_system_and_threads(fs: FluffyFileSystem, options: dict[str, str]) -> None:
    fs.pipe("/t/f", b"signed")
    with urllib.request.urlopen(fs.sign("/t/f", expiration=60), timeout=30) as answer:
        assert answer.read() == b"signed"
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat("/t/f") == b"signed" and FluffyFileSystem(**options) is fs

    def there_and_back(number: int) -> bytes:
        with fsspec.open(f"fluffy://t/threads/{number}", "wb", **options) as out:
            out.write(b"%d" % number * 1000)
        return bytes(fs.cat(f"/t/threads/{number}"))
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(there_and_back, range(40))) == [b"%d" % number * 1000 for number in range(40)]
    assert len(fs.ls("/t/threads")) == 40


async def test_with_an_event_loop_of_ones_own(options: dict[str, str]) -> None:
    fs = FluffyFileSystem(**options, asynchronous=True)
    await fs._pipe_file("/t-async/f", b"0123456789")
    assert await fs._cat_file("/t-async/f", 2, 4) == b"23"
    file = await fs.open_async("/t-async/f")
    assert await file.read(3) == b"012"
    await file.close()
    await fs._rm("/t-async", recursive=True)
    await fs.close()


def test_a_program_that_ends_leaves_no_complaint(options: dict[str, str]) -> None:
    program = ("import fsspec\nfrom fluffy.apps.filesystem import FluffyFileSystem\n"
               "fsspec.register_implementation('fluffy', FluffyFileSystem, clobber=True)\n"
               f"print(fsspec.filesystem('fluffy', **{options!r}).isdir('/admin'))\n")
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60,
                          cwd=ROOT, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0)
    assert "Unclosed" not in done.stderr and "Error" not in done.stderr


def test_pandas_reads_and_writes_fluffy_urls(fs: FluffyFileSystem, options: dict[str, str]) -> None:
    frame = pandas.DataFrame({"n": range(5000), "text": [f"row {number} ü" for number in range(5000)]})
    frame.to_csv("fluffy://t/table.csv", index=False, storage_options=options)
    assert pandas.read_csv("fluffy://t/table.csv", storage_options=options).equals(frame)
    frame.to_parquet("fluffy://t/table.parquet", storage_options=options)
    read = pandas.read_parquet("fluffy://t/table.parquet", columns=["n"], storage_options=options)
    assert read["n"].tolist() == frame["n"].tolist()
    with pytest.raises(FileNotFoundError):
        pandas.read_csv("fluffy://t/none.csv", storage_options=options)


def test_parquet_tables_and_datasets_go_there_and_back_with_threads(
        fs: FluffyFileSystem, options: dict[str, str]) -> None:
    table = pyarrow.table({"key": [number % 7 for number in range(20_000)], "value": list(range(20_000)),
                           "text": [str(number) * 3 for number in range(20_000)]})
    pyarrow.parquet.write_table(table, "/t/one.parquet", filesystem=fs, row_group_size=2_000)
    assert pyarrow.parquet.read_table("/t/one.parquet", filesystem=fs, use_threads=True).equals(table)
    assert pyarrow.parquet.read_table("/t/one.parquet", filesystem=fs, columns=["value"], pre_buffer=True,
                                      filters=[("value", "<", 10)])["value"].to_pylist() == list(range(10))
    pyarrow.parquet.write_to_dataset(table, "/t/set", partition_cols=["key"], filesystem=fs)
    dataset = pyarrow.dataset.dataset("/t/set", filesystem=fs, partitioning="hive")
    assert dataset.to_table(use_threads=True).sort_by("value")["text"].equals(table["text"])

    def part(key: int) -> int:
        return int(dataset.to_table(filter=pyarrow.dataset.field("key") == key).num_rows)
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(part, range(7))) == 20_000
    arrow = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    assert arrow.get_file_info("/t/one.parquet").is_file
    with arrow.open_input_file("/t/one.parquet") as file:
        assert file.read_at(4, 0) == b"PAR1"


def test_finding_gives_what_fsspecs_own_walk_gives(fs: FluffyFileSystem, other: Fluffy) -> None:
    for path in ("a/b/c/d", "a/b/e", "a/f", "g", "h/i"):
        other.put(f"/t/{path}", b"12")
    other.mkdir("/t/empty/below", parents=True)
    for top in ("/t", "/t/a", "/t/a/f", "/t/none", "/t/empty", "t/a/"):
        for depth in (None, 1, 2, 3, 9):
            for withdirs in (False, True):
                slow = fsspec.asyn.sync(fs.loop, AsyncFileSystem._find, fs, top, maxdepth=depth, withdirs=withdirs)
                assert fs.find(top, maxdepth=depth, withdirs=withdirs) == slow, (top, depth, withdirs)
    assert fs.du("/t", total=False, maxdepth=2) == {"/t/a/f": 2, "/t/g": 2, "/t/h/i": 2}
    assert fs.find("/t/g", detail=True)["/t/g"]["size"] == 2
