"""Backups of the metadata over HTTP, and the digest by which two trees are compared."""

from __future__ import annotations

import os
from concurrent.futures import Executor

from fluffy.base.deadline import Deadline
from fluffy.base.errors import NotReady
from fluffy.base.threads import in_thread
from fluffy.base.units import KIB
from fluffy.core.metadata.backup import BACKUP_FORMAT
from fluffy.core.metadata.tree_digest import tree_digest
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk, Keepsakes
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.ports import MadeBackup
from fluffy.services.downloads import BodyOut

BACKUP_TYPE = "application/vnd.sqlite3"
PIECE_BYTES = 256 * KIB
# A million files take some ten seconds; ten million are still answered.
DIGEST_TIMEOUT_S = 300.0


def keepsakes_of(desk: Desk) -> Keepsakes:
    if desk.keepsakes is None:
        raise NotReady
    return desk.keepsakes


async def get_backup(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/backup: the state as one SQLite file, as it is now."""
    keepsakes = keepsakes_of(desk)
    with keepsakes.making:
        made = await in_thread(keepsakes.threads, keepsakes.backups.make)
    label = made.label
    name = f"{label.cluster}-{label.seq}.fluffy-backup"
    return Answer(200, [
        ("Content-Type", BACKUP_TYPE), ("Content-Disposition", f'attachment; filename="{name}"'),
        ("Cache-Control", "no-store"), ("Fluffy-Blake3", made.blake3.hex()),
        ("Fluffy-Backup-Format", str(BACKUP_FORMAT)), ("Fluffy-Backup-Digest", label.digest),
    ], _BackupBody(made, keepsakes.threads), made.size)


class _BackupBody:
    """The file, piece by piece; a `BodyStream`."""

    def __init__(self, made: MadeBackup, threads: Executor) -> None:
        self._made = made
        self._threads = threads

    async def send(self, out: BodyOut) -> None:
        at = 0
        while at < self._made.size:
            piece = await in_thread(self._threads, os.pread, self._made.fd, PIECE_BYTES, at)
            await out.write(piece)
            at += len(piece)

    def close(self) -> None:
        self._made.close()


async def get_digest(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/digest: one text that is the same on two clusters that hold the same tree."""
    found = await desk.reader.read_in_thread(tree_digest, Deadline.after(DIGEST_TIMEOUT_S))
    return json_answer({"digest": found.digest, "tree": found.tree, "people": found.people, "history": found.history,
                        "files": found.files, "folders": found.folders, "bytes": found.bytes, "node": desk.node})
