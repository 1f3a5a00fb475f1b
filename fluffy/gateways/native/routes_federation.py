"""The routes for supernodes (docs/FEDERATION.md). Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import federation, schemas_cluster
from fluffy.gateways.native.table import Parameter, Route

ROWS = Parameter("limit", "number", "rows of a page, 1 to 5000; 5000 when absent")
PLACE = Parameter("after", "text", "the place FOLDER_NUMBER:KEY that the last page ended at")

FEDERATION: tuple[Route, ...] = (
    Route("GET", "/v1/federation/feed", federation.feed, "What changed since a position, as rows of now.",
          Act.FEDERATE, is_read=True, query=(
              Parameter("since", "number", "the position that the asker has followed to"),
              Parameter("epoch", "text", "the history that the position is of"), ROWS,
              Parameter("wait_s", "number", "wait up to this long when there is nothing new, at most 30")),
          answer=schemas_cluster.FEED, refuses=(410,)),
    Route("GET", "/v1/federation/rows", federation.rows, "The whole tree as rows, page by page.", Act.FEDERATE,
          is_read=True, query=(ROWS, PLACE), answer=schemas_cluster.ROWS),
    Route("GET", "/v1/federation/folders/{no}", federation.folder, "The rows of one folder.", Act.FEDERATE,
          is_read=True, query=(ROWS, Parameter("after", "text", "the last key of the page before")),
          answer=schemas_cluster.ROWS),
    Route("GET", "/v1/federation/hash", federation.row_hash, "A hash over the next rows, for comparing catalogs.",
          Act.FEDERATE, is_read=True, query=(ROWS, PLACE), answer=schemas_cluster.ROW_HASH),
    Route("GET", "/v1/federation/sight", federation.sight, "Who the asker is, and which buckets that one may read.",
          Act.SEE_CLUSTER, is_read=True, answer=schemas_cluster.SIGHT),
)
