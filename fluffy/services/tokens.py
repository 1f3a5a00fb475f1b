"""Making secrets that are handed out once: API tokens and lock tokens.

A token is derived from the cluster's secret and the request's id, not drawn: a client that lost the answer and repeats
the request gets the same token, whichever gateway answers (promise P4), and still nobody without the cluster's
secret can guess one. The state keeps only its BLAKE3, so neither the log nor a stolen database opens anything.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from blake3 import blake3

from fluffy.base.ids import RequestId

# 192 bits; 32 characters without padding.
TOKEN_BYTES = 24
_CONTEXT = "fluffy 2026 tokens derived from requests v1"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` goes to its owner and is forgotten; `hash` goes into the command."""

    text: str
    hash: bytes


class TokenMaker:
    """Derives tokens. `cluster_secret`: the same at every gateway."""

    def __init__(self, cluster_secret: bytes) -> None:
        self._key = blake3(cluster_secret, derive_key_context=_CONTEXT).digest()

    def api_token(self, request_id: RequestId) -> Token:
        return self._make(b"api", request_id)

    def lock_token(self, request_id: RequestId) -> Token:
        return self._make(b"lock", request_id)

    def _make(self, purpose: bytes, request_id: RequestId) -> Token:
        secret = blake3(purpose + b"\x00" + request_id, key=self._key).digest(TOKEN_BYTES)
        text = base64.urlsafe_b64encode(secret).decode()
        if text[0] == "-":  # a command line would take it for an option
            text = "A" + text[1:]
        return Token(text, hash_of(text))


def hash_of(text: str) -> bytes:
    """What the state knows of a token that a client sent. Any text is somebody's token or nobody's."""
    return blake3(text.encode(errors="surrogatepass")).digest()
