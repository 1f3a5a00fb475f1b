"""Keeps the processes of one node alive, and ends them in order.

                    start                                  SIGTERM, or a child exits 78
    (begin) ─────────────────▶ watching ──────────────────────────────────────────────▶ draining ──▶ (end)
                               │     ▲                                                     │
                  child ended  └─────┘ back-off, start again        second SIGTERM: kill all at once

SIGUSR1 (a rolling restart) drains likewise; the caller then starts the same program anew, in the same process.
One thread, no event loop: the supervisor must be the one process of a node that nothing can upset. Exit 78 (the child
refuses to start and has said why on stderr) is never retried: nothing would be different the next time.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType

from fluffy.apps.children import Child
from fluffy.apps.node_lock import PID_NAME, read_pid
from fluffy.base.checks import EXIT_REFUSED_TO_START

log = logging.getLogger(__name__)

# The conventional status of a process that SIGTERM ended.
EXIT_STOPPED_AT_ONCE = 128 + signal.SIGTERM
# Told to start again (SIGUSR1): what `Supervisor.run` gives back then. Not an exit status: the caller starts it anew.
RESTART = -1
RESTART_SIGNAL = signal.SIGUSR1
# Nothing depends on it: a signal wakes the loop. It bounds the harm of one that was lost.
LOOK_AGAIN_S = 5.0
# SIGKILL cannot be refused; a process that is still there then hangs in the kernel (a dead disk).
KILL_WAIT_S = 10.0
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def tell_supervisor(node_dir: Path) -> bool:
    """By a child: let the supervisor of this node start everything anew. False when our parent is not it."""
    parent = os.getppid()
    if read_pid(node_dir / PID_NAME) != parent:
        return False
    os.kill(parent, RESTART_SIGNAL)
    return True


class SignalInbox:
    """Signals as values: what arrived since the last look."""

    def __init__(self, reader: socket.socket) -> None:
        self._reader = reader

    def wait(self, timeout_s: float) -> list[int]:
        """The signals that came, at once if any is there; else after at most `timeout_s`."""
        readable, _, _ = select.select([self._reader], [], [], max(0.0, timeout_s))
        return list(self._reader.recv(4096)) if readable else []


@contextmanager
def signal_inbox() -> Iterator[SignalInbox]:
    """Collect SIGCHLD and the stop signals of this (main) thread until the context ends."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        # What whoever started us had ignored (nohup, a shell's background job) stays ignored.
        numbers = [n for n in (signal.SIGCHLD, RESTART_SIGNAL, *STOP_SIGNALS)
                   if n in (signal.SIGTERM, RESTART_SIGNAL) or signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, _noted) for number in numbers}
        old_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield SignalInbox(reader)
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in before.items():
                signal.signal(number, handler)


class Supervisor:
    def __init__(self, children: Sequence[Child]) -> None:
        """`children` in the order in which they are started."""
        self._children = list(children)

    def run(self, inbox: SignalInbox) -> int:
        """Until a stop signal or a refusal; returns the supervisor's own exit status. No child is left."""
        try:
            for child in self._children:
                child.start()
            return self._watch(inbox)
        finally:
            self._kill_all()

    def _watch(self, inbox: SignalInbox) -> int:
        while True:
            signals = inbox.wait(self._until_next_start_s())
            if STOP_SIGNALS.intersection(signals):
                log.info("server.draining")
                return self._drain(inbox)
            if self._reap_all():
                self._drain(inbox)
                return EXIT_REFUSED_TO_START
            if RESTART_SIGNAL in signals:
                log.info("server.restarting")
                return self._drain(inbox) or RESTART
            now = time.monotonic()
            for child in self._children:
                if not child.running and child.start_at_s <= now:
                    child.start()

    def _until_next_start_s(self) -> float:
        due = [child.start_at_s for child in self._children if not child.running]
        return max(0.0, min([*due, time.monotonic() + LOOK_AGAIN_S]) - time.monotonic())

    def _reap_all(self) -> bool:
        """Note every child that has ended. True: one of them refuses to start."""
        refused = False
        for child in self._children:
            status = child.reap()
            if status == EXIT_REFUSED_TO_START:
                log.error("child.refused", extra={"child": child.spec.name})
                refused = True
            elif status is not None:
                log.warning("child.ended", extra={"child": child.spec.name, "status": status})
        return refused

    def _drain(self, inbox: SignalInbox) -> int:
        """End the children stage by stage: doors first, the log last, so that what was promised can be finished."""
        for _, stage in groupby(sorted(self._children, key=_stage_of), key=_stage_of):
            members = list(stage)
            for child in members:
                child.signal(signal.SIGTERM)
            if not self._wait_for(members, inbox):
                log.warning("server.stopped_at_once")
                return EXIT_STOPPED_AT_ONCE
        log.info("server.drained")
        return 0

    def _wait_for(self, members: list[Child], inbox: SignalInbox) -> bool:
        """Until the members ended, by themselves or killed at their deadline. False: a second stop signal came."""
        end_s = time.monotonic() + max(child.spec.drain_s for child in members)
        while any(child.running for child in members):
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                self._kill(members)
                return True
            if STOP_SIGNALS.intersection(inbox.wait(min(left_s, LOOK_AGAIN_S))):
                return False
            for child in members:
                child.reap()
        return True

    def _kill_all(self) -> None:
        self._kill(self._children)

    def _kill(self, members: list[Child]) -> None:
        running = [child for child in members if child.running]
        for child in running:
            log.warning("child.killed", extra={"child": child.spec.name})
            child.signal(signal.SIGKILL)
        end_s = time.monotonic() + KILL_WAIT_S
        while any(child.running for child in running) and time.monotonic() < end_s:
            for child in running:
                child.reap()
            time.sleep(0.01)


def _stage_of(child: Child) -> int:
    return child.spec.stage


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup socket has the signal already; a handler must exist for it to be written there."""
