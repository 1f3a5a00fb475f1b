"""A member of the Raft group, as the library's `Node`: known by its name, not by an address that may change."""

from __future__ import annotations

import zlib
from functools import lru_cache

from pysyncobj.node import Node

# Members, and those whose names are heard before they are known. More are made anew each time.
NAMES_MAX = 256


class RaftPeer(Node):  # type: ignore[misc]
    """Hashes the same in every process and run: the library iterates over sets of nodes."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._hash = zlib.crc32(name.encode())

    def __hash__(self) -> int:
        return self._hash

    @property
    def address(self) -> str:
        """The library compares this with names in membership requests."""
        return str(self.id)


@lru_cache(maxsize=NAMES_MAX)
def peer_of(name: str) -> RaftPeer:
    """The peer of a name. One object for each: tables find it by its identity, many times a turn."""
    return RaftPeer(name)
