"""Membership requests inside the log: `[kind, node id, node]`, in msgpack instead of the library's pickle."""

from __future__ import annotations

from typing import Any

import msgpack

from fluffy.base.checks import InvariantBroken
from fluffy.drivers.raft.peers import RaftPeer

KINDS = ("add", "rem")


def encode_membership(value: Any) -> bytes:
    """`value` is what `addNodeToCluster` and `removeNodeFromCluster` build: `[kind, id, RaftPeer]`."""
    if not isinstance(value, list) or len(value) != 3 or value[0] not in KINDS:
        raise InvariantBroken("the library wants to store something that is not a membership request")
    packed: bytes = msgpack.packb([value[0], str(value[1])])
    return packed


def decode_membership(data: bytes) -> tuple[str, str, RaftPeer]:
    """The request of an entry. Entries come from members only; a bad one is a bug or a newer format."""
    try:
        kind, name = msgpack.unpackb(data, raw=False, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise InvariantBroken("a membership entry of the log is not readable") from error
    if kind not in KINDS or not isinstance(name, str):
        raise InvariantBroken("a membership entry of the log is not readable")
    return kind, name, RaftPeer(name)
