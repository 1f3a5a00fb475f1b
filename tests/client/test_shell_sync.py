"""push, pull, import, export and sync from the command line, in front of a real door."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fluffy.client.syncing import moving
from tests.client.shell_door import Shell

FILES = 25


@pytest.fixture
def tree() -> Path:
    """A small tree `src` in the present local folder: nested, empty, large enough for chunks, executable, old."""
    top = Path("src")
    (top / "a" / "b").mkdir(parents=True)
    (top / "empty" / "inner").mkdir(parents=True)
    for number in range(20):
        (top / "a" / f"{number:02}.txt").write_bytes(os.urandom(50 + number))
    (top / "a" / "b" / "deep ü").write_bytes(b"deep")
    (top / "nothing").write_bytes(b"")
    (top / "large").write_bytes(os.urandom(1_500_000))
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "secret").write_bytes(b"s")
    (top / "secret").chmod(0o400)
    os.utime(top / "run.sh", ns=(1, 1_234_567_890_123_456_789))
    return top


def facts(shell: Shell, *arguments: str, code: int = 0) -> Any:
    said = shell(*arguments, "--json")
    assert said.code == code, said.out + said.err
    return said.json


def counts(done: Any) -> tuple[int, int, int, int]:
    return done["sent"], done["fetched"], done["deleted"], done["failed"]


def content(top: Path) -> dict[str, tuple[bytes, int, int] | None]:
    """Bytes, mode and time of each file; None for folders."""
    return {path.relative_to(top).as_posix(): None if path.is_dir() else (
        path.read_bytes(), path.stat().st_mode & 0o777, path.stat().st_mtime_ns) for path in top.rglob("*")}


@contextmanager
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On another machine: another local folder, another memory."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(exist_ok=True)
    with monkeypatch.context() as there:
        there.chdir(folder)
        there.setenv("XDG_STATE_HOME", str(tmp_path / "state-elsewhere"))
        yield


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are at rest at once."""
    monkeypatch.setattr("fluffy.client.syncing.memory.REST_NS", -10**12)


def test_what_is_pushed_comes_back_by_pull_elsewhere(shell: Shell, tree: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    done = facts(shell, "push", "src")
    assert counts(done) == (FILES, 0, 0, 0)
    assert done["remote"] == "/admin/src"
    before = content(tree)
    with elsewhere(tmp_path, monkeypatch):
        assert facts(shell, "pull", "src")["fetched"] == FILES
        assert content(Path("src")) == before
        assert counts(facts(shell, "pull", "src")) == (0, 0, 0, 0)
        assert counts(facts(shell, "push", "src")) == (0, 0, 0, 0)


def test_a_second_push_moves_nothing_and_the_next_only_what_changed(shell: Shell, tree: Path) -> None:
    facts(shell, "push", "src")
    again = facts(shell, "push", "src")
    assert (again["sent"], again["same"], again["marked"]) == (0, FILES, 0)
    for number in range(10):
        (tree / "a" / f"{number:02}.txt").write_bytes(b"changed")
    (tree / "a" / "new").write_bytes(b"new")
    done = facts(shell, "push", "src")
    assert (done["sent"], done["same"], done["bytes"]) == (11, FILES - 10, 10 * 7 + 3)
    assert shell.sdk.get("/admin/src/a/03.txt") == b"changed"


def test_what_was_hashed_once_is_not_hashed_again_until_it_changes(shell: Shell, tree: Path, rested: None) -> None:
    assert facts(shell, "push", "src")["hashed"] == 0, "there was nothing to compare with"
    assert facts(shell, "push", "src")["hashed"] == 0, "what was sent is known"
    (tree / "a" / "00.txt").write_bytes(b"x" * 50)
    os.utime(tree / "a" / "01.txt")
    done = facts(shell, "push", "src")
    assert (done["hashed"], done["sent"], done["marked"]) == (2, 1, 1)
    assert facts(shell, "push", "src")["hashed"] == 0


def test_what_was_fetched_is_known_too(shell: Shell, tree: Path, rested: None, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    facts(shell, "push", "src")
    with elsewhere(tmp_path, monkeypatch):
        facts(shell, "pull", "src")
        done = facts(shell, "push", "src")
        assert (done["hashed"], done["sent"], done["same"]) == (0, 0, FILES)


def test_a_file_that_was_changed_in_parts_is_fetched_once(shell: Shell, tree: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Its whole hash is not known to the cluster; what was fetched of that version is remembered."""
    facts(shell, "push", "src")
    shell.sdk.append("/admin/src/large", b"tail")
    assert not shell.sdk.info("/admin/src/large").blake3
    wanted = (tree / "large").read_bytes() + b"tail"
    with elsewhere(tmp_path, monkeypatch):
        assert facts(shell, "pull", "src")["fetched"] == FILES
        assert Path("src/large").read_bytes() == wanted
        assert counts(facts(shell, "pull", "src")) == (0, 0, 0, 0)
        assert counts(facts(shell, "push", "src")) == (0, 0, 0, 0)
    assert facts(shell, "sync", "src")["fetched"] == 1
    assert (tree / "large").read_bytes() == wanted


def test_a_change_within_a_tick_of_the_clock_is_not_missed(shell: Shell, tree: Path) -> None:
    """Size and time can be made to look the same; the change time tells, and files not at rest are read anyway."""
    file = tree / "a" / "00.txt"
    facts(shell, "push", "src")
    before = file.stat()
    file.write_bytes(b"y" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert facts(shell, "push", "src")["sent"] == 1


def test_times_and_modes_alone_travel_without_bytes(shell: Shell, tree: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    facts(shell, "push", "src")
    with elsewhere(tmp_path, monkeypatch):
        facts(shell, "pull", "src")
    (tree / "a" / "00.txt").chmod(0o600)
    os.utime(tree / "a" / "01.txt", ns=(5, 5_000_000_007))
    done = facts(shell, "push", "src")
    assert (done["sent"], done["marked"]) == (0, 2)
    before = content(tree)
    with elsewhere(tmp_path, monkeypatch):
        done = facts(shell, "pull", "src")
        assert (done["fetched"], done["marked"]) == (0, 2)
        assert content(Path("src")) == before


def test_tags_and_metadata_of_others_survive_a_push(shell: Shell, tree: Path) -> None:
    shell.sdk.put("/admin/src/nothing", b"old", meta={"camera": "x"}, tags={"year": "2026"})
    facts(shell, "push", "src")
    document = shell.sdk.info("/admin/src/nothing").document
    assert document["meta"]["camera"] == "x" and "mtime" in document["meta"]
    assert document["tags"] == {"year": "2026"}


def test_nothing_is_deleted_without_delete(shell: Shell, tree: Path) -> None:
    facts(shell, "push", "src")
    shell.sdk.put("/admin/src/a/only-there", b"x")
    (tree / "a" / "00.txt").unlink()
    assert facts(shell, "push", "src")["deleted"] == 0
    planned = facts(shell, "push", "src", "--delete", "--dry-run")
    assert (planned["delete"], planned["send"]) == (2, 0)
    assert {step["path"] for step in planned["plan"]} == {"a/only-there", "a/00.txt"}
    assert shell.sdk.get("/admin/src/a/only-there") == b"x"
    assert facts(shell, "push", "src", "--delete")["deleted"] == 2, "a script means what it says"
    assert {item.path for item in shell.sdk.trash("/admin/src")} == {"/admin/src/a/only-there", "/admin/src/a/00.txt"}
    assert counts(facts(shell, "push", "src", "--delete")) == (0, 0, 0, 0), "a plan without deletions needs no yes"


def test_a_whole_folder_goes_with_its_last_file(shell: Shell, tree: Path) -> None:
    facts(shell, "push", "src")
    for path in (tree / "a" / "b" / "deep ü", tree / "a" / "b", tree / "empty" / "inner"):
        path.unlink() if path.is_file() else path.rmdir()
    facts(shell, "push", "src", "--delete", "--yes")
    assert {entry.name for entry in shell.sdk.ls("/admin/src/a") if entry.is_folder} == set()
    assert [entry.name for entry in shell.sdk.ls("/admin/src/empty")] == []


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(shell: Shell, tree: Path) -> None:
    facts(shell, "push", "src")
    for path in sorted((tree / "a").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tree / "a").rmdir()
    (tree / "a").write_bytes(b"a file now")
    (tree / "nothing").unlink()
    (tree / "nothing").mkdir()
    (tree / "nothing" / "in").write_bytes(b"in")
    refused = facts(shell, "push", "src", code=1)
    assert {error["path"] for error in refused["errors"]} == {"a", "nothing/in"}
    done = facts(shell, "push", "src", "--delete", "--yes")
    assert done["failed"] == 0
    assert shell.sdk.get("/admin/src/a") == b"a file now"
    assert shell.sdk.get("/admin/src/nothing/in") == b"in"


def test_pull_replaces_what_changed_here_and_keeps_the_old_bytes(shell: Shell, tree: Path, tmp_path: Path) -> None:
    facts(shell, "push", "src")
    (tree / "a" / "00.txt").write_bytes(b"mine, nowhere else")
    shell.sdk.put("/admin/src/a/01.txt", b"theirs")
    done = facts(shell, "pull", "src")
    assert (done["fetched"], done["kept"]) == (2, 1)
    assert (tree / "a" / "01.txt").read_bytes() == b"theirs"
    assert (tree / "a" / "00.txt").read_bytes() != b"mine, nowhere else"
    assert (Path(done["kept_in"]) / "a" / "00.txt").read_bytes() == b"mine, nowhere else"
    assert Path(done["kept_in"]).is_relative_to(tmp_path / "state")


def test_pull_with_delete_keeps_what_only_this_machine_has(shell: Shell, tree: Path) -> None:
    facts(shell, "push", "src")
    (tree / "never-pushed").write_bytes(b"unique")
    shell.sdk.delete("/admin/src/a/00.txt")
    done = facts(shell, "pull", "src", "--delete", "--yes")
    assert (done["deleted"], done["kept"]) == (2, 1)
    assert not (tree / "never-pushed").exists() and not (tree / "a" / "00.txt").exists()
    assert (Path(done["kept_in"]) / "never-pushed").read_bytes() == b"unique"


def test_sync_carries_changes_both_ways_and_names_conflicts(shell: Shell, tree: Path) -> None:
    facts(shell, "sync", "src")
    (tree / "a" / "00.txt").write_bytes(b"changed here")
    shell.sdk.put("/admin/src/a/01.txt", b"changed there")
    (tree / "a" / "02.txt").write_bytes(b"both, here")
    shell.sdk.put("/admin/src/a/02.txt", b"both, there")
    (tree / "a" / "03.txt").unlink()
    shell.sdk.delete("/admin/src/a/04.txt")
    shell.sdk.put("/admin/src/c/new", b"new there")
    done = facts(shell, "sync", "src", "--delete", "--yes", code=1)
    assert counts(done) == (1, 2, 2, 1)
    assert done["errors"][0]["path"] == "a/02.txt" and "push or pull" in done["errors"][0]["message"]
    assert (tree / "a" / "01.txt").read_bytes() == b"changed there"
    assert shell.sdk.get("/admin/src/a/00.txt") == b"changed here"
    assert (tree / "c" / "new").read_bytes() == b"new there"
    assert not (tree / "a" / "04.txt").exists()
    assert (tree / "a" / "02.txt").read_bytes() == b"both, here"
    assert shell.sdk.get("/admin/src/a/02.txt") == b"both, there"
    assert facts(shell, "push", "src/a/02.txt")["sent"] == 1
    assert counts(facts(shell, "sync", "src", "--delete")) == (0, 0, 0, 0)


def test_links_to_files_go_as_files_and_what_is_no_file_is_skipped(shell: Shell, tree: Path, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "link").symlink_to("run.sh")
    (tree / "folder-link").symlink_to("a")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    (tree / "x.fluffy-part").write_bytes(b"half")
    done = facts(shell, "push", "src")
    assert (done["sent"], done["failed"]) == (FILES + 1, 0)
    assert set(done["skipped"]) == {"folder-link", "dangling", "pipe", "x.fluffy-part"}
    assert shell.sdk.get("/admin/src/link") == b"#!/bin/sh\n"
    with elsewhere(tmp_path, monkeypatch):
        facts(shell, "pull", "src")
        assert not Path("src/link").is_symlink()
        assert stat.S_IMODE(Path("src/link").stat().st_mode) == 0o755
    # What is skipped here is not deleted there, and nothing is written through a link.
    shell.sdk.put("/admin/src/folder-link/x", b"theirs")
    assert facts(shell, "push", "src", "--delete", "--yes")["deleted"] == 0
    assert facts(shell, "pull", "src", code=1)["errors"][0]["path"] == "folder-link/x"
    assert not (tree / "a" / "x").exists()


def test_what_cannot_be_sent_is_named_and_the_rest_goes(shell: Shell, tree: Path) -> None:
    (tree / "bad\nname").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tree) + b"/not-utf8-\xff")).write_bytes(b"x")
    done = facts(shell, "push", "src", code=1)
    assert (done["sent"], done["failed"]) == (FILES, 2)
    assert {error["code"] for error in done["errors"]} == {"NameIllegal"}
    said = shell("push", "src")
    assert said.code == 1 and "not valid UTF-8" in said.err and "failed 2" in said.out


def test_somebody_elses_change_between_plan_and_move_is_not_overwritten(shell: Shell, tree: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    facts(shell, "push", "src")
    (tree / "a" / "00.txt").write_bytes(b"mine")
    real = moving.Mover.run

    async def run(self: moving.Mover, plan: Any) -> None:
        await self._client.put("/admin/src/a/00.txt", b"theirs, just now")
        await real(self, plan)
    monkeypatch.setattr(moving.Mover, "run", run)
    done = facts(shell, "push", "src", code=1)
    assert done["errors"][0]["code"] == "PreconditionFailed"
    assert shell.sdk.get("/admin/src/a/00.txt") == b"theirs, just now"


def test_a_local_change_between_plan_and_move_is_not_overwritten(shell: Shell, tree: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    facts(shell, "push", "src")
    shell.sdk.put("/admin/src/a/00.txt", b"theirs")
    shell.sdk.put("/admin/src/large", b"small now")
    shell.sdk.put("/admin/src/a/b/new", b"new")
    real = moving.Mover.run

    async def run(self: moving.Mover, plan: Any) -> None:
        for name in ("a/00.txt", "large", "a/b/new"):
            (tree / name).write_bytes(b"mine, just now")
        await real(self, plan)
    monkeypatch.setattr(moving.Mover, "run", run)
    done = facts(shell, "pull", "src", code=1)
    assert (done["failed"], done["fetched"]) == (3, 0)
    assert {(tree / name).read_bytes() for name in ("a/00.txt", "large", "a/b/new")} == {b"mine, just now"}
    assert not [path for path in tree.rglob("*") if "fluffy" in path.name], "nothing half done is left"


def test_after_an_interruption_the_same_command_goes_on_with_the_rest(shell: Shell, tree: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    real, sent = moving.Mover._send, 0

    async def send(self: moving.Mover, step: Any) -> None:
        nonlocal sent
        if sent == 10:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.Event().wait()
        await real(self, step)
        sent += 1
    monkeypatch.setattr(moving, "SMALL_AT_ONCE_MAX", 1)
    with monkeypatch.context() as broken:
        broken.setattr(moving.Mover, "_send", send)
        said = shell("push", "src")
    assert said.code == 130 and "goes on with the rest" in said.err
    stored = len(list(shell.sdk.list("admin")))
    assert 10 <= stored < FILES
    done = facts(shell, "push", "src")
    assert (done["sent"], done["same"]) == (FILES - stored, stored)


def test_the_remote_place_is_remembered_and_covers_what_is_below(shell: Shell, tree: Path) -> None:
    done = facts(shell, "push", "src", "--to", "/team/code")
    assert done["remote"] == "/team/code"
    (tree / "a" / "b" / "deep ü").write_bytes(b"deeper")
    done = facts(shell, "push", "src/a/b")
    assert (done["remote"], done["sent"]) == ("/team/code/a/b", 1)
    (tree / "run.sh").write_bytes(b"one file")
    assert facts(shell, "push", "src/run.sh")["remote"] == "/team/code/run.sh"
    assert shell.sdk.get("/team/code/run.sh") == b"one file"
    assert facts(shell, "sync", "src")["remote"] == "/team/code"
    assert facts(shell, "pull", "src", "--from", "/team/code/a", "--dry-run")["remote"] == "/team/code/a"
    assert facts(shell, "push", "src")["remote"] == "/team/code", "a dry run binds nothing"


def test_the_present_folder_is_meant_without_a_word_and_the_session_folder_counts(
        shell: Shell, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.sdk.mkdir("/admin/work")
    said = shell.lines("cd work", "push src")
    assert said.code == 0 and "/admin/work/src" in said.out
    monkeypatch.chdir(tree)
    assert facts(shell, "push")["remote"] == "/admin/work/src"


def test_pull_understands_a_remote_path_where_nothing_here_can_be_meant(shell: Shell, tree: Path, tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    facts(shell, "push", "src", "--to", "/team/code")
    with elsewhere(tmp_path, monkeypatch):
        done = facts(shell, "pull", "/team/code")
        assert (done["fetched"], done["local"]) == (FILES, str(Path.cwd() / "code"))


def test_import_and_export_name_both_ends(shell: Shell, tree: Path, tmp_path: Path) -> None:
    assert facts(shell, "import", "src", "/photos/2026")["sent"] == FILES
    assert facts(shell, "import", "src", "/photos/2026")["sent"] == 0, "into the folder itself, also when it is there"
    assert facts(shell, "import", "src/run.sh", "/photos/2026")["remote"] == "/photos/2026/run.sh"
    assert facts(shell, "import", "src", "/photos/")["remote"] == "/photos/src"
    out = tmp_path / "out"
    assert facts(shell, "export", "/photos/2026", str(out))["fetched"] == FILES
    assert content(out) == content(tree)
    assert facts(shell, "export", "/photos/2026", str(out))["fetched"] == 0
    assert facts(shell, "export", "/photos/2026/run.sh", f"{out}/a/")["local"] == str(out / "a" / "run.sh")
    assert facts(shell, "export", "/photos/2026/run.sh", str(tmp_path / "one"))["fetched"] == 1
    assert (tmp_path / "one").read_bytes() == b"#!/bin/sh\n"


def test_nothing_there_or_another_kind_is_a_clear_answer(shell: Shell, tree: Path) -> None:
    said = shell("push", "no-such")
    assert said.code == 1 and "there is no" in said.err
    said = shell("pull", "no-such")
    assert said.code == 1 and "/admin/no-such" in said.err
    shell.sdk.put("/admin/src", b"a file")
    said = shell("push", "src")
    assert said.code == 1 and "is a folder, and /admin/src a file" in said.err


def test_a_lost_or_damaged_memory_costs_time_and_nothing_else(shell: Shell, tree: Path, tmp_path: Path) -> None:
    facts(shell, "push", "src")
    [memory] = (tmp_path / "state").rglob("sync.db")
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    memory.write_bytes(b"rubbish" * 1000)
    for beside in memory.parent.glob("sync.db-*"):
        beside.unlink()
    done = facts(shell, "push", "src")
    assert (done["sent"], done["same"], done["hashed"]) == (0, FILES, FILES)
    assert sqlite3.connect(memory).execute("SELECT count(*) FROM bases").fetchone()[0] == FILES


def test_an_empty_folder_and_an_empty_file_have_their_places(shell: Shell, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bare").mkdir()
    facts(shell, "push", "bare")
    assert shell.sdk.info("/admin/bare").is_folder
    with elsewhere(tmp_path, monkeypatch):
        facts(shell, "pull", "bare")
        assert list(Path("bare").iterdir()) == []


def test_push_writes_under_the_lock_that_is_given(shell: Shell, tree: Path) -> None:
    token = facts(shell, "lock", "/admin/src/nothing")["token"] if shell.sdk.put("/admin/src/nothing", b"1") else ""
    refused = facts(shell, "push", "src", code=1)
    assert [error["code"] for error in refused["errors"]] == ["FileLocked"]
    assert refused["sent"] == FILES - 1
    assert facts(shell, "push", "src", "--lock", token)["sent"] == 1


def test_the_plan_of_a_dry_run_reads_like_a_sentence(shell: Shell, tree: Path) -> None:
    said = shell("push", "src", "--dry-run")
    assert said.code == 0
    assert "would send run.sh (10 B)" in said.out and "25 to send" in said.out
    assert list(shell.sdk.list("admin")) == []


def test_many_files_take_their_turn_within_bounds(shell: Shell, tmp_path: Path) -> None:
    top = Path("many")
    for number in range(300):
        (top / f"{number % 7}").mkdir(parents=True, exist_ok=True)
        (top / f"{number % 7}" / f"{number}").write_bytes(str(number).encode())
    began = time.monotonic()
    assert facts(shell, "push", "many")["sent"] == 300
    assert time.monotonic() - began < 30
