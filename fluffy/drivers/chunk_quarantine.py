"""Bad copies, set aside for inspection: `quarantine/<chunk>.<ms>` with `<chunk>.<ms>.json` saying why.

Nothing reads them to serve anybody. Kept, because a disk that starts to lie is understood best from its lies; bounded,
because a disk that lies a lot must not fill itself with them.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.ids import ChunkId

# Enough to see a pattern; at 8 MiB a chunk about 2 GiB. The oldest go first.
QUARANTINED_MAX = 256


@dataclass(frozen=True, slots=True)
class QuarantinedChunk:
    chunk_id: ChunkId
    reason: str
    at_ms: int
    path: Path


class Quarantine:
    """Thread-safe; several processes may use one folder."""

    def __init__(self, folder: Path, kept_max: int = QUARANTINED_MAX) -> None:
        self._folder = folder
        self._kept_max = kept_max
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, file: Path, chunk_id: ChunkId, reason: str, at_ms: int) -> None:
        """Move `file` here. Nothing when it is gone already: another reader was faster."""
        with self._lock:
            place = self._folder / f"{chunk_id.hex()}.{at_ms}"
            record = {"chunk": chunk_id.hex(), "reason": reason, "at_ms": at_ms}
            try:
                os.rename(file, place)
            except FileNotFoundError:
                return
            (self._folder / f"{place.name}.json").write_text(json.dumps(record))
            self._forget_oldest()

    def list(self) -> list[QuarantinedChunk]:
        found = []
        for record in self._folder.glob("*.json"):
            try:
                facts = json.loads(record.read_text())
                found.append(QuarantinedChunk(ChunkId(bytes.fromhex(facts["chunk"])), facts["reason"], facts["at_ms"],
                                              record.with_suffix("")))
            except (FileNotFoundError, ValueError, KeyError):
                continue  # forgotten meanwhile, or half written by a process that died
        return sorted(found, key=lambda one: one.at_ms)

    def _forget_oldest(self) -> None:
        kept = self.list()
        for old in kept[:max(0, len(kept) - self._kept_max)]:
            old.path.unlink(missing_ok=True)
            old.path.with_name(old.path.name + ".json").unlink(missing_ok=True)
