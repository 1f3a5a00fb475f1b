"""Uploads in parts as a service: through several gateways whose answers are lost and whose chunks fail."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    BodyIncomplete,
    Conflict,
    DiskFull,
    NotEnoughCopies,
    NotFound,
    PartsMissing,
    ProposalLost,
    QuerySyntax,
    TooLarge,
    Unavailable,
)
from fluffy.base.ids import RequestId, new_request_id
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS, GIB, MIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.buffers import BufferPool
from fluffy.services.part_uploads import CompleteOrder, PartUploads
from fluffy.services.uploads import Promise, PutOrder, Uploads
from tests.services.test_uploads import BytesBody
from tests.support.local_log import BornCluster, born_cluster, genesis_command, header
from tests.support.memory_chunks import MemoryChunks
from tests.support.metadata_recount import check_state

CHUNK = 64 * 1024
ORDER = PutOrder("admin/big", "a/b", {}, {})


@dataclass
class LossyLog:
    """A log whose answers are lost at random: before or after what was proposed happened."""

    cluster: BornCluster
    rng: random.Random
    lose: float = 0.0
    lost: int = 0

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        await asyncio.sleep(0)
        draw = self.rng.random()
        if draw < self.lose / 2:
            self.lost += 1
            raise ProposalLost
        accepted = await self.cluster.log.propose(command, deadline)
        if draw < self.lose:
            self.lost += 1
            raise ProposalLost
        return accepted


@dataclass
class World:
    cluster: BornCluster
    log: LossyLog
    chunks: MemoryChunks
    gateways: list[PartUploads]

    def chunks_needed(self) -> int:
        return int(self.cluster.log.db.execute("SELECT ifnull(sum(refs), 0) FROM chunks").fetchone()[0])

    def content(self) -> bytes:
        version = self.cluster.reader.read(lambda db: queries.file_version(db, parse_path("admin/big")))
        assert version is not None
        return b"".join(self.chunks.stored[chunk.chunk_id] for chunk in version.chunks)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    genesis = genesis_command(chunk_size=CHUNK, inline_max=1_000)
    with born_cluster(tmp_path, genesis) as cluster, ThreadPoolExecutor(4) as threads:
        log, chunks = LossyLog(cluster, random.Random(7)), MemoryChunks()
        gateways = [PartUploads(log, Uploads(log, chunks, BufferPool(CHUNK, 8), threads,  # type: ignore[arg-type]
                                             chunk_size=CHUNK, inline_max=1_000)) for _ in range(3)]
        yield World(cluster, log, chunks, gateways)
        check_state(cluster.log.db)


def again(request_id: RequestId) -> Header:
    return Header(request_id, header().at_ms, header().proposer, header().user_no)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_answers_are_lost_every_part_counts_once_and_the_file_is_made_once(world: World,
                                                                                          seed: int) -> None:
    """Each request is repeated under its id, at any gateway; sometimes, as by another program, under a new one."""
    world.log.rng, world.log.lose = random.Random(seed), 0.5
    rng = random.Random(seed + 100)
    pieces = [os.urandom(rng.choice([1, 5_000, CHUNK, CHUNK + 7, 3 * CHUNK])) for _ in range(8)]

    def gateway() -> PartUploads:
        return rng.choice(world.gateways)

    async def persist(ask: object) -> object:
        request_id = new_request_id()
        while True:
            try:
                return await ask(again(request_id))  # type: ignore[operator]
            except ProposalLost:
                if rng.random() < 0.2:
                    request_id = new_request_id()

    request_id = new_request_id()
    while True:
        try:
            begun = await gateway().begin(again(request_id), ORDER)
            break
        except ProposalLost:
            continue
    numbers = [*range(1, 9), 2, 5]
    rng.shuffle(numbers)
    await asyncio.gather(*(persist(lambda head, n=n: gateway().put_part(
        head, begun.upload_id, n, Promise(blake3=blake3(pieces[n - 1]).digest()), BytesBody(pieces[n - 1])))
        for n in numbers))
    whole = b"".join(pieces)
    order = CompleteOrder(begun.upload_id, tuple((n, blake3(pieces[n - 1]).digest()) for n in range(1, 9)),
                          len(whole), blake3(whole).digest())
    answers = await asyncio.gather(*(persist(lambda head: gateway().complete(head, order)) for _ in range(4)))
    assert {answer.facts["generation"] for answer in answers} == {1}  # type: ignore[attr-defined]
    assert world.content() == whole and world.log.lost > 5
    assert world.cluster.log.db.execute("SELECT count(*) FROM upload_parts").fetchone() == (0,)


@pytest.mark.parametrize("seed", range(10))
async def test_an_abort_and_a_complete_at_once_end_in_one_of_both_and_leave_nothing(world: World, seed: int) -> None:
    rng = random.Random(seed)
    begun = await world.gateways[0].begin(header(), ORDER)
    await world.gateways[1].put_part(header(), begun.upload_id, 1, Promise(), BytesBody(b"x" * 2_000))

    async def end(act: str) -> str:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        try:
            if act == "abort":
                await world.gateways[1].abort(header(), begun.upload_id)
            else:
                await world.gateways[2].complete(header(), CompleteOrder(begun.upload_id))
        except (NotFound, Conflict):
            return "refused"
        return act
    acts = ["abort", "complete", "abort", "complete"]
    results = await asyncio.gather(*(end(act) for act in acts))
    done = {result for result in results if result != "refused"}
    assert len(done) == 1, "one of both, never both"
    files = world.cluster.reader.read(queries.usage).files
    assert (files, world.chunks_needed()) == ((1, 1) if done == {"complete"} else (0, 0))


@pytest.mark.parametrize("failure", [NotEnoughCopies(), DiskFull(), BodyIncomplete()])
async def test_a_part_that_cannot_be_stored_leaves_the_session_as_it_was(world: World, failure: Exception) -> None:
    gateway = world.gateways[0]
    begun = await gateway.begin(header(), ORDER)
    await gateway.put_part(header(), begun.upload_id, 1, Promise(), BytesBody(b"first" * 1_000))
    body = BytesBody(b"y" * 3 * CHUNK, cut_at=CHUNK if isinstance(failure, BodyIncomplete) else None)
    world.chunks.fail_write = None if isinstance(failure, BodyIncomplete) else failure  # type: ignore[assignment]
    with pytest.raises(type(failure)):
        await gateway.put_part(header(), begun.upload_id, 1, Promise(), body)
    world.chunks.fail_write = None
    with pytest.raises(PartsMissing):
        await gateway.complete(header(), CompleteOrder(begun.upload_id, ((1, blake3(b"y" * 3 * CHUNK).digest()),)))
    await gateway.complete(header(), CompleteOrder(begun.upload_id))
    assert world.content() == b"first" * 1_000


async def test_a_gateway_that_dies_between_bytes_and_log_leaves_a_part_to_be_sent_again(world: World) -> None:
    begun = await world.gateways[0].begin(header(), ORDER)
    world.cluster.log.refuse_with = Unavailable()
    with pytest.raises(Unavailable):
        await world.gateways[0].put_part(header(), begun.upload_id, 1, Promise(), BytesBody(b"z" * CHUNK))
    world.cluster.log.refuse_with = None
    assert world.chunks_needed() == 0, "its chunk is an orphan, as of any upload that failed"
    await world.gateways[1].put_part(header(), begun.upload_id, 1, Promise(), BytesBody(b"z" * CHUNK))
    await world.gateways[2].complete(header(), CompleteOrder(begun.upload_id))
    assert world.content() == b"z" * CHUNK


async def test_every_part_renews_the_lease(world: World) -> None:
    gateway = world.gateways[0]
    begun = await gateway.begin(header(), ORDER, lease_ms=DAY_MS)
    assert begun.expires_ms == begun.outcome.facts["expires_ms"]
    late = header(at_ms=begun.expires_ms - 1)
    stored = await gateway.put_part(late, begun.upload_id, 1, Promise(), BytesBody(b"x"))
    assert stored.outcome.facts["expires_ms"] == begun.expires_ms - 1 + DAY_MS


def test_the_proposed_part_size_is_of_whole_chunks_and_fits_the_file(world: World) -> None:
    gateway = world.gateways[0]
    assert gateway.part_size_for(None, None) == gateway.part_size_for(100 * MIB, None) == 8 * MIB
    assert gateway.part_size_for(900 * MIB, 5 * MIB) == 5 * MIB
    for size, wanted, error in ((GIB, None, TooLarge), (100_001, 10, QuerySyntax), (None, 0, QuerySyntax)):
        with pytest.raises(error):
            gateway.part_size_for(size, wanted)
