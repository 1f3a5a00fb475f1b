"""Where unfinished files live until their rename, and how a crashed process's leftovers go away.

Each process has its own folder `incoming/<random>/`, with an exclusive flock on the file `owner` in it for as long as
it lives. Who starts next removes every folder whose lock it can take: its owner is dead. (Process ids would not do:
they are reused.)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from pathlib import Path

_OWNER = "owner"


class IncomingFolder:
    """This process's folder for unfinished files. `path` is empty but for the lock file when it is made."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        _remove_dead(root)
        # Made under another name and locked before it gets its own, so that no one takes it for a dead one.
        birth = root / f".{uuid.uuid4().hex}"
        birth.mkdir()
        self._lock_fd = os.open(birth / _OWNER, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        self.path = root / birth.name[1:]
        birth.rename(self.path)

    def close(self) -> None:
        if self._lock_fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock_fd)
            self._lock_fd = -1


def _remove_dead(root: Path) -> None:
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue  # being born; at worst an empty folder stays for ever
        try:
            fd = os.open(folder / _OWNER, os.O_RDWR)
        except FileNotFoundError:
            continue  # removed by another starter just now
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(fd)
