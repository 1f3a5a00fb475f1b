"""Bad copies, set aside for inspection: `quarantine/<chunk>.<ms>` with `<chunk>.<ms>.json` saying why.

Nothing reads them to serve anybody. Kept, because a disk that starts to lie is understood best from its lies; bounded,
because a disk that lies a lot must not fill itself with them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from fluffy.base.ids import ChunkId
from fluffy.ports import QuarantinedChunk

log = logging.getLogger(__name__)

_REASON = ".json"
# Enough to see a pattern; at 8 MiB a chunk about 2 GiB. The oldest go first.
QUARANTINED_MAX = 256


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
            try:
                (self._folder / f"{place.name}{_REASON}").write_text(json.dumps(record))
            except OSError as error:  # a full disk: what matters is that the copy is out of the way
                log.warning("quarantine.reason_lost", extra={**record, "error": str(error)})
            self._forget_oldest()

    def list(self) -> list[QuarantinedChunk]:
        """Oldest first."""
        found = []
        for file in self._folder.iterdir():
            chunk, _, at_ms = file.name.partition(".")
            if at_ms.isdigit():
                found.append(QuarantinedChunk(
                    ChunkId(bytes.fromhex(chunk)), self._reason(file), int(at_ms), file.stat().st_size, file))
        return sorted(found, key=lambda one: one.at_ms)

    def purge(self, chunk_id: ChunkId | None) -> int:
        """Remove the files of one chunk, or (None) all; returns how many."""
        with self._lock:
            gone = [file for file in self._folder.iterdir() if file.suffix != _REASON
                    and (chunk_id is None or file.name.startswith(f"{chunk_id.hex()}."))]
            for file in gone:
                file.unlink(missing_ok=True)
                file.with_name(file.name + _REASON).unlink(missing_ok=True)
        return len(gone)

    def _reason(self, file: Path) -> str:
        try:
            return str(json.loads(file.with_name(file.name + _REASON).read_text())["reason"])
        except (OSError, ValueError, KeyError):
            return "not recorded"  # the disk was full, or its process died in between

    def _forget_oldest(self) -> None:
        kept = sorted((file for file in self._folder.iterdir() if file.suffix != _REASON),
                      key=lambda file: int(file.name.partition(".")[2]))
        for old in kept[:max(0, len(kept) - self._kept_max)]:
            old.unlink(missing_ok=True)
            old.with_name(old.name + _REASON).unlink(missing_ok=True)
