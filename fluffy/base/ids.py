"""The identities that travel between rooms.

A *node name* is what people type (`one`); a *node number* is the small integer the log gave that node at
genesis, used in packed replica lists. A *chunk id* is the BLAKE3 of the chunk's bytes (32 bytes). A *request id*
is 16 bytes derived from the caller and the idempotency key the caller chose.
"""

from __future__ import annotations

import os
import uuid
from typing import NewType

from blake3 import blake3

NodeName = NewType("NodeName", str)
NodeNo = NewType("NodeNo", int)
UserNo = NewType("UserNo", int)
ClusterUuid = NewType("ClusterUuid", str)
DiskUuid = NewType("DiskUuid", str)
ChunkId = NewType("ChunkId", bytes)
RequestId = NewType("RequestId", bytes)

CHUNK_ID_BYTES = 32
REQUEST_ID_BYTES = 16


def new_cluster_uuid() -> ClusterUuid:
    return ClusterUuid(str(uuid.uuid4()))


def new_disk_uuid() -> DiskUuid:
    return DiskUuid(str(uuid.uuid4()))


def new_request_id() -> RequestId:
    return RequestId(os.urandom(REQUEST_ID_BYTES))


def request_id_for(user_no: UserNo, client_key: str) -> RequestId:
    """Make one user's idempotency key unlike the same key of another user.

    `client_key` is the text of the `Fluffy-Request-Id` header (already bounded by the door).
    """
    return RequestId(blake3(b"%d\x00" % user_no + client_key.encode()).digest(REQUEST_ID_BYTES))


def part_of_request(request_id: RequestId, part: str) -> RequestId:
    """The id of one command of a request that takes several; the same each time the request is repeated."""
    return RequestId(blake3(part.encode() + b"\x00" + request_id).digest(REQUEST_ID_BYTES))
