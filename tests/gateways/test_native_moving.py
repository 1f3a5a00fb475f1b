"""Something moves between any two looks that an answer is made from: it is told whole, or as not there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from fluffy.base.deadline import Deadline
from fluffy.core.metadata.commands_tree import Move
from fluffy.drivers.meta_reader import MetaReader
from tests.support.local_log import header
from tests.support.native_door import Door

T = TypeVar("T")
HERE, THERE = "admin/a", "admin/b"
# More looks than any of these answers takes.
LOOKS_MAX = 12


@dataclass(slots=True)
class RestlessReader:
    """The reader of a door; before look number `moves_at` the folder moves. Implements `ports.MetadataReader`."""

    reader: MetaReader
    move: Callable[[], None]
    moves_at: int
    looks: int = field(default=0)

    def _look(self) -> None:
        if self.looks == self.moves_at:
            self.move()
        self.looks += 1

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self._look()
        return self.reader.read(query)

    async def read_in_thread(self, query: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        self._look()
        return await self.reader.read_in_thread(query, deadline)


def listing_is_whole(value: Any) -> bool:
    return [entry["name"] for entry in value["entries"]] == ["f", "g"] and value["after"] is None


QUESTIONS: list[tuple[str, Callable[[Any], bool]]] = [
    ("/v1/info/admin/a", lambda value: (value["kind"], value["entries"], value["files"], value["bytes"])
     == ("folder", 2, 2, 30)),
    ("/v1/info/admin/a/f", lambda value: (value["kind"], value["size"], value["versions"]) == ("file", 10, 2)),
    ("/v1/dirs/admin/a", listing_is_whole),
    ("/v1/dirs/admin/a?limit=1000", listing_is_whole),
    ("/v1/dirs/admin/a?labels=1", listing_is_whole),
    ("/v1/files/admin/a/f", lambda value: value == 1111111111),
    ("/v1/versions/admin/a/f", lambda value: len(value["versions"]) == 2),
]


@pytest.mark.parametrize("starts_here", [True, False])
@pytest.mark.parametrize(("target", "is_whole"), QUESTIONS, ids=[target for target, _ in QUESTIONS])
async def test_an_answer_is_whole_or_says_that_nothing_is_there(
        door: Door, target: str, is_whole: Callable[[Any], bool], starts_here: bool) -> None:
    for body in (b"2222222222", b"1111111111"):
        await door.put(f"{HERE}/f", body)
    await door.put(f"{HERE}/g", bytes(20))
    place = HERE
    reader = door.desk.reader
    seen = set()

    def move() -> None:
        nonlocal place
        other = THERE if place == HERE else HERE
        door.cluster.log.apply(Move(header(), place, other))
        place = other

    for moves_at in range(LOOKS_MAX):
        if (place == HERE) is not starts_here:
            move()
        restless = door.desk.reader = RestlessReader(reader, move, moves_at)  # type: ignore[assignment]
        async with door.client.get(door.url + target) as answer:
            status, body = answer.status, await answer.read()
        door.desk.reader = reader
        assert restless.looks < LOOKS_MAX
        assert status == 404 or (status == 200 and is_whole(json.loads(body))), (moves_at, status, body)
        seen.add(status)
    assert (200 if starts_here else 404) in seen
