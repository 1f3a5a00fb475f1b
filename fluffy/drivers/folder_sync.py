"""Making names durable: fsync of a folder, shared by everybody who changed it meanwhile.

A rename is safe only once its folder is fsynced. When many files land in one folder at once, one fsync that begins
after all the renames serves them all (group commit, as databases do with their logs).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class _Turns:
    """Syncs of one folder so far: how many began, the last one that ended well, and who is interested."""

    begun: int = 0
    done: int = 0
    running: bool = False
    users: int = 0


class FolderSync:
    """Thread-safe. `enabled=False` is the operator's `fsync: false`: then nothing here touches the disk."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._changed = threading.Condition()
        self._turns: dict[Path, _Turns] = {}
        self.syncs = 0  # how many really happened; a counter for tests and metrics

    def sync(self, folder: Path) -> None:
        """Return once an fsync of `folder` that began after this call has ended."""
        if not self._enabled:
            return
        with self._changed:
            turns = self._turns.setdefault(folder, _Turns())
            turns.users += 1
            needed = turns.begun + 1
        try:
            self._take_part(folder, turns, needed)
        finally:
            with self._changed:
                turns.users -= 1
                if turns.users == 0:
                    del self._turns[folder]

    def _take_part(self, folder: Path, turns: _Turns, needed: int) -> None:
        with self._changed:
            while turns.running and turns.done < needed:
                self._changed.wait()
            if turns.done >= needed:
                return
            turns.running = True
            turns.begun += 1
            mine = turns.begun
        done = False
        try:
            _fsync_folder(folder)
            done = True
        finally:
            with self._changed:
                self.syncs += 1
                turns.running = False
                if done:
                    turns.done = mine
                self._changed.notify_all()


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
