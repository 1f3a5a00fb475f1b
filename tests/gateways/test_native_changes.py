"""Following changes: as pages, and as a stream of events that ends only when somebody ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from fluffy.core.metadata.model import Change
from fluffy.gateways.native import changes
from fluffy.gateways.native.limits import Slots
from tests.support.asking import Asker, admin_of, grant, user_of
from tests.support.native_door import Door


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def until(holds: Callable[[], bool]) -> None:
    """Wait, at most five seconds, until the door has noticed something."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@dataclass(slots=True)
class Event:
    id: int | None
    kind: str
    data: dict[str, object]


class Stream:
    """Reads server-sent events from an answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.position: int | None = None

    async def next(self) -> Event | None:
        """The next event; None when the stream has ended. Blocks without an event only move the position."""
        event = Event(None, "", {})
        async with asyncio.timeout(10):
            while line := (await self.answer.content.readline()):
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    event.id = self.position = int(value)
                elif name == "event":
                    event.kind = value
                elif name == "data":
                    event.data = json.loads(value)
                elif not line.strip() and event.kind:
                    return event
        return None


@asynccontextmanager
async def followed(asker: Asker, since: int = 0, **headers: str) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {asker.token}", "Accept": "text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with aiohttp.ClientSession() as session, session.get(
            f"{asker.door.url}/v1/changes?since={since}", headers=sent) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream", await answer.text()
        assert "Content-Length" not in answer.headers
        yield Stream(answer)


async def test_a_stream_tells_what_was_and_then_what_comes(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/a", b"1")
    async with followed(admin) as stream:
        kinds = [(event.data["kind"], event.data["path"]) for event in [await stream.next() for _ in range(2)] if event]
        assert kinds == [("bucket-made", "/admin"), ("file-put", "/admin/a")]
        await admin.must("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/b"})
        event = await stream.next()
        assert event is not None and event.kind == "change"
        assert (event.data["kind"], event.data["source"], event.data["path"]) == ("file-moved", "/admin/a", "/admin/b")
        assert event.id == event.data["seq"]
        last = event.id
    await admin.must("PUT", "/v1/files/admin/c", b"1")
    async with followed(admin, 0, Last_Event_ID=str(last)) as stream:
        event = await stream.next()
        assert event is not None and event.data["path"] == "/admin/c"


async def test_a_stream_shows_only_what_its_asker_may_see_at_that_time(admin: Asker, door: Door) -> None:
    bob = user_of(door, "bob")
    async with followed(bob) as stream:
        await admin.must("PUT", "/v1/files/admin/hidden", b"1")
        await bob.must("PUT", "/v1/files/bob/mine", b"1")
        paths = []
        while "/bob/mine" not in paths:
            event = await stream.next()
            assert event is not None
            paths.append(event.data["path"])
        assert all(str(path).startswith("/bob") for path in paths)
        grant(door, "admin", "bob", "read")
        await admin.must("PUT", "/v1/files/admin/shown", b"1")
        event = await stream.next()
        assert event is not None and event.data["path"] == "/admin/shown"


def test_a_move_out_of_sight_is_a_deletion_and_one_into_sight_something_new() -> None:
    def change(kind: str, path: str, source: str = "") -> Change:
        return Change(1, 0, kind, path, 1, 5, "x", source)

    def seen(given: Change) -> list[tuple[str, str, str]]:
        shown = changes.visible_changes((given,), lambda path: path.startswith("mine"))
        return [(line.kind, line.path, line.source) for line in shown]

    assert seen(change("file-moved", "mine/a", "theirs/b")) == [("file-put", "mine/a", "")]
    assert seen(change("file-moved", "theirs/a", "mine/b")) == [("file-deleted", "mine/b", "")]
    assert seen(change("folder-moved", "mine/a", "theirs/b")) == [("folder-undeleted", "mine/a", "")]
    assert seen(change("folder-moved", "theirs/a", "mine/b")) == [("folder-deleted", "mine/b", "")]
    assert seen(change("file-moved", "mine/a", "mine/b")) == [("file-moved", "mine/a", "mine/b")]
    assert seen(change("file-moved", "theirs/a", "theirs/b")) == []
    assert seen(change("folder-undeleted", "mine/a", "theirs/b")) == [("folder-undeleted", "mine/a", "")]
    assert seen(change("folder-undeleted", "theirs/a", "mine/b")) == []
    assert seen(change("file-put", "theirs/a")) == []


async def test_a_stream_that_has_nothing_to_tell_shows_that_it_lives(admin: Asker,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(changes, "LOOK_EVERY_S", 0.02)
    async with followed(admin, 10**6) as stream:
        lines = [await stream.answer.content.readline() for _ in range(8)]
    assert lines.count(b": alive\n") >= 2 and b"id: 1000000\n" in lines


async def test_a_stream_ends_when_the_door_closes(admin: Asker, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_EVERY_S", 0.05)
    async with followed(admin, 10**6) as stream:
        await stream.answer.content.readline()
        door.desk.drain()
        assert await stream.next() is None and stream.answer.content.at_eof()
        assert door.desk.streaming.taken == 0
        # Nobody waits for half a minute at a closing door.
        page = await admin.must("GET", "/v1/changes?since=1000000&wait_s=30")
        assert (page["changes"], page["next"], page["more"]) == ([], 1000000, False)


async def test_a_stream_ends_with_its_token(admin: Asker, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_EVERY_S", 0.02)
    bob = user_of(door, "bob")
    async with followed(bob) as stream:
        first = await stream.next()
        assert first is not None and first.data["path"] == "/bob"
        await admin.must("PATCH", "/v1/admin/users/bob", {"disabled": True})
        await admin.must("PUT", "/v1/files/admin/f", b"1")
        event = await stream.next()
        assert event is not None and event.kind == "error"
        assert event.data["error"]["code"] == "Unauthenticated"  # type: ignore[index]
        assert await stream.next() is None


async def test_a_stream_from_before_the_kept_history_says_so(admin: Asker, door: Door) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    door.cluster.log.db.execute("UPDATE state SET changes_cut = 2")
    async with followed(admin, 1) as stream:
        event = await stream.next()
        assert event is not None and event.kind == "error"
        assert event.data["error"]["code"] == "HistoryCut" and event.data["error"]["oldest"] == 2  # type: ignore[index]
        assert await stream.next() is None


async def test_the_number_of_streams_is_bounded_and_places_come_back(admin: Asker, door: Door) -> None:
    door.desk.streaming = Slots(2, "streams of changes")
    async with followed(admin), followed(admin):
        told = await admin.ask("GET", "/v1/changes", Accept="text/event-stream")
        assert (told.status, told.code) == (503, "Overloaded")
    await until(lambda: door.desk.streaming.taken == 0)
    told = await admin.ask("GET", "/v1/changes?limit=5", Accept="text/event-stream")
    assert told.code == "QuerySyntax"


async def test_positions_without_a_change_do_not_stop_a_follower(admin: Asker) -> None:
    """Freeing an old generation counts, but changes no name."""
    for data in (b"1", b"2"):
        await admin.must("PUT", "/v1/files/admin/f", data)
    page = await admin.must("GET", "/v1/changes?since=0")
    await admin.must("DELETE", "/v1/files/admin/f?purge=1&generation=1")
    after = await admin.must("GET", f"/v1/changes?since={page['next']}")
    assert after["changes"] == [] and after["next"] > page["next"]
    assert (await admin.must("GET", f"/v1/changes?since={after['next']}"))["next"] == after["next"]
