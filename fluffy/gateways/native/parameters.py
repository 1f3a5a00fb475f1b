"""Query parameters and headers that several routes have."""

from __future__ import annotations

from fluffy.core.metadata.own_meta import KEPT_HEADERS
from fluffy.gateways.native.table import Parameter

LIMIT = Parameter("limit", "number", "entries of a page, 1 to 1000; 100 when absent", least=1)
AFTER = Parameter("after", "text", "the cursor that the last page gave as `after`")
LABELS = Parameter("labels", "flag", "1: like long, and of files also hash, metadata and tags; for comparing trees")
LONG = Parameter("long", "flag", "1: with owner, generation, etag and content type")
GENERATION = Parameter("generation", "number", "an older version instead of the current one", least=1)
AT = Parameter("at", "text", "as it was at that time: 2026-07-01T12:00:00Z, 2026-07-01, or -2h for two hours ago")

LOCK = Parameter("Fluffy-Lock", "text", "the token of the lock under which this write is made")
HASHES = (Parameter("Content-MD5", "text", "of the body, in base64: checked before anything becomes visible"),
          Parameter("Fluffy-Blake3", "text", "of the body, in hex: likewise"))
WRITE_HEADERS = (Parameter("If-Match", "text", "only if the file has this etag; *: only if there is one"),
                 Parameter("If-None-Match", "text", "*: only if there is no file"), LOCK)
BODY_HEADERS = (*WRITE_HEADERS, *HASHES, Parameter("Fluffy-Tags", "text", "key=value&key=value, percent-encoded"))
KEPT = tuple(Parameter(f"Fluffy-Header-{name.title()}", "text", f"kept with the file as its {name.title()}")
             for name in KEPT_HEADERS)
READ_HEADERS = (Parameter("Range", "text", "bytes=FIRST-LAST, or several"),
                Parameter("If-Match", "text", "only if it has this etag, else 412"),
                Parameter("If-None-Match", "text", "only if it has not, else 304"),
                Parameter("If-Modified-Since", "text", "only if it changed after that, else 304"),
                Parameter("If-Unmodified-Since", "text", "only if it did not, else 412"),
                Parameter("If-Range", "text", "the range only if it has this etag, else the whole file"))
CONTENT_RANGE = Parameter("Content-Range", "text", "needed: bytes FIRST-LAST/*, which bytes the body is")
