"""Appending to and overwriting parts of files: by many at once, repeated, cut short; each change whole and once."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    BodyIncomplete,
    DigestMismatch,
    FileNotFound,
    IsFolder,
    PreconditionFailed,
    ProposalLost,
    RangeIllegal,
    RequestIdReused,
)
from fluffy.base.ids import RequestId, new_request_id
from fluffy.base.paths import parse_file_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, DeleteFile, MakeFolder
from fluffy.core.metadata.commands_tree import PatchFile
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.buffers import BufferPool
from fluffy.services.part_bodies import MEMORY_BODY_BYTES_MAX
from fluffy.services.patches import Changed, Patches
from fluffy.services.uploads import PutOrder, Uploads
from tests.support.local_log import BornCluster, LocalLog, born_cluster, genesis_command, header
from tests.support.memory_chunks import MemoryChunks

CHUNK_SIZE = 1024 * 1024
INLINE_MAX = 1024
PATH = "admin/f"


@dataclass(slots=True)
class Bytes:
    """A body in memory. Implements `BodySource`."""

    data: bytes
    announced: bool = True
    missing: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        self.length = len(self.data) + self.missing if self.announced else None

    async def fill(self, out: memoryview) -> int:
        count = min(len(out), len(self.data))
        out[:count], self.data = self.data[:count], self.data[count:]
        return count


@dataclass(slots=True)
class Node:
    """One gateway's patches over the common log. `before`: called with each command; may change the world or raise."""

    log: LocalLog
    before: Callable[[Command], None] = lambda command: None
    lose_answers: int = 0
    proposals: list[Command] = field(default_factory=list)

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        self.proposals.append(command)
        await asyncio.sleep(0)
        self.before(command)
        try:
            outcome = await self.log.propose(command, deadline)
        finally:
            if self.lose_answers:
                self.lose_answers -= 1
                raise ProposalLost
        return outcome


@dataclass(slots=True)
class World:
    cluster: BornCluster
    chunks: MemoryChunks
    threads: ThreadPoolExecutor

    def gateway(self, **how: object) -> tuple[Node, Patches]:
        node = Node(self.cluster.log, **how)  # type: ignore[arg-type]
        uploads = Uploads(node, self.chunks, BufferPool(CHUNK_SIZE, 8), self.threads,  # type: ignore[arg-type]
                          chunk_size=CHUNK_SIZE, inline_max=INLINE_MAX)
        return node, Patches(node, self.cluster.reader, uploads, self.chunks,  # type: ignore[arg-type]
                             inline_max=INLINE_MAX)

    def version(self, generation: int | None = None) -> FileVersion:
        path = parse_file_path(PATH)
        version = self.cluster.reader.read(lambda db: queries.file_version(db, path, generation))
        assert version is not None
        return version

    def there(self) -> bool:
        return self.cluster.reader.read(lambda db: queries.kind_at(db, parse_file_path(PATH))) == "file"

    def content(self, generation: int | None = None) -> bytes:
        version = self.version(generation)
        data = version.inline if version.inline is not None else b"".join(
            self.chunks.stored[chunk.chunk_id] for chunk in version.chunks)
        assert len(data) == version.size
        assert version.blake3 in (b"", blake3(data).digest())
        return data


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    chunks = MemoryChunks()
    with ThreadPoolExecutor(2) as threads, born_cluster(
            tmp_path, genesis_command(chunk_size=CHUNK_SIZE, inline_max=INLINE_MAX)) as cluster:
        yield World(cluster, chunks, threads)
    assert chunks.held == 0


def order(**more: object) -> PutOrder:
    return PutOrder(PATH, "text/plain", {}, {}, **more)  # type: ignore[arg-type]


async def append(patches: Patches, data: bytes, request_id: RequestId | None = None, **more: object) -> Changed:
    return await patches.append(_header(request_id), order(**more), Bytes(data))


async def overwrite(patches: Patches, offset: int, data: bytes, request_id: RequestId | None = None,
                    **more: object) -> Changed:
    return await patches.overwrite(_header(request_id), order(**more), offset, Bytes(data))


def _header(request_id: RequestId | None = None):  # type: ignore[no-untyped-def]
    made = header()
    return type(made)(request_id or new_request_id(), made.at_ms, made.proposer, made.user_no)


# One writer

SIZES = (0, 1, INLINE_MAX, INLINE_MAX + 1, 70_000, MEMORY_BODY_BYTES_MAX, MEMORY_BODY_BYTES_MAX + 1, 3 * CHUNK_SIZE + 5)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", SIZES)
async def test_an_append_of_any_size_makes_a_file_and_adds_to_one(world: World, size: int, announced: bool) -> None:
    _, patches = world.gateway()
    first, second = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    made = await patches.append(_header(), order(), Bytes(first, announced))
    assert (made.offset, made.size, made.outcome.facts["created"]) == (0, size, True)
    assert world.content() == first and world.version().content_type == "text/plain"
    more = await patches.append(_header(), order(), Bytes(second, announced))
    assert (more.offset, more.size, more.outcome.facts["created"]) == (size, 2 * size, False)
    assert world.content() == first + second


async def test_a_file_grows_from_the_metadata_into_chunks(world: World) -> None:
    _, patches = world.gateway()
    expected = b""
    for number in range(60):
        line = b"%d" % number * 30 + b"\n"
        assert (await append(patches, line)).offset == len(expected)
        expected += line
    assert world.content() == expected and len(world.version().chunks) == 1


@pytest.mark.parametrize("size", [100, 5 * 1000, 3 * CHUNK_SIZE])
async def test_overwriting_changes_exactly_the_range(world: World, size: int) -> None:
    _, patches = world.gateway()
    rng = random.Random(size)
    content = rng.randbytes(size)
    await append(patches, content)
    for _ in range(12):
        offset = rng.randint(0, len(content))
        data = rng.randbytes(rng.choice([1, 10, 1000, 600_000]))
        changed = await overwrite(patches, offset, data)
        content = content[:offset] + data + content[offset + len(data):]
        assert (changed.offset, changed.size) == (offset, len(content))
        assert world.content() == content


async def test_unchanged_chunks_are_shared(world: World) -> None:
    _, patches = world.gateway()
    await append(patches, bytes(5 * CHUNK_SIZE))
    await overwrite(patches, 0, random.Random(3).randbytes(5 * CHUNK_SIZE))
    before = [chunk.chunk_id for chunk in world.version().chunks]
    await overwrite(patches, 2 * CHUNK_SIZE + 7, b"changed")
    after = [chunk.chunk_id for chunk in world.version().chunks]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False, True, True]


async def test_a_range_beyond_the_end_is_refused_and_at_the_end_it_is_an_append(world: World) -> None:
    _, patches = world.gateway()
    for size in (10, 5_000):
        await append(patches, bytes(size))
        end = world.version().size
        with pytest.raises(RangeIllegal) as failure:
            await overwrite(patches, end + 1, b"x")
        assert failure.value.facts["content_range"] == f"bytes */{end}"
        assert (await overwrite(patches, end, b"x")).size == end + 1


async def test_what_is_not_there_cannot_be_overwritten(world: World) -> None:
    _, patches = world.gateway()
    with pytest.raises(FileNotFound):
        await overwrite(patches, 0, b"x")
    world.cluster.log.apply(MakeFolder(header(), PATH, parents=True))
    for size in (1, 5000):
        with pytest.raises(IsFolder):
            await append(patches, bytes(size))


async def test_broken_bodies_change_nothing(world: World) -> None:
    _, patches = world.gateway()
    await append(patches, b"good")
    for size in (4, 100_000, MEMORY_BODY_BYTES_MAX + 9):
        with pytest.raises(BodyIncomplete):
            await patches.append(_header(), order(), Bytes(bytes(size), missing=1))
        with pytest.raises(DigestMismatch):
            await append(patches, bytes(size), blake3=blake3(b"other").digest())
        with pytest.raises(DigestMismatch):
            await append(patches, bytes(size), md5=hashlib.md5(b"other").digest())
    assert world.content() == b"good" and world.version().generation == 1


# Preconditions

@pytest.mark.parametrize("size", [10, 5000, 700_000])
async def test_a_change_may_demand_a_version(world: World, size: int) -> None:
    _, patches = world.gateway()
    with pytest.raises(PreconditionFailed):
        await append(patches, bytes(size), if_match="*")
    await append(patches, bytes(size))
    etag = world.version().etag
    for change in (append(patches, bytes(size), if_match="other"), overwrite(patches, 0, b"x", if_match="other")):
        with pytest.raises(PreconditionFailed) as failure:
            await change
        assert (failure.value.facts["etag"], failure.value.facts["generation"]) == (etag, 1)
    await append(patches, bytes(size), if_match=etag)
    assert (await append(patches, bytes(size), if_match="*")).size == 3 * size
    with pytest.raises(PreconditionFailed):
        await append(patches, bytes(size), if_match=etag)


async def test_a_demanded_version_that_is_replaced_meanwhile_is_not_built_on(world: World) -> None:
    _, other = world.gateway()
    await append(other, bytes(5000))
    etag = world.version().etag
    moved = False

    def move_on(command: Command) -> None:
        nonlocal moved
        if isinstance(command, PatchFile) and not moved:
            moved = True
            world.cluster.log.apply(PatchFile(header(), PATH, b"x" * 16, 1, 1, 0, 5000, b"", "new", None, (), ()))

    _, patches = world.gateway(before=move_on)
    with pytest.raises(PreconditionFailed) as failure:
        await append(patches, bytes(10), if_match=etag)
    assert failure.value.facts["etag"] == "new" and world.version().generation == 2


async def test_an_append_to_a_file_that_is_deleted_meanwhile_makes_it_anew(world: World) -> None:
    """Found by tests/faults/linearizable.py: it was refused with FileNotFound, which no order explains."""
    _, other = world.gateway()
    await append(other, bytes(5000))

    def delete_once(command: Command) -> None:
        if isinstance(command, PatchFile) and world.there():
            world.cluster.log.apply(DeleteFile(header(), PATH))

    _, patches = world.gateway(before=delete_once)
    changed = await append(patches, b"x" * 20)
    assert changed.offset == 0 and world.content() == b"x" * 20
    world.cluster.log.apply(DeleteFile(header(), PATH))
    await append(other, bytes(5000))
    with pytest.raises(FileNotFound):
        await overwrite(patches, 0, b"x" * 20)


async def test_a_repeated_request_goes_on_where_its_first_time_was_refused(world: World) -> None:
    """Found by tests/faults/linearizable.py: the refusal named the generation that the repeat was built on."""
    _, other = world.gateway()
    await append(other, bytes(5000))
    request_id = new_request_id()

    def cut_off(command: Command) -> None:
        if isinstance(command, PatchFile) and command.header.request_id == request_id:
            world.cluster.log.apply(PatchFile(header(), PATH, b"x" * 16, 1, 1, 0, 5000, b"", "new", None, (), ()))
            with suppress(PreconditionFailed):
                world.cluster.log.apply(command)
            raise ProposalLost

    _, dies = world.gateway(before=cut_off)
    with pytest.raises(ProposalLost):
        await overwrite(dies, 4000, b"y" * 2000, request_id)
    changed = await overwrite(other, 4000, b"y" * 2000, request_id)
    assert changed.outcome.facts["generation"] == 3 and world.content() == bytes(4000) + b"y" * 2000


# Many writers

@pytest.mark.parametrize("size", [20, 300])
async def test_lines_of_many_writers_at_several_gateways_all_land_whole_and_once(world: World, size: int) -> None:
    gateways = [world.gateway() for _ in range(3)]

    async def write(writer: int) -> None:
        for number in range(20):
            line = b"%d %d " % (writer, number) + b"x" * size + b"\n"
            await append(gateways[writer % 3][1], line)

    async with asyncio.TaskGroup() as group:
        for writer in range(20):
            group.create_task(write(writer))
    lines = world.content().splitlines()
    assert sorted((int(line.split()[0]), int(line.split()[1])) for line in lines) == [
        (writer, number) for writer in range(20) for number in range(20)]
    assert all(len(line.split()[2]) == size for line in lines)
    for writer in range(20):
        own = [int(line.split()[1]) for line in lines if int(line.split()[0]) == writer]
        assert own == list(range(20)), "one writer's lines keep their order"
    conflicts = sum(len(node.proposals) for node, _ in gateways) - 400
    assert conflicts > 0, "the writers did get into each other's way"


async def test_a_repeated_append_happens_once_wherever_it_goes(world: World) -> None:
    rng = random.Random(5)
    gateways = [world.gateway() for _ in range(3)]
    expected = 0

    async def write(number: int) -> None:
        request_id, data = new_request_id(), b"<%d>" % number + b"y" * rng.choice([5, 900, 1500, 600_000])
        offsets: list[int] = []
        gateways[number % 3][0].lose_answers += 1
        for attempt in range(20):
            try:
                offsets.append((await append(gateways[(number + attempt) % 3][1], data, request_id)).offset)
            except ProposalLost:
                continue
            if len(offsets) == 3:
                break
        assert len(offsets) == 3 and len(set(offsets)) == 1

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(write(number))
        expected = 12
    content = world.content()
    assert sorted(int(part.split(b">")[0]) for part in content.split(b"<")[1:]) == list(range(expected))


async def test_two_nodes_at_the_same_request_make_one_change(world: World) -> None:
    """A client that lost patience asks another node while the first is still at it."""
    _, one = world.gateway()
    _, two = world.gateway()
    await append(one, bytes(5000))
    for number in range(20):
        request_id, data = new_request_id(), b"%d" % number * (1 + number * 100)
        size = world.version().size
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(append(patches, data, request_id)) for patches in (one, two, one)]
            other = group.create_task(append(two, b"noise"))
        changes = {(task.result().offset, task.result().size) for task in tries}
        assert len(changes) == 1
        assert world.version().size == size + len(data) + 5
        assert other.result().size > size


@pytest.mark.parametrize("size", [50, 5000])
async def test_a_repeat_finds_its_answer_though_the_file_has_become_another_since(world: World, size: int) -> None:
    """The attempt was of one kind (a put, an append in the log), the repeat would be of another."""
    _, one = world.gateway()
    _, two = world.gateway()
    request_id, data = new_request_id(), bytes(size)
    first = await append(one, data, request_id)
    await append(two, bytes(5000))
    assert await append(two, data, request_id) == first
    world.cluster.log.apply(DeleteFile(header(), PATH))
    assert await append(two, data, request_id) == first
    request_id = new_request_id()
    await append(one, bytes(5000))
    first = await append(one, data, request_id)
    world.cluster.log.apply(DeleteFile(header(), PATH))
    assert await append(two, data, request_id) == first


async def test_a_repeated_overwrite_keeps_its_answer(world: World) -> None:
    _, patches = world.gateway()
    await append(patches, bytes(5000))
    done, refused = new_request_id(), new_request_id()
    first = await overwrite(patches, 4000, b"abc", done)
    with pytest.raises(RangeIllegal):
        await overwrite(patches, 6000, b"abc", refused)
    world.cluster.log.apply(DeleteFile(header(), PATH))
    assert await overwrite(patches, 4000, b"abc", done) == first
    with pytest.raises(RangeIllegal):
        await overwrite(patches, 6000, b"abc", refused)
    with pytest.raises(RequestIdReused):
        await overwrite(patches, 4001, b"abc", done)


async def test_a_request_id_is_for_one_body(world: World) -> None:
    _, patches = world.gateway()
    request_id = new_request_id()
    await append(patches, b"one", request_id)
    with pytest.raises(RequestIdReused):
        await append(patches, b"two", request_id)
    assert world.content() == b"one"


async def test_waiting_writers_are_forgotten_when_they_are_done(world: World) -> None:
    _, patches = world.gateway()
    await append(patches, bytes(5000))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(append(patches, b"x")) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
    assert patches._turns == {} and patches._bodies._memory._value == 32
    assert world.version().size in (5009, 5010)
