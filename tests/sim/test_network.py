"""The simulated network keeps the promises of a stream, and breaks everything else."""

from __future__ import annotations

from typing import Any

import pytest

from fluffy.sim.clock import RunsInCircles, World
from fluffy.sim.network import SILENCE_MAX_S, NetworkTimes, SimLinks, SimNetwork
from fluffy.sim.scale import replaced

TIMES = NetworkTimes(delay=0.001, jitter=0.01, spike=0.5, spike_chance=0.1)


class End:
    """One process on the network: it receives whenever something arrives."""

    def __init__(self, links: SimLinks) -> None:
        self.links = links
        self.heard: list[Any] = []
        links.start(self)

    def link_up(self, name: str) -> None:
        self.heard.append(f"up {name}")

    def link_down(self, name: str) -> None:
        self.heard.append(f"down {name}")

    def link_message(self, name: str, message: dict[str, Any]) -> None:
        self.heard.append(message["term"])

    @property
    def numbers(self) -> list[int]:
        return [each for each in self.heard if isinstance(each, int)]


class Net:
    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.ends: dict[str, End] = {}
        self.network = SimNetwork(self.world, TIMES, self._wake)
        for name in ("a", "b"):
            self.attach(name)
        self.pass_time(1.0)

    def attach(self, name: str) -> None:
        links = self.network.attach(name)
        for peer in ("a", "b"):
            links.add_peer(peer)
        self.ends[name] = End(links)

    def _wake(self, name: str) -> None:
        self.world.after(0.0, self.ends[name].links.deliver)

    def pass_time(self, seconds: float) -> None:
        self.world.run_until(self.world.now_s + seconds)

    def send(self, sender: str, number: int) -> bool:
        return self.ends[sender].links.send("b" if sender == "a" else "a", {"type": "higher_term", "term": number})


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_keeps_order_and_loses_nothing(seed: int) -> None:
    net = Net(seed)
    assert net.ends["a"].heard == ["up b"] and net.ends["b"].heard == ["up a"]
    for number in range(100):
        assert net.send("a", number)
        net.pass_time(0.005)
    net.pass_time(2.0)
    assert net.ends["b"].numbers == list(range(100))


@pytest.mark.parametrize("seed", range(10))
def test_what_is_blocked_for_a_moment_comes_late_and_whole(seed: int) -> None:
    net = Net(seed)
    net.network.block("a", "b")
    for number in range(10):
        net.send("a", number)
    net.send("b", 77)
    net.pass_time(SILENCE_MAX_S / 2)
    assert net.ends["b"].numbers == [] and net.ends["a"].numbers == [77]
    assert net.ends["a"].links.backlog_bytes("b") > 0
    net.network.heal()
    net.pass_time(1.0)
    assert net.ends["b"].numbers == list(range(10)) and "down b" not in net.ends["a"].heard


def test_a_stream_blocked_for_long_is_given_up_and_made_anew() -> None:
    net = Net(1)
    net.network.block("a", "b")
    net.send("a", 1)
    net.pass_time(SILENCE_MAX_S * 2)
    assert "down a" in net.ends["b"].heard
    net.network.heal()
    net.pass_time(1.0)
    assert net.ends["b"].heard[-1] == "up a" and net.ends["b"].numbers == []
    assert net.ends["a"].heard[-1] == "up b"
    net.send("a", 2)
    net.pass_time(1.0)
    assert net.ends["b"].numbers == [2]


@pytest.mark.parametrize("seed", range(30))
def test_a_broken_stream_loses_its_end_and_nothing_of_it_comes_after_the_new_one(seed: int) -> None:
    net = Net(seed)
    for number in range(20):
        net.send("a", number)
        if number == 10:
            net.network.break_streams("a", "b")
        net.pass_time(0.002)
    net.pass_time(3.0)
    net.send("a", 100)
    net.pass_time(1.0)
    heard = net.ends["b"].heard
    numbers = net.ends["b"].numbers
    assert numbers[-1] == 100 and numbers == sorted(numbers)
    last_up = len(heard) - 1 - heard[::-1].index("up a")
    old = [each for each in heard[:last_up] if isinstance(each, int)]
    assert old == list(range(len(old))), "a prefix of what the old stream carried"


def test_a_killed_process_is_missed_at_once_and_a_dead_machine_after_silence() -> None:
    for silently, seconds in ((False, 0.6), (True, 2 * SILENCE_MAX_S)):
        net = Net(3)
        net.network.detach("b", silently=silently)
        net.pass_time(0.01 if silently else seconds)
        assert ("down b" in net.ends["a"].heard) is not silently
        net.pass_time(seconds)
        assert "down b" in net.ends["a"].heard
        net.attach("b")
        net.pass_time(1.0)
        assert net.ends["a"].heard[-1] == "up b" and net.ends["b"].heard == ["up a"]


def test_time_passes_in_order_and_ties_keep_the_order_of_asking() -> None:
    world = World(0)
    order: list[int] = []
    world.after(2.0, lambda: order.append(3))
    world.after(1.0, lambda: order.append(1))
    world.after(1.0, lambda: order.append(2))
    world.at(-5.0, lambda: order.append(0))
    world.run_until(10.0)
    assert order == [0, 1, 2, 3] and world.now_s == 10.0


def test_a_world_that_stands_still_is_stopped() -> None:
    world = World(0)

    def again() -> None:
        world.after(0.0, again)

    again()
    with pytest.raises(RunsInCircles), replaced([(type(world), "run_until", World.run_until)]):
        world.run_until(1.0)
