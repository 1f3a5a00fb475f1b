"""Who is asking: a bearer token, known to the state only by its BLAKE3.

Nothing but health checks answers without a credential (promise P10). The user behind a token is kept as long as the
state does not change, so a burst of requests costs one lookup, and a revoked token ends with the entry that revokes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

from fluffy.base.errors import QuerySyntax, Unauthenticated
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import User
from fluffy.core.metadata.model_people import Credential
from fluffy.ports import Clock, MetadataReader

# Tokens in use at once; 200 bytes each.
TOKENS_CACHED_MAX = 4096
TOKEN_BYTES_MAX = 512
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class _Known:
    credential: Credential
    seq: int

    def holds(self, seq: int, now_ms: int) -> bool:
        ends_ms = self.credential.expires_ms
        return self.seq >= seq and (ends_ms == 0 or now_ms < ends_ms)


class Tokens:
    """Looks up tokens in the state."""

    def __init__(self, reader: MetadataReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._known: dict[bytes, _Known] = {}

    def knows(self, token_hash: bytes) -> bool:
        """Whether the token was one a moment ago, or is in this node's state."""
        return token_hash in self._known or self.user_of(token_hash, 0) is not None

    def user_of(self, token_hash: bytes, seq: int) -> User | None:
        """The token's user in a state not older than `seq`, which this node has applied; None: no such token.

        A token that has expired, or whose user is disabled, is no token.
        """
        credential = self.credential_of(token_hash, seq)
        return None if credential is None else credential.user

    def credential_of(self, token_hash: bytes, seq: int) -> Credential | None:
        """What the state knows of a token; otherwise like `user_of`."""
        now_ms = self._clock.now_ms()
        known = self._known.get(token_hash)
        if known is not None and known.holds(seq, now_ms):
            return known.credential
        credential = self._reader.read(lambda db: queries.credential_by_token_hash(db, token_hash, now_ms))
        if credential is None:
            self._known.pop(token_hash, None)
            return None
        if len(self._known) >= TOKENS_CACHED_MAX and token_hash not in self._known:
            self._known.pop(next(iter(self._known)))  # the one that came first: a lookup brings it back
        self._known[token_hash] = _Known(credential, seq)
        return credential


def token_hash_of(headers: Mapping[str, str]) -> bytes:
    """The hash of the token in `Authorization`. Raises Unauthenticated without one. Cookies: `cookies.take_cookie`."""
    said = headers.get("authorization", "")
    token = said[7:].strip()
    if said[:7].lower() != "bearer " or not token or len(token) > TOKEN_BYTES_MAX or not token.isascii():
        raise Unauthenticated
    return blake3(token.encode()).digest()


def asker_hash(text: str) -> bytes:
    """The hash of somebody's token, in hex, as a supernode sends it. Raises QuerySyntax."""
    if _HASH.match(text) is None:
        raise QuerySyntax("Fluffy-Asker is the BLAKE3 of a token: 64 hex digits")
    return bytes.fromhex(text)
