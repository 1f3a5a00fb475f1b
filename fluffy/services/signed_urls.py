"""Signed URLs: one request, allowed beforehand to whoever holds its address, until a given time.

A URL carries when it ends, who signed it, and a keyed BLAKE3 over these, the method, the path and every other
parameter. The key comes from the cluster's secret, so each gateway can check a URL that another one made, and nothing
is stored. What the request may do is what its signer may do at the moment of the request.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass

from blake3 import blake3

from fluffy.base.errors import AccessDenied
from fluffy.base.ids import UserNo
from fluffy.base.units import DAY_MS, SECOND_MS

# As long as other stores allow; longer ones are grants.
TTL_MAX_MS = 7 * DAY_MS
TTL_MIN_MS = SECOND_MS
# 192 bits; 32 characters without padding.
MAC_BYTES = 24
METHODS = ("GET", "HEAD", "PUT")
_CONTEXT = "fluffy 2026 signed urls v1"
_TEXT = re.compile(r"([1-9][0-9]{0,14})\.([1-9][0-9]{0,14})\.([A-Za-z0-9_-]{32})\Z")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature allows. `path`: canonical; `query`: the other parameters, exactly as in the URL."""

    method: str
    path: str
    query: str
    expires_ms: int
    signer_no: UserNo


class UrlSigner:
    """Makes and checks signatures. `cluster_secret`: the same at every gateway."""

    def __init__(self, cluster_secret: bytes) -> None:
        self._key = blake3(cluster_secret, derive_key_context=_CONTEXT).digest()

    def sign(self, request: SignedRequest) -> str:
        """The value of the URL's last parameter: `EXPIRES_MS.SIGNER_NO.MAC`."""
        mac = base64.urlsafe_b64encode(self._mac(request)).decode()
        return f"{request.expires_ms}.{request.signer_no}.{mac}"

    def signer_of(self, text: str, *, method: str, path: str, query: str, now_ms: int) -> UserNo:
        """Who signed this request. Raises AccessDenied, in time that does not depend on how wrong the signature is."""
        match = _TEXT.match(text)
        if match is None:
            raise AccessDenied("this is not a signed URL as this cluster makes them")
        request = SignedRequest(method, path, query, int(match[1]), UserNo(int(match[2])))
        if not hmac.compare_digest(self._mac(request), base64.urlsafe_b64decode(match[3])):
            raise AccessDenied("the signed URL was changed, is for another method, or was made by another cluster")
        if now_ms >= request.expires_ms:
            raise AccessDenied("the signed URL has expired; ask its sender for a new one")
        return request.signer_no

    def _mac(self, request: SignedRequest) -> bytes:
        parts = (request.method, request.path, request.query, str(request.expires_ms), str(request.signer_no))
        data = b"".join(b"%d:%b" % (len(part), part) for part in (
            text.encode(errors="surrogatepass") for text in parts))
        return blake3(data, key=self._key).digest(MAC_BYTES)
