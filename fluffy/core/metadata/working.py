"""The state as the apply functions see it: the connection, plus the few rows every command touches, kept in memory.

Counters and folders change many times in one batch; they are loaded once, changed here, and written by `flush` inside
the same transaction. Nothing here is a second truth: between transactions memory and database say the same.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.ids import NodeNo, UserNo
from fluffy.core.metadata.accounts import Accounts
from fluffy.core.metadata.bucket_rules import BucketRules, Keeping
from fluffy.core.metadata.folder_cache import Folder, FolderCache
from fluffy.core.metadata.lock_table import LockTable
from fluffy.core.metadata.model import ClusterSettings, Role, User

# Year 9999: far beyond any honest clock, and far from the end of SQLite's integers.
CLOCK_MS_MAX = 253_402_300_799_000
# Users are loaded once each; more than this many and the cache starts afresh.
_USERS_CACHED_MAX = 10_000


@dataclass(slots=True)
class Rebuild:
    """The row of `rebuilding`, as far as its commands ask for it."""

    rebuild_id: bytes
    source: str
    next_step: int


@dataclass(slots=True)
class NodeCounters:
    """What one node holds, by the catalog."""

    chunks: int
    bytes: int
    changed: bool = False


class Working:
    """The open state. Made by `load`; one per process that writes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        row: tuple[int, ...] = db.execute(
            "SELECT applied_index, applied_term, seq, clock_ms, last_no, request_no, feature_level, changes_cut, epoch,"
            " files, file_bytes, chunks, chunk_bytes, missing_chunks FROM state").fetchone()
        (self.applied_index, self.applied_term, self.seq, self.clock_ms, self.last_no, self.request_no,
         self.feature_level, self.changes_cut, self.epoch, self.files, self.file_bytes, self.chunks,
         self.chunk_bytes, self.missing_chunks) = row
        self.entry_term = self.applied_term  # of the log entry that is being applied
        # Rows of `changes` that are not in the table yet: nobody reads them before the commit.
        self.feed: list[tuple[int, int, int, str, int, int, int, str]] = []
        self.cluster_uuid: str | None = None
        self.settings = ClusterSettings(1, 1, 1, 0, 0, 1)
        self.nodes: dict[NodeNo, NodeCounters] = {}
        self.members_changed = 0  # grows with each change of who is a member or votes; of this process, not the state
        # Whether any copy is being dropped, or was lately (drop_table.py): most puts need not look.
        self.drops: bool = db.execute("SELECT 1 FROM drops LIMIT 1").fetchone() is not None
        self._users: dict[UserNo, User] = {}
        self.reload_tables()
        self.reload_cluster()

    def reload_tables(self) -> None:
        """Forget what is in memory of the tables of tree and people: they were filled anew."""
        self.folders = FolderCache(self.db)
        self.accounts = Accounts(self.db)
        self.rules = BucketRules(self.db)
        self.locks = LockTable(self.db)
        self._users.clear()
        row = self.db.execute("SELECT rebuild_id, source, next_step FROM rebuilding").fetchone()
        self.rebuild = None if row is None else Rebuild(*row)

    def reload_cluster(self) -> None:
        """Read settings and members again, after a command that changed them."""
        row = self.db.execute("SELECT cluster_uuid, replication, write_quorum, chunk_size, inline_max, trash_days,"
                              " versions_max FROM cluster").fetchone()
        if row is not None:
            self.cluster_uuid = row[0]
            self.settings = ClusterSettings(*row[1:])
        self.nodes = {NodeNo(no): NodeCounters(chunks, size)
                      for no, chunks, size in self.db.execute("SELECT node_no, chunks, bytes FROM nodes")}

    def add_node(self, node_no: NodeNo) -> None:
        """A member has come, with nothing."""
        self.nodes[node_no] = NodeCounters(0, 0)

    def next_no(self) -> int:
        """A number nothing had before."""
        self.last_no += 1
        return self.last_no

    def relisted(self, folder: Folder) -> Folder:
        """Note that the caller changes what a listing of `folder` shows, and will record that in the feed."""
        self.folders.touch(folder).listed = self.seq + 1
        return folder

    def advance_clock(self, at_ms: int) -> None:
        """Log time is the newest stamp seen; a proposer's wrong clock cannot turn it back, nor out of range."""
        if at_ms > self.clock_ms:
            self.clock_ms = min(at_ms, CLOCK_MS_MAX)

    def user(self, user_no: UserNo) -> User | None:
        """The user with that number, or None."""
        known = self._users.get(user_no)
        if known is None:
            row = self.db.execute("SELECT name, role, disabled FROM users WHERE user_no = ?", (user_no,)).fetchone()
            if row is None:
                return None
            role: Role = row[1]
            known = User(user_no, row[0], role, bool(row[2]))
            if len(self._users) >= _USERS_CACHED_MAX:
                self._users.clear()
            self._users[user_no] = known
        return known

    def keeping(self, bucket: Folder | None) -> Keeping:
        """The rules that hold in a bucket; None: one that is to be made."""
        return self.rules.of(None if bucket is None else bucket.no, self.settings)

    def forget_user(self, user_no: UserNo) -> None:
        """The row of the user was changed or deleted: read it again."""
        self._users.pop(user_no, None)

    def write_feed(self) -> None:
        """Write the rows of `changes`, all by one statement."""
        if self.feed:
            self.db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self.feed)
            self.feed.clear()

    def flush(self) -> None:
        """Write what is only in memory. Inside the transaction, right before it is committed."""
        invariant(self.db.in_transaction, "counters are written in the transaction whose changes they count")
        self.write_feed()
        self.folders.flush()
        self.accounts.flush()
        for node_no, counters in self.nodes.items():
            if counters.changed:
                self.db.execute("UPDATE nodes SET chunks = ?, bytes = ? WHERE node_no = ?",
                                (counters.chunks, counters.bytes, node_no))
                counters.changed = False
        self.db.execute(
            "UPDATE state SET applied_index = ?, applied_term = ?, seq = ?, clock_ms = ?, last_no = ?, request_no = ?,"
            " feature_level = ?, changes_cut = ?, epoch = ?, files = ?, file_bytes = ?, chunks = ?, chunk_bytes = ?,"
            " missing_chunks = ?",
            (self.applied_index, self.applied_term, self.seq, self.clock_ms, self.last_no, self.request_no,
             self.feature_level, self.changes_cut, self.epoch, self.files, self.file_bytes, self.chunks,
             self.chunk_bytes, self.missing_chunks))
