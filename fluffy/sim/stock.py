"""The library as it was released, put back into the simulation: it must be caught losing writes.

A simulation that finds nothing proves something only if it finds what is known to be there. `transport` puts back the
library's own handling of messages (no stripping of entries already held, acknowledgements at once, its own sending of
entries); `journal` its own idea of durability (nothing is ever synced). Everything else stays ours, so that what is
found is due to them.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from random import Random

import msgpack
from pysyncobj import SyncObj
from pysyncobj.journal import Journal

from fluffy.drivers.raft import node as node_module
from fluffy.drivers.raft.checkpoints import Checkpoints, PartTuple
from fluffy.drivers.raft.journal import Entry, JournalStats
from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.parts import Parts
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.drivers.raft.transport import RaftTransport
from fluffy.sim.disk import SimDisk
from fluffy.sim.scale import Place

# The library sends at most 64 KiB in one message; commands here are a hundredth of real groups, and so is this.
STOCK_BATCH_BYTES = 640


def encode_unchecked(message: Message) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def decode_unchecked(data: bytes) -> Message:
    message: Message = msgpack.unpackb(data, raw=False, use_list=False)
    return message


class StockTransport(RaftTransport):
    """Messages as the library sends and takes them. Only the sequence numbers stay: our reads count them."""

    def send(self, node: RaftPeer, message: Message) -> bool:
        if message["type"] == "append_entries":
            self._seq += 1
            message["seq"] = self._seq
        elif message["type"] == "next_node_idx":
            message["seq"] = self._answering_seq
        return self.links.send(node.id, message)

    def release_acks(self) -> None:
        """None was held."""

    def link_message(self, name: str, message: Message) -> None:
        peer = self._peers.get(name)
        if peer is None:
            return
        if message["type"] in self.extra:
            self.extra[message["type"]](name, message)
            return
        if message["type"] == "append_entries":
            self._answering_seq = message["seq"]
        elif message["type"] == "next_node_idx":
            self._acked_seq[name] = max(self._acked_seq.get(name, 0), message["seq"])
        self._onMessageReceived(peer, message)


class StockSyncObj(HardenedSyncObj):
    """Sending, truncating and becoming leader as the library does it."""

    def __init__(self, me: str, parts: Parts) -> None:
        super().__init__(me, parts)
        self.conf.appendEntriesBatchSizeBytes = STOCK_BATCH_BYTES

    def _SyncObj__sendAppendEntries(self) -> None:
        SyncObj._SyncObj__sendAppendEntries(self)

    def _SyncObj__deleteEntriesFrom(self, from_index: int) -> None:
        self.counters["applied_entries_truncated"] += from_index <= self.last_applied
        SyncObj._SyncObj__deleteEntriesFrom(self, from_index)

    def _SyncObj__onBecomeLeader(self) -> None:
        self.counters["became_leader"] += 1
        self.parts.transport.forget_acks()
        SyncObj._SyncObj__onBecomeLeader(self)


class StockCheckpoints(Checkpoints):
    """Ends a transfer with its last part, for the library does not say that it has taken it."""

    def getTransmissionData(self, peer: RaftPeer) -> PartTuple | None:
        part = super().getTransmissionData(peer)
        if part is not None and part[2]:
            self.sending_index(peer)
        return part


def stock_transport() -> list[Place]:
    """Nodes are made with the library's own transport."""
    return [(node_module, "RaftTransport", StockTransport), (node_module, "HardenedSyncObj", StockSyncObj)]


@dataclass
class _Image:
    """What a journal file and its `.meta` hold."""

    entries: list[Entry] = field(default_factory=list)
    term: int = 0
    vote: str | None = None
    commit: int = 1

    def copied(self) -> _Image:
        image = copy(self)
        image.entries = list(self.entries)
        return image


class StockDisk(SimDisk):
    """The page cache of one machine, with a memory-mapped journal in it: a kill keeps it, a power cut takes what the
    kernel had not written back by itself.
    """

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.cached = _Image()
        self.safe = _Image()

    def write_back(self) -> None:
        """What a kernel does now and then, unasked."""
        if self._rng.random() < 0.5:
            self.safe = self.cached.copied()

    def crash(self) -> None:
        super().crash()
        self.cached = self.safe.copied()


class StockJournal(Journal):  # type: ignore[misc]
    """`pysyncobj.journal.FileJournal`: the same promises, none. With the questions that our code asks a journal."""

    def __init__(self, disk: StockDisk) -> None:
        self._disk = disk
        self._image = disk.cached
        self.stats = JournalStats()

    # -- the library's interface

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._image.entries.append((command, idx, term))

    def clear(self) -> None:
        self._image.entries.clear()

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        del self._image.entries[entryFrom:]

    def deleteEntriesTo(self, entryTo: int) -> None:
        del self._image.entries[:entryTo]

    def __getitem__(self, item: int) -> Entry:
        return self._image.entries[item]

    def __len__(self) -> int:
        return len(self._image.entries)

    def _destroy(self) -> None:
        """Nothing is held."""

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self._image.commit = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        return max(1, min(self._image.commit, self.last_index))

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        self._image.term, self._image.vote = term, votedForNodeId

    def getCurrentTerm(self) -> int:
        return self._image.term

    def getVotedForNodeId(self) -> str | None:
        return self._image.vote

    def onOneSecondTimer(self) -> None:
        self._disk.write_back()

    # -- ours

    @property
    def first_index(self) -> int:
        return self._image.entries[0][1] if self._image.entries else 1

    @property
    def last_index(self) -> int:
        return self._image.entries[-1][1] if self._image.entries else 0

    @property
    def synced_index(self) -> int:
        return self.last_index

    @property
    def bytes_since_base(self) -> int:
        return sum(len(entry[0]) for entry in self._image.entries)

    def term_at(self, index: int) -> int | None:
        position = index - self.first_index
        return self._image.entries[position][2] if 0 <= position < len(self) else None

    def entries(self, first: int, last_exclusive: int, bytes_max: int | None = None) -> list[Entry]:
        found: list[Entry] = []
        total = 0
        for entry in self._image.entries[max(0, first - self.first_index):max(0, last_exclusive - self.first_index)]:
            total += len(entry[0])
            if found and bytes_max is not None and total > bytes_max:
                break
            found.append(entry)
        return found

    def sync(self) -> None:
        """The library has no such thing."""

    def compact_to(self, index: int) -> None:
        if self.first_index < index <= self.last_index:
            self.deleteEntriesTo(index - self.first_index)

    def reset(self, entry0: Entry, entry1: Entry) -> None:
        self._image.entries[:] = [entry0, entry1]
