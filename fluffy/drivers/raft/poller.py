"""Waits for sockets. The same three calls as the library's poller, on epoll, with two repairs.

The library's poller raises KeyError when one callback closes a socket whose event is in the same batch, and its
`poll` takes a list built anew on each call. Events already fetched for a descriptor that was unsubscribed meanwhile are
dropped here; a descriptor number reused within one batch gets a new registration, so it sees no old event.
"""

from __future__ import annotations

import select
from collections.abc import Callable

READ = 1
WRITE = 2
ERROR = 4

Callback = Callable[[int, int], None]

# More ready sockets than this wait for the next turn: a turn must stay short for the heartbeat.
EVENTS_PER_POLL_MAX = 256


class EpollPoller:
    """Interface of `pysyncobj.poller.Poller`: subscribe, unsubscribe, poll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._registered: dict[int, tuple[Callback, int]] = {}

    def subscribe(self, descriptor: int, callback: Callback, events: int) -> None:
        """Call `callback(descriptor, events)` when ready; replaces an earlier subscription of the same descriptor."""
        mask = (select.EPOLLIN if events & READ else 0) | (select.EPOLLOUT if events & WRITE else 0)
        known = self._registered.get(descriptor)
        self._registered[descriptor] = (callback, mask)
        if known is None:
            self._epoll.register(descriptor, mask)
        elif known[1] != mask:
            self._epoll.modify(descriptor, mask)

    def unsubscribe(self, descriptor: int) -> None:
        """Must be called before the descriptor is closed. Unknown descriptors are ignored."""
        if self._registered.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def poll(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` and run the callbacks of what is ready."""
        ready = self._epoll.poll(timeout_s, EVENTS_PER_POLL_MAX)
        batch = [(descriptor, mask, self._registered.get(descriptor)) for descriptor, mask in ready]
        for descriptor, mask, registered in batch:
            if registered is None or self._registered.get(descriptor) is not registered:
                continue
            events = (READ if mask & select.EPOLLIN else 0) | (WRITE if mask & select.EPOLLOUT else 0)
            if mask & (select.EPOLLERR | select.EPOLLHUP):
                events |= ERROR
            registered[0](descriptor, events)

    def close(self) -> None:
        self._epoll.close()
