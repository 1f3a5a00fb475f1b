"""The verbs for when everything else is gone: backups, digests, and what a restore asks of the nodes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluffy.base.errors import TransferCorrupt
from fluffy.client.retry import Persistence
from fluffy.client.sinks import PartFile
from fluffy.client.transport import STALL_S, Call, StallGuard
from fluffy.client.upload import Progress
from fluffy.client.verbs.asking import Asking

# The node copies and hashes its whole state before the first byte comes; ten million files take some minutes.
MAKING_S = 600.0
DIGEST_S = 320.0


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that lies on this machine. `digest`: of its rows; `blake3`: of its bytes."""

    path: Path
    size: int
    blake3: str
    digest: str


class DisasterVerbs(Asking):
    """Backups and digests."""

    async def backup(self, target: str | os.PathLike[str], *, overwrite: bool = False,
                     progress: Progress | None = None) -> Backup:
        """Bring a backup of the metadata to this machine: one SQLite file, whole and verified, or none.

        It holds names, owners, versions, people, rights, and the list of chunks; not the bytes of files above
        `inline_max`, and everything that secrets were made into: keep it as safe as the nodes' own folders.
        """
        path = Path(target)

        async def once(peer: str, patience: Persistence) -> Backup:
            stall = StallGuard(MAKING_S)
            part = PartFile(path)
            try:
                async with self._transport.open(peer, Call("GET", "/v1/admin/backup"), stall) as response:
                    await part.open(resume=False)
                    stall.moved(seconds=STALL_S)
                    size = int(response.headers.get("Content-Length", "0"))
                    async for block in response.content.iter_any():
                        stall.moved()
                        await part.add(block)
                        if progress is not None:
                            progress(part.offset, size)
                    told = response.headers.get("Fluffy-Blake3", "")
                    if (await part.digest()).hex() != told:
                        await part.discard()
                        raise TransferCorrupt("the backup was damaged on its way; nothing was kept")
                    await part.finish(overwrite=overwrite)
                    return Backup(path, size, told, response.headers.get("Fluffy-Backup-Digest", ""))
            finally:
                await part.close()
        return await self._transport.persist(once)

    async def tree_digest(self) -> Mapping[str, Any]:
        """`digest` and its parts: equal on two clusters that hold the same tree, people and history."""
        return await self._read("/v1/admin/digest", answer_s=DIGEST_S)
