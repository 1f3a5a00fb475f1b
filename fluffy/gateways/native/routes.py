"""The one list of the native API's routes: dispatch, the OpenAPI document and the tests over all routes read it.

Order does not matter.
"""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import changes, cluster, schemas, schemas_cluster, schemas_tree, search
from fluffy.gateways.native.parameters import AFTER, LIMIT
from fluffy.gateways.native.routes_dashboard import DASHBOARD
from fluffy.gateways.native.routes_disaster import DISASTER
from fluffy.gateways.native.routes_federation import FEDERATION
from fluffy.gateways.native.routes_health import HEALTH
from fluffy.gateways.native.routes_keeper import KEEPER
from fluffy.gateways.native.routes_members import MEMBERS
from fluffy.gateways.native.routes_people import PEOPLE
from fluffy.gateways.native.routes_tree import TREE
from fluffy.gateways.native.routes_uploads import UPLOADS
from fluffy.gateways.native.table import Parameter, Route

ROUTES: tuple[Route, ...] = (
    *TREE,
    *PEOPLE,
    *UPLOADS,
    *MEMBERS,
    *HEALTH,
    *KEEPER,
    *FEDERATION,
    *DISASTER,
    *DASHBOARD,
    Route("GET", "/v1/search", search.search_names, "Files and folders by name, type, tag, size, time.", Act.READ,
          is_read=True, query=(
              Parameter("q", "text", "words and patterns like *.pdf that the name must fit; either case"),
              Parameter("bucket", "text", "only in this bucket"),
              Parameter("owner", "text", "only what this user owns"),
              Parameter("type", "text", "a content type, or its beginning up to the slash: image/"),
              Parameter("tag", "text", "key=value, or key alone; several joined by &"),
              Parameter("min_size", "text", "bytes, or with a unit: 10MiB"),
              Parameter("max_size", "text", "bytes, or with a unit"),
              Parameter("since", "text", "changed at or after: 2026-07-01, 2026-07-01T12:30:00Z or -7d"),
              Parameter("until", "text", "changed at or before; a day is meant whole"),
              Parameter("everywhere", "flag", "1: in all clusters, by a supernode that this cluster knows"), LIMIT,
              AFTER), answer=schemas_tree.HITS),
    Route("GET", "/v1/changes", changes.list_changes, "The change feed after a position.", Act.READ, is_read=True,
          query=(Parameter("since", "number", "the last seq that the asker has; 0: from the beginning"), LIMIT,
                 Parameter("wait_s", "number", "wait up to this long when there is nothing new, at most 30")),
          answer=schemas_tree.CHANGES, refuses=(410,)),
    Route("GET", "/v1/status", cluster.get_status, "The cluster as this node sees it.", Act.SEE_CLUSTER, is_read=True,
          answer=schemas_cluster.STATUS),
    Route("GET", "/v1/nodes", cluster.get_nodes, "The nodes, their state, links and load.", Act.SEE_CLUSTER,
          is_read=True, query=(
              Parameter("ask", "flag", "1: also what each says of itself: disk, load, requests and bytes of users"),),
          answer=schemas_cluster.NODES),
    Route("GET", "/metrics", cluster.get_metrics, "What all processes of the node count, for Prometheus.",
          Act.SEE_CLUSTER, gives="text/plain"),
    Route("GET", "/healthz", cluster.healthz, "200 while this process is alive.", None, answer=schemas_cluster.HEALTH),
    Route("GET", "/readyz", cluster.readyz, "200 when this node has a leader, is caught up and found who keeps copies.",
          None, answer=schemas_cluster.READY),
    Route("POST", "/v1/admin/checkpoint", cluster.make_checkpoint, "Make a checkpoint of this node's state now.",
          Act.OPERATE, answer=schemas_cluster.CHECKPOINT),
    Route("GET", "/v1/openapi.json", cluster.get_openapi, "This description.", Act.SEE_CLUSTER, answer=schemas.OBJECT),
)
