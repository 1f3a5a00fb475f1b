"""What clients do to one small part of the tree: four places in two folders, where every kind of tree command meets.

A place holds a file whose bytes say which writes made it and added to it. Files are made, appended to, moved and
copied from place to place; a whole folder is carried to the other's name, or dropped; folders are locked for a while.
In the end the accepted ones are played again, in the order of the log, on a plain dictionary: each must have been
possible, the state must be the same as the real one, and so must all that was seen on the way; and nobody wrote under
another's lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from fluffy.base.hashing import chunk_id_of, etag_of
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, Header, PutFile
from fluffy.core.metadata.commands_people import AcquireLock, ReleaseLock
from fluffy.core.metadata.commands_tree import AppendFile, Copy, DeleteFolder, Move
from fluffy.core.metadata.model import Change
from fluffy.core.metadata.outcomes import Accepted
from fluffy.sim.writes import Write

HOME = "admin/places"
FOLDERS = (f"{HOME}/a", f"{HOME}/b")
PLACES = tuple(f"{folder}/{name}" for folder in FOLDERS for name in ("0", "1"))
KINDS: Mapping[str, int] = {"make": 5, "add": 6, "move": 4, "copy": 3, "carry": 4, "drop": 2, "lock": 2, "unlock": 2}
# What each of them looks like in the change feed; locks are not in it.
FEED_KINDS = {"make": "file-put", "add": "file-put", "move": "file-moved", "copy": "file-put", "carry": "folder-moved",
              "drop": "folder-deleted"}
# The shortest that there is: some end by themselves while their holder still writes.
LOCK_TTL_MS = 1_000
BRINGS_TOKEN = 0.5

Contents = dict[str, tuple[int, ...]]  # place -> the writes that made it what it is


@dataclass(frozen=True, slots=True)
class Sight:
    """What a read saw of all places at one moment."""

    seq: int
    contents: Contents


@dataclass(slots=True)
class Places:
    """`held`: numbers of the lock writes whose locks were taken and not given back by their holders."""

    held: list[int] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)

    # -- doing

    def draw(self, rng: Random, number: int, now_s: float) -> Write:
        """The next thing that a client does here."""
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "unlock" and not self.held:
            kind = "lock"
        lock = rng.choice(self.held) if self.held and rng.random() < BRINGS_TOKEN else None
        match kind:
            case "make" | "add":
                return Write(number, kind, rng.choice(PLACES), now_s, lock=lock)
            case "move" | "copy":
                src, dst = rng.sample(PLACES, 2)
                return Write(number, kind, dst, now_s, src=src, lock=lock)
            case "carry":
                src, dst = rng.sample(FOLDERS, 2)
                return Write(number, kind, dst, now_s, src=src, lock=lock)
            case "unlock":
                return Write(number, kind, HOME, now_s, lock=self.held.pop(rng.randrange(len(self.held))))
        return Write(number, kind, rng.choice(FOLDERS), now_s, lock=lock if kind == "drop" else None)

    def command(self, write: Write, header: Header) -> Command:
        token = b"" if write.lock is None else token_of(write.lock)
        match write.kind:
            case "make":
                content = mark_of(write.number)
                blake3 = bytes(chunk_id_of(content))
                return PutFile(header, write.path, len(content), blake3, etag_of(blake3), "text/plain", {}, {}, content,
                               (), (), if_none_match=True, lock=token)
            case "add":
                return AppendFile(header, write.path, mark_of(write.number), lock=token)
            case "copy":
                return Copy(header, write.src, write.path, lock=token)
            case "drop":
                return DeleteFolder(header, write.path, lock=token)
            case "lock":
                return AcquireLock(header, write.path, "exclusive", LOCK_TTL_MS, token_of(write.number))
            case "unlock":
                return ReleaseLock(header, token)
        return Move(header, write.src, write.path, lock=token)

    def accepted(self, write: Write) -> None:
        """For the first time; it may have been done long before."""
        if write.kind == "lock":
            self.held.append(write.number)

    def look(self, db: sqlite3.Connection, seq: int) -> None:
        self.sights.append(Sight(seq, contents_of(db)))

    # -- judging

    def judge(self, writes: list[Write], feed: dict[int, Change], final: Contents,
              violated: Callable[[str], None]) -> None:
        """Compare with what a dictionary does. `feed`: the rows by their number."""
        done = sorted((write for write in writes if write.kind in KINDS and isinstance(write.outcome, Accepted)),
                      key=seq_of)
        contents: Contents = {}
        sights = sorted(self.sights, key=lambda sight: sight.seq)
        for write in done:
            while sights and sights[0].seq < seq_of(write):
                _compare(sights.pop(0), contents, violated)
            problem = _apply(write, contents)
            if problem:
                violated(f"write {write.number} ({write.kind} {write.src} {write.path}) was accepted at "
                         f"{seq_of(write)}, though {problem}")
                return
        for sight in (*sights, Sight(seq_of(done[-1]) if done else 0, final)):
            _compare(sight, contents, violated)
        _judge_locks(done, feed, violated)


def mark_of(number: int) -> bytes:
    return b"%d:" % number


def token_of(number: int) -> bytes:
    """The hash of a lock's token."""
    return number.to_bytes(32, "big")


def seq_of(write: Write) -> int:
    return write.outcome.seq if isinstance(write.outcome, Accepted) else 0


def contents_of(db: sqlite3.Connection) -> Contents:
    found: Contents = {}
    for place in PLACES:
        version = queries.file_version(db, parse_path(place))
        if version is not None:
            found[place] = tuple(int(mark) for mark in (version.inline or b"").split(b":")[:-1])
    return found


def _compare(sight: Sight, contents: Contents, violated: Callable[[str], None]) -> None:
    if sight.contents != contents:
        violated(f"the places at {sight.seq} were seen as {sight.contents}, and should be {contents}")


def _inside(contents: Contents, folder: str) -> list[str]:
    return [place for place in contents if place.startswith(folder + "/")]


def _apply(write: Write, contents: Contents) -> str:
    """Do it; returns why it cannot be, or nothing."""
    path, src = write.path, write.src
    if write.kind in ("make", "move", "copy") and path in contents:
        return f"{path} is there"
    if write.kind in ("move", "copy") and src not in contents:
        return f"{src} is not there"
    match write.kind:
        case "make":
            contents[path] = (write.number,)
        case "add":
            contents[path] = (*contents.get(path, ()), write.number)
        case "move":
            contents[path] = contents.pop(src)
        case "copy":
            contents[path] = contents[src]
        case "carry":
            if _inside(contents, path):
                return f"{path} is not free"
            for place in _inside(contents, src):
                contents[path + place.removeprefix(src)] = contents.pop(place)
        case "drop":
            for place in _inside(contents, path):
                del contents[place]
    return ""


def _judge_locks(done: list[Write], feed: dict[int, Change], violated: Callable[[str], None]) -> None:
    """Who holds what, in the order of the log; a lock also ends by log time, which the feed tells."""
    held: dict[str, Write] = {}  # folder -> the write that took its lock
    fence = 0
    for write in done:
        assert isinstance(write.outcome, Accepted)
        if write.kind == "lock":
            expires_ms = write.outcome.facts["expires_ms"]
            holder = held.get(write.path)
            if holder is not None and _end_of(holder) > expires_ms - LOCK_TTL_MS:
                violated(f"write {write.number} locked {write.path}, which write {holder.number} had locked")
            if write.outcome.facts["fence"] <= fence:
                violated(f"write {write.number} got a fence that is not newer than the one before")
            fence = write.outcome.facts["fence"]
            held[write.path] = write
        elif write.kind == "unlock":
            held = {folder: holder for folder, holder in held.items() if holder.number != write.lock}
        elif seq_of(write) in feed:
            now_ms = feed[seq_of(write)].at_ms
            met = {holder.number for folder, holder in held.items() if _end_of(holder) > now_ms
                   and any(path == folder or path.startswith(folder + "/") for path in _changed(write))}
            if met - {write.lock}:
                violated(f"write {write.number} changed {write.path} under the lock of write {sorted(met)}")
            if write.lock is not None and write.lock not in met:
                violated(f"write {write.number} brought the token of {write.lock}, which had ended, and was accepted")


def _changed(write: Write) -> tuple[str, ...]:
    return (write.path,) if write.kind == "copy" or not write.src else (write.path, write.src)


def _end_of(lock: Write) -> int:
    assert isinstance(lock.outcome, Accepted)
    return int(lock.outcome.facts["expires_ms"])
