"""The one list of the supernode's routes: dispatch, its OpenAPI document and the tests over all routes read it."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native.parameters import AFTER, GENERATION, LIMIT
from fluffy.gateways.native.routes import ROUTES as NATIVE_ROUTES
from fluffy.gateways.native.table import Parameter, Route
from fluffy.gateways.supernode import files, names, sessions, state

_SEARCH = next(route for route in NATIVE_ROUTES if route.pattern == "/v1/search")
PROXY = Parameter("proxy", "flag", "1: the bytes go through the supernode")

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", sessions.get_page, "The dashboard of all clusters.", None, gives="text/html", also=(304,)),
    Route("GET", "/dashboard/{version}/{name}", sessions.get_asset, "A file of the dashboard itself.", None,
          gives="*/*", also=(304,)),
    Route("POST", "/v1/session", sessions.open_session, "Log a browser in by a cookie: {token}.", None, body="json",
          success=201),
    Route("GET", "/v1/session", sessions.get_session, "Who is logged in in this browser, and the CSRF token.", None),
    Route("DELETE", "/v1/session", sessions.close_session, "Log the browser out.", Act.OWN_ACCOUNT),
    Route("GET", "/v1/clusters", state.list_clusters, "The joined clusters: state, leader, room, load, peers.",
          Act.SEE_CLUSTER),
    Route("GET", "/v1/status", state.get_status, "The supernode and its clusters.", Act.SEE_CLUSTER),
    Route("GET", "/v1/search", names.search, "Files and folders of all clusters, and what the answer speaks for.",
          Act.READ, query=(
              *_SEARCH.query,
              Parameter("cluster", "text", "only in this cluster; several joined by commas"),
              Parameter("fresh", "flag", "1: ask the clusters themselves"))),
    Route("GET", "/v1/catalog", names.list_clusters_of_catalog, "The clusters that know the asker.", Act.READ),
    Route("GET", "/v1/catalog/{path}", names.list_folder, "A folder, CLUSTER/PATH.", Act.READ, query=(LIMIT, AFTER)),
    Route("GET", "/v1/files/{path}", files.get_file,
          "A file, CLUSTER/PATH or @best/PATH: 307 to a peer of a cluster that has it.", Act.READ,
          query=(PROXY, GENERATION, Parameter("download", "flag", "1: to be saved, not shown"))),
    Route("PUT", "/v1/files/{path}", files.put_file, "Write a file to CLUSTER/PATH, or to the best one: @best/PATH.",
          Act.WRITE, body="bytes", success=201,
          query=(PROXY, Parameter("copies", "number", "with @best: in how many clusters, 1 to 5"))),
    Route("DELETE", "/v1/files/{path}", files.delete_file, "Delete a file and its copies.", Act.WRITE,
          query=(PROXY, Parameter("purge", "flag", "1: for good, not to the trash"))),
    Route("GET", "/v1/owed", state.list_owed, "What is owed to clusters; what was given up.", Act.READ),
    Route("GET", "/v1/mirrors", state.list_mirrors,
          "Buckets that are kept in another cluster: lag, what fails, what of others was kept.", Act.READ),
    Route("GET", "/v1/federation/dead-letters", state.list_dead_letters, "Rows that were none.", Act.OPERATE,
          query=(Parameter("limit", "number", "at most so many, the newest"),)),
    Route("POST", "/v1/federation/clusters", state.join, "Join a cluster: {name, peers, token}.", Act.OPERATE,
          body="json", success=201),
    Route("DELETE", "/v1/federation/clusters/{name}", state.leave, "Leave a cluster that was joined so.", Act.OPERATE),
    Route("GET", "/metrics", state.get_metrics, "What the supernode counts, for Prometheus.", Act.SEE_CLUSTER),
    Route("GET", "/v1/openapi.json", state.get_openapi, "This description.", Act.SEE_CLUSTER),
    Route("GET", "/healthz", state.healthz, "200 while this process is alive.", None),
    Route("GET", "/readyz", state.readyz, "200 when the catalog is open.", None),
)
