"""Who asks, in each cluster: the owner of the token that was shown, as that cluster knows it.

A token is shown to the supernode only. Clusters are asked about its hash, which opens nothing without the supernode's
own token; so no cluster gets to see a credential of another one. What a cluster said is kept for a moment, so a burst
of searches costs one question; a cluster that is away is believed for a while longer (its names are stale as well).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, Unauthenticated, Unavailable
from fluffy.core.federation.tree import Sight
from fluffy.ports import Clock
from fluffy.ports_federation import SightAnswer
from fluffy.services.federation.follower import ClusterFollower

# A right that was taken back is gone from answers after this (and one more answer given while asking).
KEPT_S = 2.0
# Older than that, whoever asks waits for the cluster's word.
USABLE_S = 10.0
# A cluster that is away cannot take rights back; it does not get less trustworthy for some minutes.
AWAY_USABLE_S = 900.0
# A token that a cluster does not know: asked again after this.
UNKNOWN_KEPT_S = 5.0
ASK_S = 2.0
KNOWN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hashes of tokens, in hex. `general`: tried at every cluster; `named`: for this cluster alone."""

    general: str | None
    named: Mapping[str, str] = field(default_factory=dict)

    def of(self, cluster: str) -> str | None:
        return self.named.get(cluster, self.general)


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody in one cluster. `token_hash`: as whom the supernode asks there."""

    cluster: str
    token_hash: str
    user: str
    role: str
    sight: Sight


@dataclass(frozen=True, slots=True)
class _Known:
    asker: Asker | None  # None: the cluster knows no such token
    at_s: float


class Askers:
    """`run` must be running. `followers`: the clusters, by name; may change."""

    def __init__(self, followers: Mapping[str, ClusterFollower], clock: Clock) -> None:
        self._followers = followers
        self._clock = clock
        self._known: LRUCache[tuple[str, str], _Known] = LRUCache(KNOWN_MAX)
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """The parent of all questions, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.get_running_loop().create_future()

    async def everywhere(self, credentials: Credentials, deadline: Deadline,
                         clusters: Iterable[str] | None = None) -> dict[str, Asker]:
        """In which clusters the asker is known, and as whom. Raises Unauthenticated when it is in none.

        While no cluster at all could be asked: Unavailable.
        """
        wanted = {name: token for name in sorted(self._followers if clusters is None else clusters)
                  if (token := credentials.of(name)) is not None and name in self._followers}
        waiting = [task for name, token in wanted.items() if (task := self._question(name, token)) is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=deadline.at_most(ASK_S).left_s)
        found = {name: known.asker for name, token in wanted.items()
                 if (known := self._known.get((name, token))) is not None and known.asker is not None
                 and self._is_usable(name, known)}
        if not found and clusters is None:
            if wanted and not any((name, token) in self._known for name, token in wanted.items()):
                raise Unavailable("no cluster can be asked who you are now; try again shortly")
            raise Unauthenticated("no cluster that this supernode has joined knows that token")
        return found

    async def by_word_of_now(self, asker: Asker, deadline: Deadline) -> Asker:
        """The same one, asked about once more; as known before while the cluster does not answer."""
        key, follower = (asker.cluster, asker.token_hash), self._followers.get(asker.cluster)
        if follower is None or not follower.breaker.is_closed or self._group is None:
            return asker
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = self._group.create_task(self._ask(follower, asker.token_hash))
        await asyncio.wait([task], timeout=deadline.at_most(ASK_S).left_s)
        known = self._known.get(key)
        return asker if known is None or known.asker is None else known.asker

    def _question(self, name: str, token: str) -> asyncio.Task[None] | None:
        """Ask when it is time to; a task when the answer has to be waited for."""
        known, now_s = self._known.get((name, token)), self._clock.monotonic_s()
        kept_s = UNKNOWN_KEPT_S if known is not None and known.asker is None else KEPT_S
        if known is not None and now_s - known.at_s <= kept_s:
            return None
        follower = self._followers[name]
        if not follower.breaker.is_closed or self._group is None:
            return None  # its follower finds out when it is back; who asked before is believed until then
        task = self._asking.get((name, token))
        if task is None:
            task = self._asking[name, token] = self._group.create_task(self._ask(follower, token))
        is_good = known is not None and known.asker is not None and now_s - known.at_s <= USABLE_S
        return None if is_good else task

    async def _ask(self, follower: ClusterFollower, token: str) -> None:
        key = (follower.name, token)
        try:
            answer = await follower.client.sight(token, Deadline.after(ASK_S))
        except Unauthenticated:
            self._known[key] = _Known(None, self._clock.monotonic_s())
        except FluffyError:
            return  # the follower notices, and its breaker says so
        else:
            self._known[key] = _Known(_asker(follower.name, token, answer), self._clock.monotonic_s())
        finally:
            del self._asking[key]

    def _is_usable(self, name: str, known: _Known) -> bool:
        is_away = not self._followers[name].is_reachable
        return self._clock.monotonic_s() - known.at_s <= (AWAY_USABLE_S if is_away else USABLE_S)


def _asker(cluster: str, token: str, answer: SightAnswer) -> Asker:
    return Asker(cluster, token, answer.user, answer.role, Sight(answer.buckets))
