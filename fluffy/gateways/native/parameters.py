"""Query parameters that several routes have."""

from __future__ import annotations

from fluffy.gateways.native.table import Parameter

LIMIT = Parameter("limit", "number", "entries of a page, 1 to 1000; 100 when absent")
AFTER = Parameter("after", "text", "the cursor that the last page gave as `after`")
LABELS = Parameter("labels", "flag", "1: like long, and of files also hash, metadata and tags; for comparing trees")
LONG = Parameter("long", "flag", "1: with owner, generation, etag and content type")
GENERATION = Parameter("generation", "number", "an older version instead of the current one")
AT = Parameter("at", "text", "as it was at that time: 2026-07-01T12:00:00Z, 2026-07-01, or -2h for two hours ago")
