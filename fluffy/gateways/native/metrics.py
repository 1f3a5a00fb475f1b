"""What a door counts, and the page `/metrics` of a whole node in Prometheus' form.

Counting happens on every request, so it is a few integer additions here; the page is made only when somebody asks.
Which metrics there are is written in fluffy/wire/metric_families.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fluffy.base.histogram import SECONDS, Histogram
from fluffy.wire.metric_families import FAMILIES, Family
from fluffy.wire.metric_samples import Samples, unpack_samples

# A process has few; the bound keeps a mistake (a path as a label) from growing without end.
TALLIES_MAX = 2000
# Anybody may ask at any rate: so long one page serves all.
PAGE_KEPT_S = 0.2

Tell = Callable[[Samples], None]
# What the other processes of the node count, by their names.
Gather = Callable[[], Awaitable[Sequence[tuple[str, Samples]]]]


class Tally:
    """Requests of one route and status."""

    __slots__ = ("received_bytes", "seconds", "sent_bytes")

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self.sent_bytes = 0
        self.received_bytes = 0


async def _nobody_else() -> Sequence[tuple[str, Samples]]:
    return ()


class Metrics:
    """The counters of one door, and the page of its node.

    `sources` tell the values of the moment when asked; `gather` brings what other processes count.
    """

    def __init__(self, node: str, process: str, sources: Iterable[Tell] = (), gather: Gather = _nobody_else) -> None:
        self._node = node
        self._process = process
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._page = b""
        self._page_until_s = 0.0
        self._making = asyncio.Lock()
        self.sources = list(sources)
        self.gather = gather

    def count(self, method: str, pattern: str, status: int, *, seconds: float, sent_bytes: int,
              received_bytes: int) -> None:
        key = (method, pattern, status)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= TALLIES_MAX:
                return
            tally = self._tallies[key] = Tally()
        tally.seconds.observe(seconds)
        tally.sent_bytes += sent_bytes
        tally.received_bytes += received_bytes

    def samples(self) -> Samples:
        """What this process counts."""
        samples = Samples()
        for (method, pattern, status), tally in self._tallies.items():
            labels = (method, pattern, str(status))
            samples.add("fluffy_http_request_duration_seconds", tally.seconds, *labels)
            samples.add("fluffy_http_sent_bytes_total", tally.sent_bytes, *labels)
            samples.add("fluffy_http_received_bytes_total", tally.received_bytes, *labels)
        samples.add("fluffy_process_up", 1)
        for tell in self.sources:
            tell(samples)
        return samples

    async def text(self) -> bytes:
        """The page; made in a thread, because a node with many routes has thousands of lines."""
        loop = asyncio.get_running_loop()
        async with self._making:
            if loop.time() >= self._page_until_s:
                others = await self.gather()
                # Through the packed form, so that the thread reads what nobody counts on any more.
                own = self.samples().pack()
                self._page = await asyncio.to_thread(_page_of, self._node, self._process, own, others)
                self._page_until_s = loop.time() + PAGE_KEPT_S
            return self._page


def page(node: str, parts: Sequence[tuple[str, Samples]]) -> bytes:
    """The exposition format of what the processes of a node tell."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Parts(node, parts))
    return generate_latest(registry)


class _Parts(Collector):
    def __init__(self, node: str, parts: Sequence[tuple[str, Samples]]) -> None:
        self._node = node
        self._parts = parts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        for family in FAMILIES.values():
            metric = _metric(family)
            for process, samples in self._parts:
                for labels, value in samples.by_family.get(family.name, {}).items():
                    own = (self._node, process) if family.scope == "process" else (self._node,)
                    if isinstance(metric, HistogramMetricFamily) and isinstance(value, Histogram):
                        metric.add_metric((*own, *labels), _cumulative(value), value.total)
                    elif isinstance(metric, CounterMetricFamily | GaugeMetricFamily) and isinstance(value, int | float):
                        metric.add_metric((*own, *labels), value)
            if metric.samples:
                yield metric


def _metric(family: Family) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    match family.kind:
        case "counter":
            return CounterMetricFamily(family.name, family.help, labels=family.all_labels)
        case "gauge":
            return GaugeMetricFamily(family.name, family.help, labels=family.all_labels)
        case "histogram":
            return HistogramMetricFamily(family.name, family.help, labels=family.all_labels)


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    total, rows = 0, []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        rows.append((bound, float(total)))
    return rows


def _page_of(node: str, process: str, own: bytes, others: Sequence[tuple[str, Samples]]) -> bytes:
    return page(node, [(process, unpack_samples(own)), *others])
