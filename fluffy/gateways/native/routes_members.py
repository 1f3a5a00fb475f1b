"""Routes about machines that come and go."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import members, schemas_cluster
from fluffy.gateways.native.table import Parameter, Route
from fluffy.wire.joining import RETURN_HEADER

MEMBERS: tuple[Route, ...] = (
    Route("POST", "/v1/join", members.join, "A machine that proves the cluster's secret becomes a member.", None,
          body="json", sent=schemas_cluster.JOIN, answer=schemas_cluster.JOINED, refuses=(401, 409, 412),
          headers=(Parameter(RETURN_HEADER, "flag", "only under a name that is a member's, with another disk"),)),
    Route("POST", "/v1/admin/nodes/{name}/drain", members.drain, "Empty a node, or stop emptying it.", Act.OPERATE,
          body="json", sent=schemas_cluster.DRAIN, answer=schemas_cluster.DRAINED),
    Route("GET", "/v1/admin/nodes/{name}/drain", members.show_drain, "How empty a node is, and whether it may go.",
          Act.OPERATE, is_read=True, answer=schemas_cluster.DRAINED),
    Route("POST", "/v1/admin/nodes/{name}/restart", members.restart, "The asked node itself drains and starts again.",
          Act.OPERATE, success=202, answer=schemas_cluster.RESTARTING),
    Route("DELETE", "/v1/admin/nodes/{name}", members.remove, "End the membership of an emptied node.", Act.OPERATE,
          query=(Parameter("force", "flag", "of a dead one, whatever is only there"),),
          answer=schemas_cluster.NODE_REMOVED, also=(202,)),
    Route("POST", "/v1/admin/recover/{node}", members.recover,
          "Give back to a node what it lost, or let a new disk take its place.", Act.OPERATE,
          answer=schemas_cluster.RECOVERING),
)
