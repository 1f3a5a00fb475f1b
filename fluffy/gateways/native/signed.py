"""A signed URL on its way through the desk: instead of a token, for one path and method under /v1/files/.

    /v1/files/BUCKET/NAME?generation=3&signed=EXPIRES_MS.SIGNER_NO.MAC

The parameter stands last, so that what the signature is over is simply everything before it.
"""

from __future__ import annotations

from urllib.parse import quote

from fluffy.base.errors import AccessDenied, NameIllegal
from fluffy.base.paths import RemotePath, parse_file_path
from fluffy.gateways.native.table import Match

FILES_PATTERN = "/v1/files/{path}"
_MARK = "signed="


def split_signature(query: str) -> tuple[str, str | None]:
    """(the query without its signature, the signature); None: the request is not a signed one."""
    if _MARK not in query:
        return query, None
    rest, separator, last = query.rpartition("&")
    if not last.startswith(_MARK):
        return query, None
    return rest if separator else "", last[len(_MARK):]


def signed_path(match: Match | None) -> str:
    """The canonical path that a signed request is about. Raises AccessDenied where signatures do not count."""
    if match is None or match.route.pattern != FILES_PATTERN:
        raise AccessDenied("a signed URL is for one file; it opens nothing else")
    try:
        return parse_file_path(match.params["path"]).text
    except NameIllegal as error:
        raise AccessDenied("the signed URL was changed: that is not the path of a file") from error


def signed_target(path: RemotePath, query: str, signature: str) -> str:
    """The address to hand out, without scheme and host."""
    rest = f"{query}&" if query else ""
    return f"/v1/files{quote(str(path))}?{rest}{_MARK}{signature}"
