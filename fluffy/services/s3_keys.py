"""Key pairs of S3: made, sealed for the log, opened to check a signature.

A signature is made with the secret itself, so unlike a token's it must be kept: encrypted under a key that comes from
the cluster's secret, bound to its access key. Neither the log nor a stolen database opens anything. A pair is derived
from the request's id, not drawn, and sealing is deterministic: a client that lost the answer and repeats the request
gets the same pair (promise P4).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fluffy.base.errors import QuerySyntax, Unavailable
from fluffy.base.ids import RequestId

# Beside AWS's own: 20 characters and 40, which every client and form takes.
ACCESS_KEY_BYTES = 11
SECRET_BYTES = 30
NONCE_BYTES = 12
_PREFIX = "FL"
_CONTEXT = "fluffy 2026 s3 key pairs v1"
_SEAL_CONTEXT = "fluffy 2026 s3 secrets in the log v1"
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_.-]{3,128}\Z", re.ASCII)
_SECRET = re.compile(r"[!-~]{8,128}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`secret` is told to its owner once."""

    access_key: str
    secret: str


class S3Keys:
    """Makes, seals and opens key pairs. `cluster_secret`: the same at every gateway."""

    def __init__(self, cluster_secret: bytes) -> None:
        self._key = blake3(cluster_secret, derive_key_context=_CONTEXT).digest()
        self._nonces = blake3(cluster_secret, derive_key_context=_SEAL_CONTEXT + " nonce").digest()
        self._cipher = AESGCM(blake3(cluster_secret, derive_key_context=_SEAL_CONTEXT).digest())

    def new_pair(self, request_id: RequestId) -> KeyPair:
        """The pair of a request."""
        drawn = blake3(b"pair\x00" + request_id, key=self._key).digest(ACCESS_KEY_BYTES + SECRET_BYTES)
        access_key = base64.b32encode(drawn[:ACCESS_KEY_BYTES]).decode().rstrip("=")
        secret = base64.b64encode(drawn[ACCESS_KEY_BYTES:], altchars=b"az").decode()
        return KeyPair(_PREFIX + access_key, secret)

    def seal(self, pair: KeyPair) -> bytes:
        """What the log keeps."""
        # Of equal secrets under one name only the same bytes come out, so the nonce is never used for two texts.
        text, name = pair.secret.encode(), pair.access_key.encode()
        nonce = blake3(name + b"\x00" + text, key=self._nonces).digest(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, name)

    def open(self, access_key: str, sealed: bytes) -> str:
        """The secret. Raises Unavailable when it was sealed under another cluster's secret."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], access_key.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Unavailable("that key pair was made under another cluster secret; make a new one") from error


def checked_pair(access_key: str, secret: str) -> KeyPair:
    """A pair that somebody brings along from elsewhere. Raises QuerySyntax."""
    if _ACCESS_KEY.match(access_key) is None:
        raise QuerySyntax("an access key has 3 to 128 letters, digits, dots, dashes or underscores")
    if _SECRET.match(secret) is None:
        raise QuerySyntax("a secret has 8 to 128 printable ASCII characters and no space")
    return KeyPair(access_key, secret)
