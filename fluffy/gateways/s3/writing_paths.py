"""The path of the object that a request is about."""

from __future__ import annotations

from fluffy.base.errors import NameIllegal
from fluffy.base.object_keys import KEY_BYTES_MAX
from fluffy.base.paths import RemotePath
from fluffy.gateways.s3.call import S3Call
from fluffy.wire.s3_errors import S3Error


def object_path_of(call: S3Call) -> RemotePath:
    """The path of the call's object. Raises S3Error."""
    if len(call.key.encode()) > KEY_BYTES_MAX:
        raise S3Error("KeyTooLongError", 400, "Your key is too long", Size=len(call.key.encode()),
                      MaxSizeAllowed=KEY_BYTES_MAX)
    try:
        return call.path
    except NameIllegal as error:
        raise S3Error("InvalidArgument", 400, error.message, ArgumentName="Key") from error
