"""The protocol of jobs under many seeds: `python -m fluffy.sim.jobs_run --seeds 2000`.

Each seed is half a minute of trouble (nodes killed, paused, slow, full, emptied, one lost for good; changing leaders,
states that lag, messages late, lost and twice) and then calm, in which everything must be finished. Prints each
violation with its seed, and how often the rare paths were taken; exit code 1 when anything was broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fluffy.base.ids import NodeNo
from fluffy.core.health.log_time import LogTime
from fluffy.core.metadata.commands_jobs import RequestScrub
from fluffy.core.metadata.commands_members import DrainNode
from fluffy.core.metadata.digest import digest_of
from fluffy.sim.clock import Trace
from fluffy.sim.jobs_actors import Leader, Worker, Writer, fill
from fluffy.sim.jobs_checks import Node
from fluffy.sim.jobs_world import JobsWorld

TROUBLE_S = 30.0
# Longer than a stuck job waits until it is tried again for no reason.
CALM_S = 900.0
ELECTION_S = 1.5
# No message is later.
LATE_S = 25.0
# Of so many seeds each rare path is taken at least once, or the simulation does not prove what it is for.
SEEDS_FOR_ONE = 100
JUMP_MAX_MS = 3_600_000
PROGRESS_EVERY = 100
# The answers that seldom come; each must come often enough in many seeds.
RARE_PATHS = ("late_completions", "stolen_while_dying", "lease_end_over_leader_change", "drop_against_reupload",
              "claims_newer_than_drops", "kept", "kept_as_needed", "granted_again", "obsolete", "cancelled", "given_up",
              "duplicates", "sent_again", "end failed", "refused TermStale", "steals", "disks_lost", "clock_jumps")


@dataclass(frozen=True, slots=True)
class JobsResult:
    """What came of one seed. `trace`: the same for the same seed, always."""

    seed: int
    violations: tuple[str, ...]
    counters: Counter[str]
    entries: int
    simulated_s: float
    trace: str


def simulate(seed: int, trace: Trace | None = None) -> JobsResult:
    """Run one seed to its end."""
    world = JobsWorld(seed, trace)
    trouble = Trouble(world)
    world.run_until(TROUBLE_S, lambda: bool(world.checks.violations))
    if not world.checks.violations:
        trouble.calm()
        world.run_until(world.now_s + 2 * LATE_S)
        world.run_until(TROUBLE_S + CALM_S, lambda: bool(world.checks.violations) or not _unfinished(world))
        unfinished = world.checks.unfinished()
        if unfinished:
            world.checks.violation(f"not finished: {unfinished}")
        world.catch_up(len(world.entries))
        if digest_of(world.truth_db) != digest_of(world.behind_db):
            world.checks.violation("two states that applied the same entries are not equal")
    world.truth_db.close()
    world.behind_db.close()
    return JobsResult(seed, tuple(world.checks.violations), world.counters, len(world.entries), world.now_s,
                      world.trace.digest())


def _unfinished(world: JobsWorld) -> bool:
    """Asked after every event, so it looks seldom."""
    return world.events % 50 != 0 or bool(world.checks.unfinished())


class Trouble:
    """What happens to the nodes, and who leads."""

    def __init__(self, world: JobsWorld) -> None:
        self._world = world
        for node in world.nodes.values():
            node.skew_ms = world.rng.randrange(-1_000, 1_000)
            self._start(node)
        Leader(world, world.nodes[world.leader or next(iter(world.nodes))], world.term)
        fill(world)
        Writer(world)
        world.drift()
        if world.rng.random() < 0.3:
            world.nodes[self._any()].slowness = 6
        self._next()
        self._elect_if_needed()

    def _any(self) -> NodeNo:
        return self._world.rng.choice(list(self._world.nodes))

    def _start(self, node: Node) -> None:
        node.is_alive = True
        node.life += 1
        node.leads_in = None
        node.log_time = LogTime()
        self._world.later(node, 0.1, lambda: _work(self._world, node))

    def _next(self) -> None:
        world = self._world
        if world.is_calm:
            return
        node = world.nodes[self._any()]
        if not node.is_lost:
            happens = world.rng.choices(
                [self._kill, self._pause, self._depose, self._fill, self._drain, self._lag, self._wish, self._lose,
                 self._jump],
                [6, 8, 5, 2, 2, 3, 1, 1, 1])[0]
            happens(node)
        world.at(world.now_s + world.rng.expovariate(1 / 1.5), self._next)

    def _kill(self, node: Node) -> None:
        if not node.is_alive:
            return
        self._world.note(f"kill {node.no}")
        node.is_alive = False
        if self._world.leader == node.no:
            self._world.leader = None
        self._world.at(self._world.now_s + self._world.rng.uniform(0.3, 14.0), lambda: self._revive(node))

    def _revive(self, node: Node) -> None:
        if not node.is_alive and not node.is_lost:
            self._start(node)

    def _pause(self, node: Node) -> None:
        self._world.note(f"pause {node.no}")
        longest_s = self._world.rng.choice((0.3, 2.0, 5.0, 12.0))
        node.paused_until_s = self._world.now_s + longest_s * self._world.rng.random()

    def _depose(self, node: Node) -> None:
        """The leader loses its place; it may not notice for a while."""
        self._world.counters["leader_changes"] += 1
        self._world.leader = None

    def _fill(self, node: Node) -> None:
        node.is_full = not node.is_full

    def _drain(self, node: Node) -> None:
        world = self._world
        command = DrainNode(world.header(node), f"n{node.no}", world.rng.random() < 0.6)
        world.propose(node, command, lambda _: None)

    def _lag(self, node: Node) -> None:
        self._world.behind_frozen_until_s = self._world.now_s + self._world.rng.uniform(0.5, 6.0)

    def _wish(self, node: Node) -> None:
        self._world.propose(node, RequestScrub(self._world.header(node), (node.no,)), lambda _: None)

    def _jump(self, node: Node) -> None:
        """Somebody sets the node's wall clock wrong, up to an hour ahead, and soon after right."""
        world = self._world
        world.counters["clock_jumps"] += 1
        node.skew_ms = round(world.rng.choice((20_000, 300_000, JUMP_MAX_MS)) * world.rng.random())
        world.at(world.now_s + world.rng.uniform(0.5, 8.0), lambda: self._set_right(node))

    def _set_right(self, node: Node) -> None:
        node.skew_ms = self._world.rng.randrange(-1_000, 1_000)

    def _lose(self, node: Node) -> None:
        """At most one disk, and only when every chunk that a file needs is on another one too."""
        world = self._world
        if world.counters["disks_lost"] or not world.checks.can_lose(node):
            return
        world.counters["disks_lost"] += 1
        self._kill(node)
        node.is_lost, node.is_alive = True, False

    def _elect_if_needed(self) -> None:
        world = self._world
        leader = None if world.leader is None else world.nodes[world.leader]
        if leader is None or not world.is_running(leader):
            world.leader = None
            running = [node for node in world.nodes.values() if world.is_running(node)]
            if len(running) > len(world.nodes) // 2:
                self._elect(world.rng.choice(running))
        world.at(world.now_s + (0.2 if world.is_calm else world.rng.uniform(0.2, ELECTION_S)), self._elect_if_needed)

    def _elect(self, node: Node) -> None:
        world = self._world
        world.term += 1
        world.leader = node.no
        world.note(f"term {world.term} is led by {node.no}")
        term = world.term
        world.later(node, 0.1, lambda: _lead(world, node, term))

    def calm(self) -> None:
        """Everything that can come back does; nothing more goes wrong."""
        world = self._world
        world.is_calm = True
        world.behind_frozen_until_s = 0.0
        for node in world.nodes.values():
            node.paused_until_s = min(node.paused_until_s, world.now_s)
            node.slowness, node.is_full = 1, False
            self._set_right(node)
            self._revive(node)
        # An old wish to empty a node may still be on its way: the last word comes after it.
        for node in world.nodes.values():
            world.later(node, LATE_S, partial(self._fill_again, node))

    def _fill_again(self, node: Node) -> None:
        self._world.propose(node, DrainNode(self._world.header(node), f"n{node.no}", False), lambda _: None)


def _work(world: JobsWorld, node: Node) -> None:
    Worker(world, node)


def _lead(world: JobsWorld, node: Node, term: int) -> None:
    """After the barrier: the node has applied all before its term, or leads no more."""
    if world.term == term and world.leader == node.no:
        Leader(world, node, term)


def results(seeds: range, processes: int) -> Iterator[JobsResult]:
    """The result of each seed, in order."""
    if processes == 1:
        yield from map(simulate, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(simulate, seeds, chunksize=4)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fluffy.sim.jobs_run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="at once")
    parser.add_argument("--trace", type=Path, help="write every entry of one seed here")
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    seeds = range(options.start, options.start + options.seeds)
    if options.trace is not None:
        with options.trace.open("w") as file:
            broken = _report(simulate(seed, Trace(file)) for seed in seeds)
    else:
        broken = _report(results(seeds, options.processes))
    print(f"{len(seeds)} seeds, {broken} violations or paths not taken, {time.monotonic() - began_s:.0f} s")
    return 1 if broken else 0


def _report(found: Iterator[JobsResult]) -> int:
    broken = entries = seeds = 0
    counters: Counter[str] = Counter()
    simulated_s = 0.0
    for done, result in enumerate(found, start=1):
        for violation in result.violations:
            print(f"seed {result.seed}: {violation}", flush=True)
        broken += bool(result.violations)
        seeds = done
        counters += result.counters
        entries += result.entries
        simulated_s += result.simulated_s
        if done % PROGRESS_EVERY == 0:
            print(f"{done} seeds", file=sys.stderr, flush=True)
    print(f"{counters['acknowledged']} acknowledged writes, {counters['leased']} leases,"
          f" {counters['deleted']} deletions, {entries} entries in {simulated_s:.0f} simulated seconds")
    print("rare paths: " + ", ".join(f"{name} {counters[name]}" for name in RARE_PATHS))
    seldom = [name for name in RARE_PATHS if counters[name] < seeds // SEEDS_FOR_ONE]
    if seldom:
        print(f"taken fewer than {seeds // SEEDS_FOR_ONE} times: {', '.join(seldom)}")
    return broken + len(seldom)


if __name__ == "__main__":
    sys.exit(main())
