"""Continuation tokens: opaque to clients, and nothing but a place to go on from.

A few bytes of a hash are in them, so that one which was cut or made up is refused instead of taken for another place.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

from fluffy.wire.s3_errors import S3Error

CURSOR_CHARS_MAX = 4096
_CHECK_BYTES = 6
_FORM = b"\x01"


def encode_cursor(key: str) -> str:
    data = _FORM + key.encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(data + _check(data)).decode("ascii").rstrip("=")


def decode_cursor(text: str) -> str:
    """Raises S3Error for what no answer of ours had."""
    try:
        if not 0 < len(text) <= CURSOR_CHARS_MAX:
            raise ValueError
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        data, check = packed[:-_CHECK_BYTES], packed[-_CHECK_BYTES:]
        if not data.startswith(_FORM) or check != _check(data):
            raise ValueError
        return data[len(_FORM):].decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise S3Error("InvalidArgument", 400, "The continuation token provided is incorrect",
                      ArgumentName="continuation-token") from error


def _check(data: bytes) -> bytes:
    return blake2b(data, digest_size=_CHECK_BYTES).digest()
