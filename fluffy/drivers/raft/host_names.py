"""Where hosts are, asked for beside the loop: a slow name server must not hold up heartbeats.

getaddrinfo(3) blocks for as long as the system's resolver likes (resolv.conf(5): five seconds an attempt). Here it runs
in a thread, once per host at a time. Whoever wants an address gets what is known at that moment, and asks again later.
What was known once stays in use while it is asked for anew, and when the name server does not answer: a member does
not move because of that.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

log = logging.getLogger(__name__)

# A pod that was started anew has another address: look again, but not at every attempt to reach it.
FRESH_S = 5.0
# Between questions that were not answered.
ASK_AGAIN_S = 1.0
# As many questions may hang at once; further hosts wait. More than the voters of a cluster, which are at most seven.
QUESTIONS_MAX = 16
# Members that were. More than any cluster has.
HOSTS_MAX = 1024
# The same complaint about the same host.
COMPLAINT_EVERY_S = 60.0

Place = tuple[socket.AddressFamily, tuple[Any, ...]]
Resolve = Callable[[str, int], list[Place]]


def numeric(host: str, port: int) -> Place | None:
    """The place of an address in digits, without asking anybody; None: `host` is a name."""
    try:
        return _places(host, port, flags=socket.AI_NUMERICHOST)[0]
    except (OSError, UnicodeError):
        return None


def ask_the_system(host: str, port: int) -> list[Place]:
    """Blocks. Raises OSError (gaierror), or UnicodeError for what can be no name."""
    return _places(host, port)


def _places(host: str, port: int, flags: int = 0) -> list[Place]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, place) for family, _, _, _, place in found]


@dataclass(slots=True)
class _Known:
    """About one host and port."""

    places: list[Place] = field(default_factory=list)
    asking: bool = False
    ask_at_s: float = 0.0
    tries: int = 0
    complained_s: float = -1e9


@dataclass(frozen=True, slots=True)
class _Answer:
    host: str
    port: int
    places: list[Place]
    error: str


class HostNames:
    """Single-threaded, as its owner's loop; only the questions are threads, and tell by a queue."""

    def __init__(self, clock: Callable[[], float], resolve: Resolve = ask_the_system) -> None:
        self._clock = clock
        self._resolve = resolve
        self._known: dict[tuple[str, int], _Known] = {}
        self._answers: SimpleQueue[_Answer] = SimpleQueue()

    def place_of(self, host: str, port: int) -> Place | None:
        """Where to connect to now; None: not known yet. Never blocks. A host with several addresses: one by one."""
        place = numeric(host, port)
        if place is not None:
            return place
        self._take_answers()
        known = self._known.get((host, port))
        if known is None:
            if len(self._known) >= HOSTS_MAX:
                self._known = {key: each for key, each in self._known.items() if each.asking}
            known = self._known[host, port] = _Known()
        if not known.asking and self._clock() >= known.ask_at_s:
            self._ask(host, port, known)
        if not known.places:
            return None
        known.tries += 1
        return known.places[(known.tries - 1) % len(known.places)]

    def _ask(self, host: str, port: int, known: _Known) -> None:
        if sum(each.asking for each in self._known.values()) >= QUESTIONS_MAX:
            return
        known.asking = True
        # A daemon: nobody waits at the end for a name server.
        threading.Thread(target=self._question, args=(host, port), name=f"name-of-{host}", daemon=True).start()

    def _question(self, host: str, port: int) -> None:
        try:
            self._answers.put(_Answer(host, port, self._resolve(host, port), ""))
        except (OSError, UnicodeError) as error:
            self._answers.put(_Answer(host, port, [], str(error)))

    def _take_answers(self) -> None:
        now = self._clock()
        while True:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                return
            known = self._known.get((answer.host, answer.port))
            if known is None:
                continue
            known.asking = False
            known.ask_at_s = now + (FRESH_S if answer.places else ASK_AGAIN_S)
            if answer.places:
                known.places = answer.places
            elif now - known.complained_s > COMPLAINT_EVERY_S:
                known.complained_s = now
                log.warning("raft.host_unknown", extra={"host": answer.host, "error": answer.error})
