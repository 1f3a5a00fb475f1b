"""What several routes answer alike: a version that was just made, a moment that was asked for."""

from __future__ import annotations

from fluffy.base.errors import QuerySyntax
from fluffy.base.paths import RemotePath
from fluffy.base.units import GIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.outcomes import Accepted
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.shapes import version_json
from fluffy.wire.conditions import rfc3339
from fluffy.wire.times import parse_moment_ms

# A manifest of so many chunks takes milliseconds to read: longer ones are read in a thread.
LOOP_FILE_BYTES_MAX = GIB


async def read_version(desk: Desk, call: Call, path: RemotePath, generation: int | None) -> FileVersion | None:
    """A version with its bytes or chunks; `generation` None: the current one."""
    version = desk.reader.read(
        lambda db: queries.file_version(db, path, generation, size_max=LOOP_FILE_BYTES_MAX))
    if version is not None and version.size > LOOP_FILE_BYTES_MAX:
        version = await desk.reader.read_in_thread(
            lambda db: queries.file_version(db, path, generation), call.deadline)
    return version


async def version_answer(desk: Desk, call: Call, path: RemotePath, outcome: Accepted, **more: object) -> Answer:
    """The answer of a put, for a command that made (or found) a generation of the file at `path`.

    What is not known any more (a repeated request whose generation was purged meanwhile) is null.
    """
    call.point = Point(outcome.seq)
    generation = int(outcome.facts["generation"])
    status = 201 if outcome.facts.get("created") else 200
    version = await read_version(desk, call, path, generation)
    if version is None:
        modified_ms = outcome.facts.get("modified_ms")
        return json_answer({
            "path": str(path), "generation": generation, "size": None, "etag": None, "blake3": None, "chunks": None,
            "modified": None if modified_ms is None else rfc3339(modified_ms), **more}, status)
    return json_answer({**version_json(version), **more}, status, [("ETag", f'"{version.etag}"')])


def moment_of(desk: Desk, call: Call, name: str, *, is_end: bool = False) -> int | None:
    """The moment that parameter `name` means, None when it is absent. Raises QuerySyntax."""
    text = call.query.get(name)
    return None if text is None else parse_moment_ms(text, desk.clock.now_ms(), is_end=is_end)


def needed_moment(desk: Desk, call: Call, name: str) -> int:
    """The same, for one that must be there."""
    moment_ms = moment_of(desk, call, name)
    if moment_ms is None:
        raise QuerySyntax(f"say since when: ?{name}=2026-07-01T12:00:00Z, or ?{name}=-2h")
    return moment_ms
