"""Who signed: key pairs of the state, their secrets opened once and kept a while."""

from __future__ import annotations

from dataclasses import dataclass, field

from cachetools import LRUCache

from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.model import User
from fluffy.gateways.s3.call import S3Call
from fluffy.ports import MetadataReader
from fluffy.services.s3_keys import S3Keys
from fluffy.wire import s3_signature_v2
from fluffy.wire.s3_checksums import ALGORITHMS, digest_of, encode, header_of
from fluffy.wire.s3_errors import SignatureError
from fluffy.wire.s3_signature import Signed, SigningKey, parse_authorization, verify
from fluffy.wire.s3_signature_v2 import SignedV2, verify_v2

# Key pairs in use at once; 500 bytes each.
SECRETS_CACHED_MAX = 4096
_OF_NOTHING = {header_of(algorithm): encode(digest_of(algorithm, b"")) for algorithm in ALGORITHMS}


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


def claimed(call: S3Call) -> Signed | SignedV2 | None:
    """Who the call claims to be from; None: it brings no signature at all. Raises S3Error."""
    header = call.headers.get("authorization", "").strip()
    if header.startswith(f"{s3_signature_v2.SCHEME} "):
        return s3_signature_v2.in_header(header, call.headers)
    if "AWSAccessKeyId" in call.query and not header:
        return s3_signature_v2.in_query(call.query, call.headers)
    return parse_authorization(call.method, call.raw_path, call.raw_query, call.headers)


def hoisted(call: S3Call, signed: Signed | SignedV2 | None) -> dict[str, str]:
    """Headers that a signed URL has in its query, where its signature covers them: libraries put them there.

    But for the checksum of no bytes, which a library puts there that signs a URL before there is a body.
    """
    if signed is None or not signed.is_presigned:
        return {}
    names = s3_signature_v2.HOISTED if isinstance(signed, SignedV2) else ()
    return {name: text for name, text in call.query.items()
            if (name.startswith("x-amz-") or name in names) and name not in call.headers
            and _OF_NOTHING.get(name) != text}


def check_signature(call: S3Call, signed: Signed | SignedV2, secret: str, now_ms: int) -> SigningKey | None:
    """What chunks of the body are signed with; None: they cannot be. Raises SignatureError."""
    if isinstance(signed, SignedV2):
        resource = f"/{call.bucket}{call.raw_path}" if call.has_host_bucket else call.raw_path
        verify_v2(signed, secret, method=call.method, resource=resource, raw_query=call.raw_query,
                  headers=call.headers, now_ms=now_ms)
        return None
    return verify(signed, secret, method=call.method, raw_path=call.raw_path, raw_query=call.raw_query,
                  headers=call.headers, now_ms=now_ms)


def unknown_key(access_key: str) -> SignatureError:
    return SignatureError("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our"
                                                     " records.", AWSAccessKeyId=access_key)
