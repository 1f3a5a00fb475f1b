"""Cursors of searches as clients get them: sealed, because a page may end at a name that its asker must not know of.

A page that looked at enough candidates ends wherever it was, also in the middle of names that are hidden from who asks.
The seal tells nothing, and whoever sends it back goes on from there. It is good at this supernode only, as are the
row numbers in it.
"""

from __future__ import annotations

import base64
import binascii

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fluffy.base.errors import QuerySyntax

NONCE_BYTES = 12
# So that its length does not tell how long a name is.
STEP_BYTES = 96
_CONTEXT = "fluffy 2026 cursors of a supernode v1"


class CursorSeal:
    """`secret`: this supernode's own, the same after a restart."""

    def __init__(self, secret: str) -> None:
        key = blake3(secret.encode(), derive_key_context=_CONTEXT).digest()
        self._nonces = blake3(key, derive_key_context=_CONTEXT + " nonce").digest()
        self._cipher = AESGCM(key)

    def seal(self, cursor: str | None) -> str | None:
        """None stays None: there is no further page."""
        if cursor is None:
            return None
        text = cursor.encode()
        text = text.ljust(-(-len(text) // STEP_BYTES) * STEP_BYTES, b"\0")
        # The same cursor has the same seal, so no nonce is used for two texts.
        nonce = blake3(text, key=self._nonces).digest(NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text, None)).decode()

    def open(self, sealed: str | None) -> str | None:
        """None or empty: the first page. Raises QuerySyntax."""
        if not sealed:
            return None
        try:
            raw = base64.b64decode(sealed.encode("ascii"), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).rstrip(b"\0").decode()
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise QuerySyntax("'after' is no cursor of this supernode: send what a page of the same search said",
                              after=sealed[:80]) from error
