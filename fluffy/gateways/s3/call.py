"""One request to the S3 door."""

from __future__ import annotations

from collections.abc import Mapping

from fluffy.base.object_keys import object_path
from fluffy.base.paths import RemotePath
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.s3.body import Watch
from fluffy.gateways.s3.operation import Operation
from fluffy.services.uploads import BodySource


class S3Call(Call):
    """What a handler needs beyond the native Call is set by the door before the handler runs.

    `bucket`: empty for the service itself; `key`: empty for a bucket. `has_host_bucket`: the host named the bucket, not
    the path. `raw_path`, `raw_query`: as they were sent.
    `access_key`: empty for somebody who brought no signature. `watch`: sees the body's bytes and checks what the
    request says of them.
    """

    __slots__ = ("access_key", "bucket", "has_host_bucket", "key", "operation", "raw_path", "raw_query", "watch")

    operation: Operation
    watch: Watch

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                 sends_files: bool) -> None:
        super().__init__(method, target, headers, body, remote, sends_files)
        self.bucket = ""
        self.has_host_bucket = False
        self.key = ""
        self.raw_path = ""
        self.raw_query = ""
        self.access_key = ""

    @property
    def is_anonymous(self) -> bool:
        return not self.access_key

    @property
    def path(self) -> RemotePath:
        """Of the object. Raises NameIllegal."""
        return object_path(self.bucket, self.key)
