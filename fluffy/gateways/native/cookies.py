"""Sessions of browsers: a token in a cookie, and what keeps other pages from using it.

A browser sends cookies with whatever a page asks for, so a cookie alone is not a wish of its user. It counts only when
the browser says that a page of this very door asks (Sec-Fetch-Site), for something that cannot run (Sec-Fetch-Dest: the
files of users are served here, too), and for changes with the CSRF token, which only our page was told. Pages of other
machines do not even make browsers send the cookie (SameSite=Strict). See docs/decisions/028.

Cookies know no ports, so a cookie's name says whose it is: of a cluster, whose nodes all take it, or of the supernode
at a port. Two of them at one host name leave each other's sessions alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from blake3 import blake3

from fluffy.base.errors import AccessDenied
from fluffy.base.ids import ClusterUuid
from fluffy.gateways.http.exchange import Request

SESSION = "fluffy_session"
SUPERNODE = "fluffy_supernode"
CSRF_HEADER = "fluffy-csrf"
# More than a browser sends to one host.
COOKIES_MAX = 64
TOKEN_CHARS_MAX = 512
_CONTEXT = "fluffy 2026 csrf token of a browser session"
_READING = frozenset({"GET", "HEAD"})
# What a page may use an answer for, beside fetch ("empty"): never to run it or to show it within itself.
_DESTINATIONS = frozenset({"empty", "document", "image", "audio", "video"})


def cluster_cookie(cluster_uuid: ClusterUuid) -> str:
    """The name of the sessions of a cluster, the same at each of its nodes."""
    return f"{SESSION}_{cluster_uuid[:8]}"


def supernode_cookie(headers: Mapping[str, str]) -> str:
    """The name of the sessions of the supernode that a browser asks: it has no id, but a port that no other has."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"{SUPERNODE}_{port}" if port.isascii() and port.isdigit() else SUPERNODE


def cookie_of(headers: Mapping[str, str], name: str) -> str | None:
    """The token in a browser's cookie; None: there is none."""
    text = headers.get("cookie")
    if text is None:
        return None
    for pair in text.split(";", COOKIES_MAX):
        key, _, value = pair.strip().partition("=")
        if key == name and 0 < len(value) <= TOKEN_CHARS_MAX and value.isascii():
            return value
    return None


def csrf_of(token: str) -> str:
    """What every change by cookie must bring; whoever knows it knows the token or was told by it."""
    return blake3(token.encode(), derive_key_context=_CONTEXT).hexdigest()[:32]


def take_cookie(call: Request, name: str) -> None:
    """From here on the token in a browser's cookie is the request's credential, if it brings no other.

    Raises AccessDenied unless our own page asks.
    """
    token = cookie_of(call.headers, name)
    if token is None or "authorization" in call.headers:
        return
    _check_page(call.method, call.headers, token)
    call.headers = {**call.headers, "authorization": f"Bearer {token}"}


def _check_page(method: str, headers: Mapping[str, str], token: str) -> None:
    check_same_page(headers)
    if headers.get("sec-fetch-dest", "empty") not in _DESTINATIONS:
        raise AccessDenied("a browser's session opens nothing that a page would run or embed")
    if method not in _READING and not hmac.compare_digest(
            headers.get(CSRF_HEADER, "").encode(errors="replace"), csrf_of(token).encode()):
        raise AccessDenied("the page is out of date: reload it (a change in a browser's session takes Fluffy-Csrf)")


def check_same_page(headers: Mapping[str, str]) -> None:
    """Raise AccessDenied when a browser says that another page asks; programs say nothing."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise AccessDenied("another page asked for this, not the dashboard")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise AccessDenied("another page asked for this, not the dashboard")


def session_cookie(name: str, token: str, seconds: int, *, is_secure: bool) -> tuple[str, str]:
    """The header that keeps a session in the browser; of 0 seconds: that ends it."""
    secure = "; Secure" if is_secure else ""
    return "Set-Cookie", f"{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
