"""A member of the Raft group, as the library's `Node`: known by its name, not by an address that may change."""

from __future__ import annotations

import zlib

from pysyncobj.node import Node


class RaftPeer(Node):  # type: ignore[misc]
    """Hashes the same in every process and run: the library iterates over sets of nodes."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())

    @property
    def address(self) -> str:
        """The library compares this with names in membership requests."""
        return str(self.id)
