"""What S3's clients are told when something is wrong: a code of S3's list, its status, and a sentence.

The modules `s3_*` of this room raise it for what they cannot accept; the S3 door (`gateways/s3`) raises it too, and
makes XML of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluffy.base.errors import RequestError


class S3Error(RequestError):
    """A refusal in S3's words. `facts` become further elements of the XML: names as S3 writes them.

    `headers`: what the answer says besides.
    """

    def __init__(self, s3_code: str, status: int, message: str, *, headers: Sequence[tuple[str, str]] = (),
                 **facts: Any) -> None:
        super().__init__(message, **facts)
        self.s3_code = s3_code
        self.status = status
        self.headers = tuple(headers)


class SignatureError(S3Error):
    """Who asks cannot be believed, or cannot be told."""


class ChunkMalformed(S3Error):
    """The framing of a body in signed or checked chunks is wrong."""


class MalformedXml(S3Error):
    """A document is no XML, more than we read, or not the one that the operation wants."""

    def __init__(self, message: str = "The XML you provided was not well-formed or did not validate against our"
                                      " published schema") -> None:
        super().__init__("MalformedXML", 400, message)
