"""The routes about background work on each node. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import keeper, schemas_cluster
from fluffy.gateways.native.table import Parameter, Route

KEEPER: tuple[Route, ...] = (
    Route("PUT", "/v1/admin/repair", keeper.set_repair, "How much repair may take, on all nodes: {mode}.", Act.OPERATE,
          body="json", sent=schemas_cluster.REPAIR_MODE, answer=schemas_cluster.REPAIR_MODE_SET),
    Route("GET", "/v1/admin/quarantine", keeper.list_quarantine, "Bad copies that the answering node has set aside.",
          Act.OPERATE, answer=schemas_cluster.QUARANTINE),
    Route("DELETE", "/v1/admin/quarantine", keeper.purge_quarantine, "Remove them for good.", Act.OPERATE,
          query=(Parameter("chunk", "text", "only the copies of this chunk"),), answer=schemas_cluster.PURGED),
)
