"""The routes for when everything else is gone: backups, restoring, what disks still hold. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import backup, rebuild, schemas_cluster
from fluffy.gateways.native.table import Parameter, Route

DISASTER: tuple[Route, ...] = (
    Route("GET", "/v1/admin/backup", backup.get_backup,
          "The metadata as one SQLite file, with its list of chunks; `Fluffy-Blake3` is of the file.", Act.OPERATE,
          is_read=True, gives=backup.BACKUP_TYPE),
    Route("GET", "/v1/admin/digest", backup.get_digest,
          "A digest of all names, people and history: equal where the same is held.", Act.OPERATE, is_read=True,
          answer=schemas_cluster.DIGEST),
    Route("GET", "/v1/admin/rebuild", rebuild.get_rebuild, "Whether a backup is being restored, and how far that is.",
          Act.OPERATE, is_read=True, answer=schemas_cluster.REBUILD),
    Route("POST", "/v1/admin/rebuild", rebuild.begin,
          "Begin to fill this empty cluster, or go on: {source}. Until the end every other change is refused.",
          Act.OPERATE, body="json", success=201,
          sent=schemas_cluster.BEGIN_REBUILD, answer=schemas_cluster.REBUILD_BEGUN),
    Route("PUT", "/v1/admin/rebuild/{id}/steps/{n}", rebuild.put_step, "The next rows of a table, as msgpack.",
          Act.OPERATE, body="bytes", query=(Parameter("table", "text", "whose rows they are"),),
          answer=schemas_cluster.REBUILD_STEP),
    Route("POST", "/v1/admin/rebuild/{id}/end", rebuild.end,
          "All rows are there: {step, seq, last_no, clock_ms, files, file_bytes}.", Act.OPERATE, body="json",
          sent=schemas_cluster.END_REBUILD, answer=schemas_cluster.REBUILT),
    Route("DELETE", "/v1/admin/rebuild/{id}", rebuild.abandon, "Give a rebuild up; the cluster is empty again.",
          Act.OPERATE, success=204),
    Route("POST", "/v1/admin/chunks", rebuild.check_chunks,
          "Which of these chunks lie on this node's own disk: {chunks, read}; with `read` every byte is checked.",
          Act.OPERATE, body="json", sent=schemas_cluster.CHECK_CHUNKS, answer=schemas_cluster.CHECKED_CHUNKS),
    Route("GET", "/v1/admin/manifests", rebuild.list_manifests,
          "The manifests on this node's own disk, of whichever cluster.", Act.OPERATE,
          answer=schemas_cluster.MANIFESTS),
    Route("GET", "/v1/admin/manifests/{cluster}/{segment}", rebuild.get_manifests, "One segment of them.",
          Act.OPERATE, gives="application/octet-stream"),
)
