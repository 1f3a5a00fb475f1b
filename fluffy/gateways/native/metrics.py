"""What this gateway process counts, in Prometheus' form at `/metrics`.

Counting happens on every request, so it is a few integer additions here; the metric families are built only when
somebody scrapes. Several workers on one port count each for itself: the label `worker` keeps their series apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# From a lookup in memory to a long transfer.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
# A process has few; the bound keeps a mistake (a path as a label) from growing without end.
TALLIES_MAX = 2000

Gauges = Callable[[], dict[str, tuple[str, float]]]


class Tally:
    """Requests of one route and status."""

    __slots__ = ("buckets", "received_bytes", "seconds", "sent_bytes")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self.sent_bytes = 0
        self.received_bytes = 0

    def add(self, seconds: float, sent_bytes: int, received_bytes: int) -> None:
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
        self.sent_bytes += sent_bytes
        self.received_bytes += received_bytes


class Metrics(Collector):
    """The counters of one door. `gauges` tells the values of the moment when asked: name -> (what it is, value)."""

    def __init__(self, node: str, worker: int, gauges: Gauges) -> None:
        self._labels = (node, str(worker))
        self._gauges = gauges
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def count(self, method: str, pattern: str, status: int, *, seconds: float, sent_bytes: int,
              received_bytes: int) -> None:
        key = (method, pattern, status)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= TALLIES_MAX:
                return
            tally = self._tallies[key] = Tally()
        tally.add(seconds, sent_bytes, received_bytes)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        labels = ["node", "worker", "method", "route", "status"]
        requests = HistogramMetricFamily("fluffy_http_request_seconds", "Time to answer requests.", labels=labels)
        sent = CounterMetricFamily("fluffy_http_sent_bytes", "Bytes of bodies sent.", labels=labels)
        received = CounterMetricFamily("fluffy_http_received_bytes", "Bytes of bodies received.", labels=labels)
        for (method, pattern, status), tally in list(self._tallies.items()):
            values = [*self._labels, method, pattern, str(status)]
            requests.add_metric(values, _cumulative(tally), tally.seconds)
            sent.add_metric(values, tally.sent_bytes)
            received.add_metric(values, tally.received_bytes)
        yield from (requests, sent, received)
        for name, (doc, value) in self._gauges().items():
            gauge = GaugeMetricFamily(f"fluffy_{name}", doc, labels=["node", "worker"])
            gauge.add_metric(list(self._labels), value)
            yield gauge

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


def _cumulative(tally: Tally) -> list[tuple[str, float]]:
    total, rows = 0, []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), tally.buckets, strict=True):
        total += count
        rows.append((bound, float(total)))
    return rows
