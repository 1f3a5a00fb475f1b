"""A small value that a process keeps in a file: where it was, for after a restart. Losing it costs time, never data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_BYTES_MAX = 64 * 1024


class JsonFile:
    """Blocking. One writer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """What was saved last; empty when there is nothing, or nothing readable."""
        try:
            with self._path.open("rb") as file:
                value = json.loads(file.read(FILE_BYTES_MAX))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def save(self, value: dict[str, Any]) -> None:
        """Replace the file as a whole. Not synced. Raises OSError."""
        unfinished = self._path.with_name(f".{self._path.name}")
        unfinished.write_text(json.dumps(value))
        os.replace(unfinished, self._path)
