"""The routes of uploads in parts. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import parts, schemas_tree
from fluffy.gateways.native.parameters import AFTER, HASHES, LIMIT, WRITE_HEADERS
from fluffy.gateways.native.table import Parameter, Route

UPLOADS: tuple[Route, ...] = (
    Route("POST", "/v1/uploads", parts.begin,
          "Begin an upload in parts: {path, size, part_size, content_type, meta, headers, tags, if_match,"
          " create_only}.",
          Act.WRITE, body="json", success=201,
          sent=schemas_tree.BEGIN_UPLOAD, answer=schemas_tree.BEGUN_UPLOAD, headers=WRITE_HEADERS),
    Route("GET", "/v1/uploads", parts.list_uploads, "Unfinished uploads: one's own, or those at and below a path.",
          Act.WRITE, is_read=True,
          query=(Parameter("path", "text", "only for this path and what is below it"), LIMIT, AFTER),
          answer=schemas_tree.UPLOADS),
    Route("GET", "/v1/uploads/{id}", parts.get_upload, "An upload and its parts, or the file that it became.",
          Act.WRITE, is_read=True, answer=schemas_tree.UPLOAD),
    Route("PUT", "/v1/uploads/{id}/parts/{n}", parts.put_part,
          "Store part n (1 to 10,000; any order, several at once; again: replaces it). The body is its bytes.",
          Act.WRITE, body="bytes", answer=schemas_tree.STORED_PART, headers=HASHES),
    Route("POST", "/v1/uploads/{id}/complete", parts.complete,
          "Make the parts one file: {parts: [n or {n, blake3}], size, blake3}. Answers like PUT.",
          Act.WRITE, body="json", success=201,
          sent=schemas_tree.COMPLETE, answer=schemas_tree.STORED, also=(200,), headers=WRITE_HEADERS),
    Route("DELETE", "/v1/uploads/{id}", parts.abort, "End an upload; its parts are freed.", Act.WRITE,
          answer=schemas_tree.ABORTED),
)
