"""Looking at processes and signalling them by id, through /proc: for `kill -9` of a whole node, and CPU seconds."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_s`: user and system seconds so far; `rss_bytes`: memory in RAM now."""

    cpu_s: float
    rss_bytes: int


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the command's name: [0] state, [1] parent, [11] utime, [12] stime, [21] rss."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def alive(pid: int) -> bool:
    """Exists and is not a zombie. Its other threads may outlive the first for a moment, and keep its sockets open."""
    fields = _stat(pid)
    if fields is None or fields[0] != "Z":
        return fields is not None
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """All living children, and theirs, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    queue = [pid]
    while queue:
        kids = children.get(queue.pop(0), [])
        found += kids
        queue += kids
    return found


def signal_all(pids: list[int], number: int) -> None:
    """Send to each; one that is gone already is fine."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_tree(pid: int) -> list[int]:
    """kill -9 of a process and all below it. Stopped first, so that no supervisor restarts what was just killed."""
    signal_all([pid], signal.SIGSTOP)
    tree = [pid, *descendants(pid)]
    signal_all(tree, signal.SIGKILL)
    return tree


def usage(pid: int) -> Usage:
    """Zero for a process that is gone."""
    fields = _stat(pid)
    if fields is None:
        return Usage(0.0, 0)
    return Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES)


def kind_of(pid: int) -> str:
    """`log`, `gateway`, `keeper`, `supervisor` or the program's name, from the command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    for word in words:
        for kind in ("log", "gateway", "keeper"):
            if word.endswith(f"{kind}_process"):
                return kind
    return "supervisor" if any(word.endswith(("server.py", "apps.server")) for word in words) else words[0]
