"""What this machine remembers of uploads that did not end: enough to go on with them after a restart.

One small file for each, readable by its owner only, named by a hash of what is uploaded where. It only says where to
look: what the cluster has is asked from the cluster, and compared with the local bytes before it is counted. A record
that cannot be written costs no more than that the upload begins again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

log = logging.getLogger("fluffy.client")

# The cluster forgets an upload sooner.
RECORD_KEPT_S = 30 * 86_400.0
RECORD_BYTES_MAX = 16 * 1024
# Old records are looked for among so many files each time.
PRUNED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Record:
    """`request_id`: under which the session was, or is to be, begun. `upload_id`: empty until that was answered.

    `path` and `source` are for the person who finds the file.
    """

    request_id: str
    upload_id: str
    path: str
    source: str


def key_of(*facts: str) -> str:
    """A file name for an upload that is told apart from others by these facts."""
    return blake3("\0".join(facts).encode(errors="surrogateescape")).hexdigest(16)


class Resumes:
    """The records in one folder. All calls block for less than a disk's hiccup."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> Record | None:
        """The record of an upload; None when there is none that can be read."""
        try:
            with open(self._folder / key, "rb") as file:
                told = json.loads(file.read(RECORD_BYTES_MAX))
            return Record(**{name: str(told[name]) for name in Record.__slots__})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("resume.unreadable", extra={"record": key, "reason": str(error)})
            return None

    def save(self, key: str, record: Record) -> None:
        """Write the record, whole or not at all."""
        aside = self._folder / f"{key}.{os.getpid()}.new"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prune()
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
            os.replace(aside, self._folder / key)
        except OSError as error:
            log.info("resume.not_written", extra={"record": key, "reason": str(error)})

    def drop(self, key: str) -> None:
        try:
            os.unlink(self._folder / key)
        except FileNotFoundError:
            return
        except OSError as error:
            log.info("resume.not_removed", extra={"record": key, "reason": str(error)})

    def _prune(self) -> None:
        oldest_s = time.time() - RECORD_KEPT_S
        with os.scandir(self._folder) as found:
            for _, entry in zip(range(PRUNED_MAX), found, strict=False):
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < oldest_s:
                    os.unlink(entry.path)
