"""Every verb of the SDK, against the real doors: what it does there, and what it hands back."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fluffy import AsyncFluffy, Fluffy
from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    FileLocked,
    FileNotFound,
    HistoryCut,
    IntoItself,
    LockLost,
    LockNotFound,
    PreconditionFailed,
    ProposalLost,
    QuerySyntax,
    QuotaExceeded,
    RangeIllegal,
    Unauthenticated,
    UserNotFound,
    UserOwnsFiles,
    VersionNotFound,
)
from fluffy.client import locks, transport, upload
from fluffy.client.results_history import Change
from fluffy.client.transport import read_document
from fluffy.client.verbs.asking import moment_text
from tests.client.shell_door import door_in_thread
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import Door, running_door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door_in_thread(tmp_path_factory.mktemp("node")) as door:
        yield door


@pytest.fixture
def fluffy(door: Door, request: pytest.FixtureRequest) -> Iterator[Fluffy]:
    with Fluffy(door.url, ADMIN_TOKEN, patience_s=5.0) as fluffy:
        fluffy.mkdir(f"/{bucket_of(request)}")
        yield fluffy


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    return f"/{bucket_of(request)}"


def bucket_of(request: pytest.FixtureRequest) -> str:
    return "b" + "".join(word[0] for word in request.node.name.split("_")) + str(len(request.node.name))


def names(fluffy: Fluffy, path: str, **more: str) -> list[str]:
    return [entry.name for entry in fluffy.ls(path, **more)]  # type: ignore[arg-type]


# Files

def test_appending_patching_and_touching(fluffy: Fluffy, at: str) -> None:
    first = fluffy.append(f"{at}/log", b"one\n")
    second = fluffy.append(f"{at}/log", iter([b"tw", b"o\n"]))
    assert (first.offset, second.offset, second.size, second.generation) == (0, 4, 8, 2)
    fluffy.patch(f"{at}/log", 0, b"ONE")
    assert fluffy.patch(f"{at}/log", 8, b"end").size == 11
    assert fluffy.get(f"{at}/log") == b"ONE\ntwo\nend"
    for offset, data in ((12, b"x"), (-1, b"x"), (0, b"")):
        with pytest.raises(RangeIllegal):
            fluffy.patch(f"{at}/log", offset, data)
    with pytest.raises(PreconditionFailed):
        fluffy.append(f"{at}/log", b"x", if_match="0" * 32)
    before = fluffy.info(f"{at}/log")
    fluffy.touch(f"{at}/log")
    after = fluffy.info(f"{at}/log")
    assert after.etag == before.etag and after.modified > before.modified  # type: ignore[operator]
    fluffy.touch(f"{at}/new")
    assert fluffy.get(f"{at}/new") == b""


def test_twenty_writers_append_whole_lines(door: Door, fluffy: Fluffy, at: str) -> None:
    def write(writer: int) -> None:
        for line in range(10):
            fluffy.append(f"{at}/log", f"{writer}:{line}\n".encode())
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(write, range(20)))
    lines = fluffy.get(f"{at}/log").decode().splitlines()
    assert sorted(lines) == sorted(f"{writer}:{line}" for writer in range(20) for line in range(10))
    for writer in range(20):
        mine = [line for line in lines if line.startswith(f"{writer}:")]
        assert mine == [f"{writer}:{line}" for line in range(10)]


def test_a_repeated_request_appends_once(fluffy: Fluffy, at: str) -> None:
    for _ in range(3):
        stored = fluffy.append(f"{at}/log", b"line\n", request_id="the same " + at)
    assert (stored.offset, fluffy.get(f"{at}/log")) == (0, b"line\n")


def test_moving_and_copying_files_and_folders(fluffy: Fluffy, at: str) -> None:
    fluffy.put(f"{at}/a/f", b"f", tags={"k": "v"}, meta={"m": "1"})
    fluffy.move(f"{at}/a/f", f"{at}/new/folder/g")
    assert fluffy.info(f"{at}/new/folder/g").tags == {"k": "v"}
    fluffy.copy(f"{at}/new", f"{at}/copy")
    fluffy.copy(f"{at}/copy/folder/g", f"{at}/copy/h", tags={"other": "x"}, content_type="text/x")
    copied = fluffy.info(f"{at}/copy/h")
    assert (copied.tags, copied.meta, copied.content_type) == ({"other": "x"}, {"m": "1"}, "text/x")
    with pytest.raises(AlreadyExists):
        fluffy.move(f"{at}/copy/h", f"{at}/copy/folder/g")
    fluffy.move(f"{at}/copy/h", f"{at}/copy/folder/g", overwrite=True)
    with pytest.raises(IntoItself):
        fluffy.move(f"{at}/copy", f"{at}/copy/folder/deep")
    with pytest.raises(PreconditionFailed):
        fluffy.move(f"{at}/copy/folder/g", f"{at}/z", if_match="0" * 32)
    assert names(fluffy, at) == ["a", "copy", "new"] and names(fluffy, f"{at}/copy") == ["folder"]


def test_a_file_with_as_many_tags_as_there_may_be_is_read(fluffy: Fluffy, at: str) -> None:
    """In the head of an answer they are three times as long as they are."""
    tags = {f"{number:02}" + "\U0001f4c4" * 100: "\u00e9" * 250 for number in range(8)}
    fluffy.put(f"{at}/f", b"text", tags=tags)
    assert fluffy.get(f"{at}/f") == b"text" and fluffy.info(f"{at}/f").tags == tags


def test_labels_are_changed_without_the_bytes(fluffy: Fluffy, at: str) -> None:
    stored = fluffy.put(f"{at}/f", b"f", tags={"old": "x"})
    fluffy.set_tags(f"{at}/f", {"a": "1", "ü": "ä"})
    fluffy.set_meta(f"{at}/f", {"mtime": "1.5"}, content_type="text/x-mine")
    info = fluffy.info(f"{at}/f")
    assert (info.tags, info.meta, info.content_type) == ({"a": "1", "ü": "ä"}, {"mtime": "1.5"}, "text/x-mine")
    assert (info.generation, info.etag) == (stored.generation, stored.etag)
    [entry] = fluffy.ls(at, labels=True)
    assert (entry.tags, entry.meta, entry.blake3) == (info.tags, info.meta, stored.blake3)
    with pytest.raises(PreconditionFailed):
        fluffy.set_tags(f"{at}/f", {}, if_match="0" * 32)


def test_signed_urls_need_no_token_and_are_for_one_file_and_method(fluffy: Fluffy, at: str) -> None:
    fluffy.put(f"{at}/f", b"secret")
    signed = fluffy.sign(f"{at}/f", ttl_s=60)
    with urllib.request.urlopen(signed.url, timeout=30) as answer:
        assert answer.read() == b"secret"
    assert timedelta(0) < signed.expires - datetime.now(UTC) <= timedelta(seconds=61)
    put = fluffy.sign(f"{at}/g", method="PUT")
    with urllib.request.urlopen(urllib.request.Request(put.url, b"new", method="PUT"), timeout=30):
        assert fluffy.get(f"{at}/g") == b"new"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(signed.url.replace(f"{at}/f", f"{at}/g"), timeout=30)


def test_what_was_done_but_whose_answer_was_lost_is_done_once(
        fluffy: Fluffy, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 0

    async def lose(response: aiohttp.ClientResponse, peer: str) -> dict[str, Any]:
        nonlocal lost
        document = await read_document(response, peer)
        if response.method != "GET" and (request_id := response.request_info.headers["Fluffy-Request-Id"]) not in seen:
            seen.add(request_id)
            lost += 1
            raise ProposalLost("on purpose")
        return document
    seen: set[str] = set()
    monkeypatch.setattr(transport, "read_document", lose)
    monkeypatch.setattr(upload, "read_document", lose)
    fluffy.put(f"{at}/f", b"a", create_only=True)
    fluffy.append(f"{at}/f", b"b")
    fluffy.patch(f"{at}/f", 0, b"A")
    fluffy.touch(f"{at}/f")
    assert (fluffy.get(f"{at}/f"), fluffy.info(f"{at}/f").generation) == (b"Ab", 4)
    fluffy.move(f"{at}/f", f"{at}/g")
    fluffy.copy(f"{at}/g", f"{at}/h")
    fluffy.mkdir(f"{at}/d")
    fluffy.rmdir(f"{at}/d")
    fluffy.set_tags(f"{at}/g", {"a": "b"})
    fluffy.delete(f"{at}/g")
    fluffy.undelete(f"{at}/g")
    newer = fluffy.put(f"{at}/h", b"newer").generation
    assert fluffy.restore(f"{at}/h", newer - 1, expect=newer).generation == newer + 1
    with fluffy.lock(f"{at}/h") as lock:
        lock.renew()
        with fluffy.open(f"{at}/h", "wb", lock=lock) as file:
            file.write(bytes(20_000_000))
    assert names(fluffy, at) == ["g", "h"] and fluffy.info(f"{at}/h").size == 20_000_000
    assert lost > 15 and list(fluffy.locks(at)) == []


# The past

def test_generations_are_listed_read_restored_and_purged(fluffy: Fluffy, at: str) -> None:
    for number in range(4):
        fluffy.put(f"{at}/f", f"{number}".encode())
    versions = fluffy.versions(f"{at}/f")
    assert [(one.generation, one.size, one.is_current) for one in versions] == [
        (4, 1, True), (3, 1, False), (2, 1, False), (1, 1, False)]
    assert fluffy.get(f"{at}/f", generation=2) == b"1"
    restored = fluffy.restore(f"{at}/f", 2, expect=4)
    assert (restored.generation, fluffy.get(f"{at}/f")) == (5, b"1")
    with pytest.raises(PreconditionFailed):
        fluffy.restore(f"{at}/f", 1, expect=4)
    fluffy.delete(f"{at}/f", purge=True, generation=3)
    assert [one.generation for one in fluffy.versions(f"{at}/f")] == [5, 4, 2, 1]
    with pytest.raises((VersionNotFound, FileNotFound)):
        fluffy.restore(f"{at}/f", 3)


def test_the_trash_gives_back_tells_conflicts_and_is_emptied_once(fluffy: Fluffy, at: str) -> None:
    fluffy.put(f"{at}/f", b"first")
    fluffy.put(f"{at}/d/g", b"g")
    fluffy.delete(f"{at}/f")
    fluffy.delete(f"{at}/d", recursive=True)
    items = {item.path: item for item in fluffy.trash(at)}
    assert set(items) == {f"{at}/f", f"{at}/d"} and items[f"{at}/d"].is_folder
    assert items[f"{at}/f"].expires > items[f"{at}/f"].deleted  # type: ignore[operator]
    fluffy.put(f"{at}/f", b"second")
    with pytest.raises(AlreadyExists):
        fluffy.undelete(f"{at}/d", target=f"{at}/f")
    fluffy.undelete(f"{at}/d", item=items[f"{at}/d"].item, target=f"{at}/back")
    assert fluffy.get(f"{at}/back/g") == b"g"
    fluffy.delete(f"{at}/back/g")
    assert fluffy.empty_trash(at) >= 1
    assert fluffy.empty_trash(at) == 0 and list(fluffy.trash(at)) == []


def test_looking_back_and_going_back_in_time(fluffy: Fluffy, at: str, tmp_path: Path) -> None:
    fluffy.put(f"{at}/d/kept", b"old")
    fluffy.put(f"{at}/d/gone", b"gone")
    then = datetime.fromisoformat(fluffy.info(f"{at}/d/gone").document["modified"])
    fluffy.put(f"{at}/d/kept", b"newer")
    fluffy.delete(f"{at}/d/gone")
    fluffy.put(f"{at}/d/added", b"x")
    assert names(fluffy, f"{at}/d") == ["added", "kept"]
    assert [entry.name for entry in fluffy.ls(f"{at}/d", at=then)] == ["gone", "kept"]
    assert fluffy.get(f"{at}/d/kept", at=then) == b"old" and fluffy.get(f"{at}/d/kept", at=then, offset=1) == b"ld"
    assert [(line.path, line.change) for line in fluffy.diff(f"{at}/d", then)] == [
        (f"{at}/d/added", "added"), (f"{at}/d/gone", "removed"), (f"{at}/d/kept", "changed")]
    found = fluffy.restore_at(f"{at}/d", then)
    assert (found.restored, found.deleted, found.conflict_count) == (2, 0, 0)
    assert names(fluffy, f"{at}/d") == ["added", "gone", "kept"] and fluffy.get(f"{at}/d/kept") == b"old"
    found = fluffy.restore_at(f"{at}/d", then, exact=True)
    assert (found.restored, found.deleted, found.same) == (0, 1, 2)
    fluffy.put(f"{at}/d/kept", b"third")
    assert fluffy.restore_at(f"{at}/d/kept", then).restored == 1 and fluffy.get(f"{at}/d/kept") == b"old"
    fluffy.delete(f"{at}/d/gone")
    fluffy.move(f"{at}/d/kept", f"{at}/away")
    fluffy.put(f"{at}/d/kept", b"newer")
    for path, data in (("gone", b"gone"), ("kept", b"old")):
        with fluffy.open(f"{at}/d/{path}", at=then) as file:
            assert file.read() == data == fluffy.get(f"{at}/d/{path}", at=then)
        fluffy.download(f"{at}/d/{path}", tmp_path, at=then)
        assert (tmp_path / path).read_bytes() == data


def test_times_are_written_in_each_way() -> None:
    now = datetime.now(UTC)
    for moment, seconds in (("-90s", 90), ("-2h", 7200), (timedelta(days=1), 86_400), (timedelta(days=-1), 86_400),
                            ("-1w", 604_800), (now - timedelta(minutes=5), 300)):
        text = moment_text(moment)
        assert text is not None
        assert abs((now - datetime.fromisoformat(text)).total_seconds() - seconds) < 5, moment
    assert moment_text("2026-07-01") == "2026-07-01" and moment_text(None) is None
    for moment in ("-999999999w", timedelta(days=999_999_999)):
        with pytest.raises(QuerySyntax):
            moment_text(moment)


def test_changes_are_told_from_any_position_and_followed(fluffy: Fluffy, at: str) -> None:
    fluffy.put(f"{at}/f", b"1")
    seen = [change for change in fluffy.changes() if change.path.startswith(at + "/")]
    assert [(change.kind, change.path, change.size) for change in seen] == [("file-put", f"{at}/f", 1)]
    since = list(fluffy.changes())[-1].seq
    assert list(fluffy.changes(since)) == []
    following = fluffy.changes(since, follow=True)
    got: list[Change] = []
    follower = threading.Thread(target=lambda: got.extend(next(following) for _ in range(2)))
    follower.start()
    fluffy.move(f"{at}/f", f"{at}/g")
    fluffy.delete(f"{at}/g")
    follower.join(30)
    assert [(change.kind, change.path, change.source) for change in got] == [
        ("file-moved", f"{at}/g", f"{at}/f"), ("file-deleted", f"{at}/g", "")]


async def test_following_ends_when_the_feed_was_cut(
        client: AsyncFluffy, peer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"changes": [], "next": 7, "more": False}, HistoryCut(oldest=9)]

    async def read(self: AsyncFluffy, url: str, **query: object) -> object:
        answer = answers.pop(0)
        assert query["since"] == (7 if not answers else 0)
        if isinstance(answer, HistoryCut):
            raise answer
        return answer
    monkeypatch.setattr(AsyncFluffy, "_read", read)
    with pytest.raises(HistoryCut):
        async for _ in client.changes(follow=True):
            pass


def test_searching_by_all_there_is(fluffy: Fluffy, at: str) -> None:
    fluffy.put(f"{at}/Report.pdf", b"x" * 100, content_type="application/pdf", tags={"year": "2026"})
    fluffy.put(f"{at}/report.txt", b"x", content_type="text/plain")
    bucket = at.strip("/")

    def found(query: str = "", **more: object) -> list[str]:
        return sorted(entry.name for entry in fluffy.search(query, bucket=bucket, **more)  # type: ignore[arg-type]
                      if not entry.is_folder)
    assert found("report") == ["Report.pdf", "report.txt"]
    assert found("*.pdf") == found(type="application/") == found(tags={"year": "2026"}) == found(tags={"year": None}) \
        == found(min_size=50) == found(min_size="50B") == ["Report.pdf"]
    assert found(max_size=50, since="-1h") == ["report.txt"] and found(until="-1h") == []
    assert found(owner="admin", since=datetime.now(UTC) - timedelta(hours=1)) == ["Report.pdf", "report.txt"]


# Locks

def test_a_lock_keeps_others_out_and_lets_its_holder_write(fluffy: Fluffy, at: str) -> None:
    with fluffy.lock(f"{at}/f", ttl_s=60, note="mine") as lock:
        assert lock.is_held and lock.fence > 0 and lock.path == f"{at}/f"
        with pytest.raises(FileLocked) as caught:
            fluffy.put(f"{at}/f", b"x")
        assert caught.value.facts["holder"] == "admin"
        fluffy.put(f"{at}/f", b"x", lock=lock)
        fluffy.append(f"{at}/f", b"y", lock=lock.token)
        fluffy.patch(f"{at}/f", 0, b"X", lock=lock)
        with fluffy.open(f"{at}/f", "ab", lock=lock) as file:
            file.write(b"z")
        fluffy.set_tags(f"{at}/f", {"a": "b"}, lock=lock)
        with pytest.raises(FileLocked):
            fluffy.lock(f"{at}/f", wait_s=0.1)
        [held] = fluffy.locks(at)
        assert (held.path, held.mode, held.holder, held.note, held.fence) == (
            f"{at}/f", "exclusive", "admin", "mine", lock.fence)
    assert fluffy.get(f"{at}/f") == b"Xyz" and list(fluffy.locks(at)) == [] and not lock.is_held
    with pytest.raises(LockLost):
        _ = lock.token
    lock.release()
    fluffy.put(f"{at}/f", b"free")


def test_shared_locks_wait_for_exclusive_ones(fluffy: Fluffy, at: str) -> None:
    one, other = fluffy.lock(at, mode="shared"), fluffy.lock(at, mode="shared")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: fluffy.lock(at, wait_s=20))
        one.release()
        assert not waiting.done()
        other.release()
        exclusive = waiting.result(20)
    assert exclusive.fence > other.fence
    assert fluffy.break_locks(at)["released"] == 1
    with pytest.raises(LockNotFound):
        exclusive.renew()
    with pytest.raises(LockNotFound):
        fluffy.unlock(exclusive.token)


def test_a_lock_that_is_broken_is_told_to_its_holder(fluffy: Fluffy, at: str) -> None:
    lost = threading.Event()
    with pytest.raises(LockLost), fluffy.lock(f"{at}/f", ttl_s=1.5) as lock:
        fluffy.break_locks(f"{at}/f")
        for _ in range(100):
            if not lock.is_held:
                lost.set()
                break
            threading.Event().wait(0.05)
    assert lost.is_set()
    with pytest.raises(ZeroDivisionError), fluffy.lock(f"{at}/f"):
        raise ZeroDivisionError
    assert list(fluffy.locks(at)) == []


async def test_with_an_event_loop_a_lock_is_renewed_and_its_loss_ends_the_block(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_door(tmp_path) as door, AsyncFluffy(door.url, ADMIN_TOKEN, patience_s=5.0) as client:
        await client.mkdir("/b")
        async with client.lock("/b/f", ttl_s=1) as lock:
            first = lock.expires
            await asyncio.sleep(2.5 / locks.RENEWALS_PER_TTL)
            assert lock.is_held and lock.expires > first  # type: ignore[operator]
            await client.put("/b/f", b"x", lock=lock)
        assert [one async for one in client.locks()] == []
        monkeypatch.setattr(locks, "RENEWALS_PER_TTL", 3000)
        with pytest.raises(LockLost):
            async with client.lock("/b/f", ttl_s=600), asyncio.timeout(30):
                await client.break_locks("/b/f")
                await asyncio.Event().wait()
        with pytest.raises(ZeroDivisionError):
            async with client.lock("/b/f"):
                raise ZeroDivisionError
        held = await client.lock("/b/f", ttl_s=5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), client.lock("/b/f", wait_s=20):
                pass
        await held.release()


# People

def test_people_their_tokens_and_passwords(fluffy: Fluffy, door: Door) -> None:
    user = fluffy.add_user("alice", password="correct horse")
    assert (user.name, user.role, user.is_disabled) == ("alice", "user", False)
    assert "alice" in [one.name for one in fluffy.users()] and fluffy.user("alice").name == "alice"
    with Fluffy(door.url, patience_s=5.0) as alice:
        with pytest.raises(Unauthenticated):
            alice.login("alice", "wrong")
        login = alice.login("alice", "correct horse", label="laptop", ttl_s=3600)
        assert login.user == "alice" and login.token not in repr(login)
        me = alice.whoami()
        assert (me.user, me.role, me.buckets, me.token_id) == ("alice", "user", ("alice",), login.token_id)
        assert me.rights == {"alice": "owner"}
        alice.put("/alice/f", b"mine")
        alice.set_password("correct horse", "battery staple")
        made = alice.add_token("script", ttl_s=60)
        assert {token.label for token in alice.tokens()} == {"laptop", "script"}
        alice.revoke_token(made.token_id)
        with pytest.raises(AccessDenied):
            alice.users()
        assert alice.quota().files == 1
        alice.logout()
        with pytest.raises(Unauthenticated):
            alice.whoami()
    assert [token.label for token in fluffy.tokens("alice")] == []
    fluffy.change_user("alice", role="readonly", disabled=True)
    assert fluffy.user("alice").is_disabled and fluffy.user("alice").role == "readonly"
    fluffy.change_user("alice", drop_password=True)
    assert fluffy.user("alice").document["has_password"] is False
    with pytest.raises(UserOwnsFiles):
        fluffy.remove_user("alice")
    fluffy.remove_user("alice", give_to="admin")
    with pytest.raises(UserNotFound):
        fluffy.user("alice")
    assert fluffy.get("/alice/f") == b"mine"


def test_rights_quotas_and_rules_of_buckets(fluffy: Fluffy, door: Door, at: str) -> None:
    bucket = at.strip("/")
    fluffy.add_user("bob")
    token = fluffy.add_token("test", user="bob").token
    fluffy.put(f"{at}/f", b"12345")
    with Fluffy(door.url, token, patience_s=5.0) as bob:
        with pytest.raises(AccessDenied):
            bob.get(f"{at}/f")
        fluffy.grant(bucket, "bob", "read")
        assert bob.get(f"{at}/f") == b"12345"
        assert [(one.user, one.right) for one in fluffy.grants(bucket)] == [("bob", "read")]
        assert bucket in bob.whoami().buckets
        fluffy.revoke(bucket, "bob")
        with pytest.raises(AccessDenied):
            bob.get(f"{at}/f")
    fluffy.set_quota("bucket", bucket, bytes_max=10, files_max=5)
    quota = fluffy.set_quota("bucket", bucket, files_max=None)
    assert (quota.bytes_max, quota.files_max, quota.bytes) == (10, None, 5)
    with pytest.raises(QuotaExceeded):
        fluffy.put(f"{at}/g", b"123456")
    assert fluffy.quota(bucket=bucket) == quota
    ruled = fluffy.set_bucket(bucket, trash_days=3, versions_max=2)
    assert (ruled.trash_days, ruled.versions_max) == (3, 2)
    assert fluffy.set_bucket(bucket, trash_days=None).trash_days is None
    assert fluffy.bucket(bucket).versions_max == 2 and bucket in [one.name for one in fluffy.buckets()]
    assert fluffy.set_bucket(bucket, owner="bob").owner == "bob"


def test_what_is_remembered_of_it(fluffy: Fluffy, door: Door) -> None:
    fluffy.add_user("carol", role="readonly")
    fluffy.change_user("carol", role="user")
    acts = [(line.who, line.target) for line in fluffy.audit(target="carol")]
    assert len(acts) >= 2 and {who for who, _ in acts} == {"admin"}
    numbers = [line.no for line in fluffy.audit()]
    assert numbers == sorted(numbers, reverse=True)
    assert [line.no for line in fluffy.audit_page(before=numbers[0], limit=1)] == [numbers[1]]
