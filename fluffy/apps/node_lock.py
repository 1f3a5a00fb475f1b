"""One node folder, one running node.

Two log processes on one journal would write over each other's promises, so a supervisor holds an exclusive lock on
the folder, and so does each of its children: they inherit it (flock(2) belongs to the open file, not to a process). A
killed node's lock is therefore free only when the last of its processes has ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluffy.base.errors import StartRefused

LOCK_NAME = "server.lock"
PID_NAME = "server.pid"
# A killed node's last write may still be on its way to a slow disk.
DEAD_HOLDER_WAIT_S = 15.0
# Whoever stops a node and starts it again at once need not get the moment exactly right.
LIVING_HOLDER_WAIT_S = 2.0
_POLL_S = 0.05


@contextmanager
def node_lock(node_dir: Path, name: str) -> Iterator[int]:
    """Hold the folder and show our process id in `server.pid`; yields the lock's descriptor, for children to inherit.

    Raises StartRefused when another supervisor holds it.
    """
    descriptor = os.open(node_dir / "run" / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    pid_file = node_dir / PID_NAME
    try:
        _acquire(descriptor, pid_file, node_dir, name)
        draft = pid_file.with_suffix(".pid.tmp")
        draft.write_text(f"{os.getpid()}\n")
        os.replace(draft, pid_file)
        try:
            yield descriptor
        finally:
            pid_file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def read_pid(pid_file: Path) -> int | None:
    """The process id in a pid file; None when there is none."""
    try:
        text = pid_file.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0 else None


def is_alive(pid: int) -> bool:
    """Whether a process has this id (zombies do not count: they hold nothing any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _acquire(descriptor: int, pid_file: Path, node_dir: Path, name: str) -> None:
    begin_s = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            waited_s = time.monotonic() - begin_s
            pid = read_pid(pid_file)
            if pid is not None and is_alive(pid):
                if waited_s >= LIVING_HOLDER_WAIT_S:
                    raise StartRefused(f"node {name} runs already in {node_dir} (process {pid}); stop it first with: "
                                       f"kill {pid}", pid=pid) from error
            elif waited_s >= DEAD_HOLDER_WAIT_S:
                raise StartRefused(f"processes of an earlier run of node {name} still hold {node_dir}; see who with: "
                                   f"fuser -v {node_dir / 'run' / LOCK_NAME}") from error
        time.sleep(_POLL_S)
