"""The routes for when everything else is gone: backups, restoring, what disks still hold. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import backup
from fluffy.gateways.native.table import Route

DISASTER: tuple[Route, ...] = (
    Route("GET", "/v1/admin/backup", backup.get_backup,
          "The metadata as one SQLite file, with its list of chunks; `Fluffy-Blake3` is of the file.", Act.OPERATE,
          is_read=True),
    Route("GET", "/v1/admin/digest", backup.get_digest,
          "A digest of all names, people and history: equal where the same is held.", Act.OPERATE, is_read=True),
)
