"""The routes about background work on each node. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import keeper
from fluffy.gateways.native.table import Parameter, Route

KEEPER: tuple[Route, ...] = (
    Route("PUT", "/v1/admin/repair", keeper.set_repair, "How much repair may take, on all nodes: {mode}.", Act.OPERATE,
          body="json"),
    Route("GET", "/v1/admin/quarantine", keeper.list_quarantine, "Bad copies that the answering node has set aside.",
          Act.OPERATE),
    Route("DELETE", "/v1/admin/quarantine", keeper.purge_quarantine, "Remove them for good.", Act.OPERATE,
          query=(Parameter("chunk", "text", "only the copies of this chunk"),)),
)
