"""The metrics of a whole node, brought together by whichever gateway is asked.

The other processes are asked at the same time and have a second to tell. One that is dead or stands still costs that
second and its own values; that it did not tell is `fluffy_process_up` 0, and everything else is told all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluffy import __version__
from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FluffyError, NotReady
from fluffy.core.metadata import queries
from fluffy.core.repair.redundancy import LIVING_STATES, Coverage
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.log_client import LogClient
from fluffy.drivers.metric_sockets import ask_metrics
from fluffy.gateways.native.limits import Slots
from fluffy.ports import Clock, MetadataReader, NameSearch
from fluffy.services.repair_progress import RepairProgress
from fluffy.wire.metric_samples import Samples

TELL_TIMEOUT_S = 1.0
# Somebody who scrapes does it at least this often; while nobody does, nothing is counted.
SCRAPED_LATELY_S = 120.0
COUNT_EVERY_S = 5.0


def tell_slots(samples: Samples, kinds: dict[str, Slots]) -> None:
    for kind, slots in kinds.items():
        samples.add("fluffy_requests_running", slots.taken, kind)
        samples.add("fluffy_requests_refused_total", slots.refused, kind)


@dataclass(slots=True)
class LivingCopies:
    """How many copies of each chunk are on nodes that answer. A scan, so it is made beside the scrapes."""

    progress: Callable[[], RepairProgress | None]
    clock: Clock
    asked_s: float = -SCRAPED_LATELY_S
    coverage: Coverage | None = None

    async def run(self) -> None:
        """Count again and again, for ever, as long as somebody wants to know."""
        while True:
            progress = self.progress()
            if progress is not None and self.clock.monotonic_s() - self.asked_s < SCRAPED_LATELY_S:
                self.coverage = (await progress.now()).coverage
            await asyncio.sleep(COUNT_EVERY_S)

    def tell(self, samples: Samples) -> None:
        self.asked_s = self.clock.monotonic_s()
        cover = self.coverage
        if cover is not None:
            for state in ("whole", "short", "endangered", "away", "lost"):
                samples.add("fluffy_cluster_chunks_living", getattr(cover, state), state)


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """What is told once for the node, and what its other processes tell. `others`: the names of those, beside the log.
    """

    run_dir: Path
    others: Sequence[str]
    log: LogClient
    reader: MetadataReader
    names: NameSearch
    store: ChunkFiles
    clock: Clock
    living: LivingCopies

    async def gather(self) -> Sequence[tuple[str, Samples]]:
        """Never raises for what a process does."""
        deadline = Deadline.after(TELL_TIMEOUT_S)
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(self._ask(name, deadline)) for name in ("log", *self.others)}
            node = group.create_task(self._node())
        return [*((name, task.result()) for name, task in asked.items()), ("", node.result())]

    async def _ask(self, process: str, deadline: Deadline) -> Samples:
        try:
            if process == "log":
                return await self.log.metrics(deadline)
            return await ask_metrics(self.run_dir, process, deadline)
        except FluffyError:
            samples = Samples()
            samples.add("fluffy_process_up", 0)
            return samples

    async def _node(self) -> Samples:
        samples = Samples()
        free_bytes, size_bytes, quarantined = await asyncio.to_thread(
            lambda: (self.store.free_bytes(), self.store.total_bytes(), len(self.store.quarantined())))
        samples.add("fluffy_disk_free_bytes", free_bytes)
        samples.add("fluffy_disk_size_bytes", size_bytes)
        samples.add("fluffy_quarantined_files", quarantined)
        try:
            index = self.reader.read(lambda db: self.names.status(db, self.clock.now_ms()))
            samples.add("fluffy_search_rows", index.rows)
            samples.add("fluffy_search_ready", int(index.state == "ready"))
            samples.add("fluffy_search_behind_changes", index.behind)
            samples.add("fluffy_search_lag_seconds", index.lag_ms / 1000)
            tell_cluster(self.reader, samples)
        except (NotReady, DeadlineExceeded):
            return samples  # there is no catalog yet
        self.living.tell(samples)
        return samples


def tell_cluster(reader: MetadataReader, samples: Samples) -> None:
    """Sums that the state keeps, and a line for each member: never a scan. Raises NotReady."""
    state, usage, members, voters, queues = reader.read(lambda db: (
        queries.cluster_state(db), queries.usage(db), queries.members(db), queries.voters(db), queries.queues(db)))
    if state is None:
        return
    samples.add("fluffy_node_info", 1, state.cluster_name, __version__)
    for name, value in (("files", usage.files), ("bytes", usage.bytes), ("chunks", usage.chunks),
                        ("chunk_bytes", usage.chunk_bytes), ("chunks_short", usage.missing_chunks),
                        ("feature_level", state.feature_level)):
        samples.add(f"fluffy_cluster_{name}", value)
    by_node = {queue.node_no: queue for queue in queues}
    for member in members:
        name, queue = member.record.name, by_node.get(member.record.node_no)
        samples.add("fluffy_cluster_member_up", int(member.state in LIVING_STATES), name)
        samples.add("fluffy_cluster_member_voter", int(voters.get(name) == member.record.disk_uuid), name)
        samples.add("fluffy_cluster_member_chunks", member.chunks, name)
        samples.add("fluffy_cluster_member_bytes", member.bytes, name)
        samples.add("fluffy_cluster_jobs_queued", 0 if queue is None else queue.load.queued, name)
        samples.add("fluffy_cluster_jobs_leased", 0 if queue is None else queue.load.leased, name)
        samples.add("fluffy_cluster_jobs_stuck", 0 if queue is None else queue.stuck, name)
