"""Who is asking: a bearer token, known to the state only by its BLAKE3.

Nothing but health checks answers without a credential (promise P10). The user behind a token is kept as long as the
state does not change, so a burst of requests costs one lookup, and a revoked token ends with the entry that revokes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3
from cachetools import LRUCache

from fluffy.base.errors import Unauthenticated
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import User
from fluffy.ports import MetadataReader

# Tokens in use at once; 200 bytes each.
TOKENS_CACHED_MAX = 4096
TOKEN_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class _Known:
    user: User
    seq: int


class Tokens:
    """Looks up tokens in the state."""

    def __init__(self, reader: MetadataReader) -> None:
        self._reader = reader
        self._known: LRUCache[bytes, _Known] = LRUCache(TOKENS_CACHED_MAX)

    def user_of(self, token_hash: bytes, seq: int) -> User | None:
        """The token's user in a state not older than `seq`, which this node has applied; None: no such token."""
        known = self._known.get(token_hash)
        if known is not None and known.seq >= seq:
            return known.user
        user = self._reader.read(lambda db: queries.user_by_token_hash(db, token_hash))
        if user is None:
            self._known.pop(token_hash, None)
        else:
            self._known[token_hash] = _Known(user, seq)
        return user


def token_hash_of(headers: Mapping[str, str]) -> bytes:
    """The hash of the token in `Authorization`. Raises Unauthenticated when there is none."""
    header = headers.get("authorization")
    if header is None:
        raise Unauthenticated
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > TOKEN_BYTES_MAX or not token.isascii():
        raise Unauthenticated
    return blake3(token.encode()).digest()
