"""One process of a node, from its supervisor's side: started, watched, restarted after a growing pause.

A child dies with its supervisor: the kernel sends it SIGKILL when the supervisor is gone (PR_SET_PDEATHSIG, prctl(2)),
so that a killed node is wholly dead and a new one finds its ports free. A child also keeps the node's lock open, so
that the lock is free only when the last of them has ended.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.checks import invariant

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a child is started again: doubling from `first_s` to `last_s`.

    A child that lived `stable_s` is healthy: its next end is a new story and starts again at `first_s`.
    """

    first_s: float = 0.1
    last_s: float = 5.0
    stable_s: float = 10.0

    def __post_init__(self) -> None:
        invariant(0 < self.first_s <= self.last_s < self.stable_s, "the longest pause is short of stable")

    def after(self, previous_s: float, lived_s: float) -> float:
        """The next pause, when the last one was `previous_s` (0: none yet) and the child then lived `lived_s`."""
        if previous_s <= 0 or lived_s >= self.stable_s:
            return self.first_s
        return min(previous_s * 2, self.last_s)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`stage` orders the end of a node: children of stage 0 drain first, of the highest last."""

    name: str
    argv: tuple[str, ...]
    stage: int
    drain_s: float  # after SIGTERM it has so long before SIGKILL


class Child:
    def __init__(self, spec: ChildSpec, run_dir: Path, backoff: Backoff, lock_fd: int | None = None) -> None:
        """`run_dir` gets NAME.pid while the child lives; `lock_fd` is inherited (None: nothing is)."""
        self.spec = spec
        self._backoff = backoff
        self._pid_file = run_dir / f"{spec.name}.pid"
        self._lock_fd = lock_fd
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = 0.0
        self.start_at_s = 0.0  # monotonic; when a child that is not running is due

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start the process now; if the machine has no room for one (memory, processes), try again after a pause."""
        self._started_s = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self.spec.argv, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_die_with(os.getpid()),
                pass_fds=() if self._lock_fd is None else (self._lock_fd,))
        except (OSError, subprocess.SubprocessError) as error:
            log.error("child.not_started", extra={"child": self.spec.name, "error": error})
            self._plan_restart()
            return
        self._note_pid(self._process.pid)
        log.info("child.started", extra={"child": self.spec.name, "pid": self._process.pid})

    def _note_pid(self, pid: int) -> None:
        """For people and tools; a disk that is full must not end the node."""
        try:
            self._pid_file.write_text(f"{pid}\n")
        except OSError as error:
            log.warning("child.pid_not_noted", extra={"child": self.spec.name, "pid": pid, "error": error})

    def reap(self) -> int | None:
        """The exit status if the process has ended since the last call (negative: by that signal), else None."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        self._process = None
        self._pid_file.unlink(missing_ok=True)
        self._plan_restart()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a running child; harmless when it has just ended: not reaped, its pid is nobody else's."""
        if self._process is not None:
            self._process.send_signal(number)

    def _plan_restart(self) -> None:
        now = time.monotonic()
        self._pause_s = self._backoff.after(self._pause_s, now - self._started_s)
        self.start_at_s = now + self._pause_s


def _die_with(parent_pid: int) -> Callable[[], None]:
    """What the child does between fork and exec. The supervisor has one thread, so this is safe (subprocess docs)."""

    def arrange() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the line above: then nobody would ever send the signal.
        if os.getppid() != parent_pid:
            os._exit(1)

    return arrange
