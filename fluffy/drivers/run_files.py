"""What the processes of one node tell each other once a second: small JSON files in `run/`.

The gateways tell what their users feel (`users-N.json`), the keeper what it does and how fast background work may be
(`keeper.json`). Files, because they need no connection and no order of starting, a late reader gets the newest word, a
dead writer is seen by its age, and an operator can look. They are never synced: they mean nothing after a restart.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from fluffy.services.condition import Condition

# More than any of them has; a file that is larger is not ours.
FILE_BYTES_MAX = 64 * 1024
# Written every second; older than this, its writer is gone or stands still.
AGE_MAX_S = 5.0
KEEPER_FILE = "keeper.json"


def users_file(worker: int) -> str:
    return f"users-{worker}.json"


def write_word(run_dir: Path, name: str, value: dict[str, Any]) -> None:
    """Replace the file as a whole, stamped with this machine's monotonic clock. Raises OSError."""
    text = json.dumps({**value, "written_s": time.monotonic()})
    unfinished = run_dir / f".{name}.{os.getpid()}"
    unfinished.write_text(text)
    os.replace(unfinished, run_dir / name)


class Word:
    """A word that is said again and again. A full disk keeps it back, and nothing else: the next one may be heard."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._run_dir = run_dir
        self._name = name
        self._condition = Condition("words between the processes of this node", file=name)

    def say(self, value: dict[str, Any]) -> None:
        try:
            write_word(self._run_dir, self._name, value)
        except OSError as error:
            self._condition.blocked(error)
        else:
            self._condition.fine()


def read_word(run_dir: Path, name: str) -> dict[str, Any] | None:
    """The newest word; None when there is none, it is old, or it is damaged."""
    try:
        with (run_dir / name).open("rb") as file:
            value = json.loads(file.read(FILE_BYTES_MAX))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    written_s = value.get("written_s")
    if not isinstance(written_s, float) or not 0 <= time.monotonic() - written_s <= AGE_MAX_S:
        return None
    return value


def read_users(run_dir: Path) -> list[dict[str, Any]]:
    """What each gateway of the node says."""
    words = [read_word(run_dir, path.name) for path in sorted(run_dir.glob("users-*.json"))]
    return [word for word in words if word is not None]
