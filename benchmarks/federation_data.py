"""Ten clusters full of files with names, types, tags, owners and sizes, and what is asked of them (federation_million).

Everything follows from numbers, so what a search must find is known without keeping a million names.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from blake3 import blake3

from fluffy.base.hashing import etag_of
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.commands import Header, PutFile
from tests.support.cluster import Cluster, ClusterFailed

FILES_PER_FOLDER = 1_000
WORDS = ("report", "invoice", "photo", "draft", "backup", "notes", "summer", "budget", "scan", "letter", "video")
TYPES = {"pdf": "application/pdf", "png": "image/png", "txt": "text/plain", "mp4": "video/mp4", "csv": "text/csv"}
# One file in so many is of bob, of alice; the rest is the admin's.
OWNERS = (("bob", 50), ("alice", 5))
TAGGED_EVERY = 50
# One in so many has a size that the others do not have.
LARGE_EVERY = 2_000
LARGE_BYTES = 2_000
SMALL_BYTES_MAX = 300
PAGE = 100


def mixed(number: int) -> int:
    """Sixty-four scattered bits of a number (splitmix64)."""
    value = (number + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    value = (value ^ value >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return value ^ value >> 31


@dataclass(frozen=True, slots=True)
class Planned:
    """One file of one cluster: what it is called and what is told of it."""

    owner: str
    path: str
    name: str
    size: int
    content_type: str
    tags: dict[str, str]


def planned(cluster_no: int, number: int) -> Planned:
    bits = mixed(cluster_no << 32 | number)
    kinds = tuple(TYPES)
    kind = kinds[bits % len(kinds)]
    words = WORDS[(bits >> 8) % len(WORDS)], WORDS[(bits >> 16) % len(WORDS)]
    name = f"{words[0]}-{words[1]}-{bits >> 24:010x}.{kind}"
    owner = next((who for who, every in OWNERS if number % every == 0), "admin")
    size = LARGE_BYTES + bits % 2_000 if bits % LARGE_EVERY == 7 else 1 + (bits >> 5) % SMALL_BYTES_MAX
    tags = {"year": "2026", "box": f"{bits % 1000}"} if number % TAGGED_EVERY == 3 else {}
    return Planned(owner, f"{owner}/d{number // FILES_PER_FOLDER:04}/{name}", name, size, TYPES[kind], tags)


def user_numbers(cluster: Cluster) -> dict[str, UserNo]:
    """The owners, made, and their numbers."""
    name = cluster.names[0]
    for who, _ in OWNERS:
        status, _, body = cluster.request(name, "POST", "/v1/admin/users", b'{"name": "%s", "role": "user"}'
                                          % who.encode())
        if status != 201:
            raise ClusterFailed(f"user {who}: {status} {body[:200]!r}")
    db = sqlite3.connect(f"{(cluster.node_dir(name) / 'meta.db').absolute().as_uri()}?mode=ro", uri=True)
    try:
        return {who: UserNo(number) for who, number in db.execute("SELECT name, user_no FROM users")}
    finally:
        db.close()


def creations(cluster_no: int, users: dict[str, UserNo], start: int, count: int) -> Iterator[PutFile]:
    for number in range(start, start + count):
        one = planned(cluster_no, number)
        content = (b"%d of %d " % (number, cluster_no)).ljust(one.size, b".")[:one.size]
        digest = blake3(content).digest()
        yield PutFile(Header(new_request_id(), time.time_ns() // 1_000_000, NodeNo(1), users[one.owner]), one.path,
                      one.size, digest, etag_of(digest), one.content_type, {}, one.tags, content, (), ())


@dataclass(frozen=True, slots=True)
class Question:
    """A search, and the only path that it may find ('': it has many answers, at least `least`)."""

    target: str
    path: str = ""
    least: int = 0


def ask(path: str = "", least: int = 0, **parameters: str | int) -> Question:
    return Question("/v1/search?" + urlencode({"limit": PAGE, **parameters}), path, least)


def rare(clusters: int, files: int, count: int) -> Iterator[tuple[int, Question]]:
    """Seven hexadecimal digits out of the middle of a name; hardly ever do two names have the same."""
    for turn in range(count):
        bits = mixed(turn ^ 0x5EED)
        cluster_no, number = bits % clusters, (bits >> 16) % files
        one = planned(cluster_no, number)
        yield cluster_no, ask("/" + one.path, 1, q=one.name.rpartition(".")[0][-8:-1])


def filtered(files: int, count: int) -> dict[str, list[Question]]:
    """Pages by filters, alone and with a word that a sixth of all names has. `files`: in all clusters together."""
    bits = [mixed(turn ^ 0xF117E5) for turn in range(count)]
    words = [WORDS[one % len(WORDS)] for one in bits]
    types = [tuple(TYPES.values())[(one >> 8) % len(TYPES)] for one in bits]
    sizes = [SMALL_BYTES_MAX * 9 // 10 + (one >> 16) % 20 for one in bits]
    large = [LARGE_BYTES + (one >> 16) % 1_900 for one in bits]
    full = min(PAGE, files // 2_000)
    return {
        "type": [ask(least=full, type=types[turn]) for turn in range(count)],
        "owner": [ask(least=full, owner=("bob", "alice")[one % 2]) for one in bits],
        "tag": [ask(tag=f"box={one % 1000}") for one in bits],
        "size": [ask(least=full, min_size=size) for size in sizes],
        "a word": [ask(least=full, q=word) for word in words],
        "a word, type, size": [ask(least=full, q=word, type=types[turn], min_size=sizes[turn])
                               for turn, word in enumerate(words)],
        "a word, owner, tag": [ask(q=word, owner=("admin", "bob", "alice")[turn % 3], tag="year=2026")
                               for turn, word in enumerate(words)],
        "a word, a size that few have": [ask(q=word, min_size=large[turn], max_size=large[turn] + 99)
                                         for turn, word in enumerate(words)],
        "a size that few have": [ask(min_size=one, max_size=one + 99) for one in large]}


def at_times(moments: list[str]) -> dict[str, list[Question]]:
    """Pages by time. `moments`: when some of the files were made."""
    return {
        "since then": [ask(since=moment) for moment in moments],
        "a word, a tenth of a second": [
            ask(q=WORDS[turn % len(WORDS)], since=moment[:-3] + "00Z", until=moment[:-3] + "99Z")
            for turn, moment in enumerate(moments)]}
