"""Routes about machines that come and go."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import members
from fluffy.gateways.native.table import Parameter, Route

MEMBERS: tuple[Route, ...] = (
    Route("POST", "/v1/join", members.join, "A machine that proves the cluster's secret becomes a member.", None,
          body="json"),
    Route("POST", "/v1/admin/nodes/{name}/drain", members.drain, "Empty a node, or stop emptying it.", Act.OPERATE,
          body="json"),
    Route("GET", "/v1/admin/nodes/{name}/drain", members.show_drain, "How empty a node is, and whether it may go.",
          Act.OPERATE, is_read=True),
    Route("POST", "/v1/admin/nodes/{name}/restart", members.restart, "The asked node itself drains and starts again.",
          Act.OPERATE, success=202),
    Route("DELETE", "/v1/admin/nodes/{name}", members.remove, "End the membership of an emptied node.", Act.OPERATE,
          query=(Parameter("force", "flag", "of a dead one, whatever is only there"),)),
    Route("POST", "/v1/admin/recover/{node}", members.recover,
          "Give back to a node what it lost, or let a new disk take its place.", Act.OPERATE),
)
