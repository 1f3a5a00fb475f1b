"""Who signed: key pairs of the state, their secrets opened once and kept a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.model import User
from fluffy.ports import MetadataReader
from fluffy.services.s3_keys import S3Keys
from fluffy.wire.s3_errors import SignatureError
from fluffy.wire.s3_signature import Signed, SigningKey, verify

# Key pairs in use at once; 500 bytes each.
SECRETS_CACHED_MAX = 4096


@dataclass(slots=True)
class Credentials:
    """`keys` is there from the cluster's birth on."""

    reader: MetadataReader
    _secrets: LRUCache[tuple[str, bytes], str] = field(default_factory=lambda: LRUCache(SECRETS_CACHED_MAX))

    def user_of(self, keys: S3Keys, access_key: str) -> tuple[User, str] | None:
        """The user and the secret of an access key in this node's state; None: it knows no such pair."""
        pair = self.reader.read(lambda db: queries_objects.key_pair(db, access_key))
        if pair is None:
            return None
        # The sealed bytes are part of the name: a pair made anew under the same name has another secret.
        known = self._secrets.get((access_key, pair.sealed))
        if known is None:
            known = self._secrets[access_key, pair.sealed] = keys.open(access_key, pair.sealed)
        return pair.user, known


def check_signature(signed: Signed, secret: str, *, method: str, raw_path: str, raw_query: str,
                    headers: Mapping[str, str], now_ms: int) -> SigningKey:
    """Raises SignatureError."""
    return verify(signed, secret, method=method, raw_path=raw_path, raw_query=raw_query, headers=headers,
                  now_ms=now_ms)


def unknown_key(access_key: str) -> SignatureError:
    return SignatureError("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our"
                                                     " records.", AWSAccessKeyId=access_key)
