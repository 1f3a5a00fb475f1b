"""What goes wrong, and when: drawn from the seed, one trouble after another, until the calm begins.

Troubles overlap: a partition lasts while a node dies, checkpoints run while another comes back. At most everything is
down for a while; at the end everything is up, connected and quick again. Each run knows only some kinds of trouble:
what needs three partitions in a row would otherwise never come, because something else always comes between ("swarm
testing", Groce et al., ISSTA 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fluffy.sim.clock import World
from fluffy.sim.member import Member
from fluffy.sim.network import SimNetwork

KIND_CHANCE = 0.5
DOWN_MAX_S = 1.5
LONG_DOWN_S = 4.0
PARTITION_MAX_S = 3.0
PAUSE_MAX_S = 2.0
# A crash hits in one of the next few disk operations: a turn has two or three, a compaction or an install five or more.
OPERATIONS_AHEAD_MAX = 12
SLOW_FSYNC_S = 0.15
NAMING = frozenset({"create", "rename", "unlink", "sync_folder"})
FILE_SYNC = frozenset({"fsync"})
# Between an append to the journal and its sync: what was written is lost or torn.
TAIL_SYNC = frozenset({"fdatasync"})


class Nemesis:
    """Call `start`; `calm` ends all troubles."""

    def __init__(self, world: World, members: list[Member], network: SimNetwork, *, every_s: float,
                 until_s: float) -> None:
        self._world = world
        self._members = members
        self._network = network
        self._every_s = every_s
        self._until_s = until_s
        self.counters: Counter[str] = Counter()
        kinds: list[tuple[float, str, Callable[[], None]]] = [
            (10, "kill", lambda: self._crash(self._victim(), power=False)),
            (10, "power", lambda: self._crash(self._victim(), power=True)),
            (10, "crash_in_disk_operation", self._crash_in_disk_operation),
            (3, "kill_all", lambda: self._crash_all(power=False)),
            (3, "power_all", lambda: self._crash_all(power=True)),
            (8, "long_down", self._long_down),
            (10, "isolate", self._isolate),
            (6, "one_way", self._one_way),
            (6, "cut_pair", self._cut_pair),
            (8, "break_streams", self._break_streams),
            (6, "pause", self._pause),
            (4, "slow_disk", self._slow_disk),
            (10, "checkpoint", self._checkpoint),
            (5, "checkpoint_all", self._checkpoint_all),
            (4, "transfer", self._transfer),
            (3, "clean_stop", self._clean_stop),
            (4, "move_wal", self._move_wal),
        ]
        self._troubles = [kind for kind in kinds if world.rng.random() < KIND_CHANCE] or kinds
        for member in members:
            member.on_crash_at_operation = self.back_soon

    def back_soon(self, crashed: Member) -> None:
        """Where a machine whose power failed at a planned moment comes from again."""
        self._restart_later(crashed, DOWN_MAX_S)

    def start(self) -> None:
        self._world.after(self._every_s, self._trouble)

    def calm(self) -> None:
        """All is well from now on."""
        self._world.note("calm")
        self._network.heal()
        for member in self._members:
            member.crash_at_operation = None
            member.paused_until_s = 0.0
            member.fsync_s = member.options.fsync_s
            member.start()
            member.wake()

    def _trouble(self) -> None:
        if self._world.now_s >= self._until_s:
            return
        weights = [weight for weight, _, _ in self._troubles]
        _, name, call = self._world.rng.choices(self._troubles, weights)[0]
        self.counters[f"trouble_{name}"] += 1
        self._world.note(f"trouble {name}")
        call()
        self._world.after(self._every_s * 2 * self._world.rng.random(), self._trouble)

    # -- choosing

    def _victim(self) -> Member:
        """The leader in half of the cases: that is where it hurts."""
        leaders = [member for member in self._members if member.node is not None and member.node.raft.is_leader]
        if leaders and self._world.rng.random() < 0.5:
            return leaders[-1]
        return self._world.rng.choice(self._members)

    def _pair(self) -> tuple[str, str]:
        one, other = self._world.rng.sample(self._members, 2)
        return one.name, other.name

    # -- death

    def _restart_later(self, member: Member, within_s: float) -> None:
        self._world.after(within_s * self._world.rng.random(), member.start)

    def _crash(self, member: Member, *, power: bool) -> None:
        if power:
            member.power_off()
        else:
            member.kill()
        self._restart_later(member, DOWN_MAX_S)

    def _crash_all(self, *, power: bool) -> None:
        for member in self._members:
            self._crash(member, power=power)

    def _crash_in_disk_operation(self) -> None:
        """Anywhere soon; or, seldom met by chance, where files are made or named, or where something is synced."""
        victim = self._victim()
        victim.crash_at_kinds = self._world.rng.choice((None, NAMING, FILE_SYNC, TAIL_SYNC))
        ahead = OPERATIONS_AHEAD_MAX if victim.crash_at_kinds is None else OPERATIONS_AHEAD_MAX // 4
        victim.crash_at_operation = self._world.rng.randrange(ahead)
        if victim.crash_at_kinds in (NAMING, FILE_SYNC):
            self._ask_for_checkpoint(victim)

    def _long_down(self) -> None:
        """Away for so long that the others have compacted their logs meanwhile."""
        away = self._victim()
        away.power_off()
        self._world.after(LONG_DOWN_S, away.start)
        for at_s in (LONG_DOWN_S * 0.5, LONG_DOWN_S * 0.8):
            self._world.after(at_s, self._checkpoint_all)

    def _clean_stop(self) -> None:
        member = self._victim()
        member.stop()
        self._restart_later(member, DOWN_MAX_S)

    # -- network

    def _block(self, ways: list[tuple[str, str]]) -> None:
        """Nothing passes these ways for a while."""
        for way in ways:
            self._network.block(*way)
        self._world.after(PARTITION_MAX_S * self._world.rng.random(), lambda: self._network.heal(ways))

    def _isolate(self) -> None:
        victim = self._victim().name
        others = [member.name for member in self._members if member.name != victim]
        self._block([(victim, other) for other in others] + [(other, victim) for other in others])

    def _one_way(self) -> None:
        """From one node to one or all others nothing passes; back it does."""
        victim, everybody = self._victim().name, self._world.rng.random() < 0.5
        inwards = self._world.rng.random() < 0.5
        others = [member.name for member in self._members if member.name != victim]
        chosen = others if everybody else [self._world.rng.choice(others)]
        self._block([(other, victim) if inwards else (victim, other) for other in chosen])

    def _cut_pair(self) -> None:
        one, other = self._pair()
        self._block([(one, other), (other, one)])

    def _break_streams(self) -> None:
        self._network.break_streams(*self._pair())

    # -- slowness

    def _pause(self) -> None:
        self._victim().pause(PAUSE_MAX_S * self._world.rng.random())

    def _slow_disk(self) -> None:
        member = self._victim()
        member.fsync_s = SLOW_FSYNC_S
        member.counters["slow_disk"] += 1

        def quick() -> None:
            member.fsync_s = member.options.fsync_s

        self._world.after(PAUSE_MAX_S * self._world.rng.random(), quick)

    # -- ordinary life at bad moments

    def _checkpoint(self) -> None:
        self._ask_for_checkpoint(self._victim())

    def _checkpoint_all(self) -> None:
        for member in self._members:
            self._ask_for_checkpoint(member)

    def _ask_for_checkpoint(self, member: Member) -> None:
        node = member.enter()
        if node is not None:
            node.checkpoints.request(lambda index: member.counters.update(checkpoint_answered=int(index is not None)))

    def _transfer(self) -> None:
        for member in self._members:
            node = member.enter()
            if node is not None and node.raft.is_leader:
                self.counters["leadership_transferred"] += node.transfer_leadership()

    def _move_wal(self) -> None:
        self.counters["wal_moved"] += self._victim().move_wal()
