"""`verify`: read files from the cluster and hash them here, against what the cluster says they are.

The hash of the whole file is compared, and that of each chunk, which is its name. With `--each-peer` every known node
is asked in turn, and each reads its own copies first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from blake3 import blake3

from fluffy.base.errors import TransferCorrupt
from fluffy.base.units import format_size
from fluffy.client.results import FileInfo
from fluffy.client.shell.acts import PIPED_PATHS, run_each
from fluffy.client.shell.output import safe
from fluffy.client.shell.progress import TreeCount
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row


@row("safety", takes="remote", eats="paths", params=(
    PIPED_PATHS, click.Option(["--each-peer"], is_flag=True, help="Read them through every known node, not only one."),
), examples=(
    ("verify report.pdf", "one file"), ("verify /team", "all below a folder"),
    ("verify --each-peer report.pdf", "the copies of all nodes"),
))
def verify(session: Session, paths: tuple[str, ...], each_peer: bool) -> None:
    """Read files and check every byte against the cluster's hashes; folders with all in them."""
    client = session.client
    first = client.peer
    # Learned from the first answer, so asked after there was one.
    targets = list(walk_files(session, session.paths(paths)))
    peers = client.peers if each_peer else (first,)

    def one(path: str) -> Mapping[str, Any]:
        info = client.info(path)
        for peer in peers:
            if each_peer:
                client.use_peer(peer)
            _check(session, info)
            if not session.output.json:
                through = f", through {safe(peer)}" if each_peer else ""
                session.output.line(f"good {safe(path)} ({format_size(info.size)}{through})")
        count(path, info.size * len(peers))
        return {"path": path, "size": info.size, "generation": info.generation, "blake3": info.blake3, "good": True,
                "peers": list(peers)}
    try:
        with TreeCount(session.output, "verified") as count:
            run_each(session, targets, one)
    finally:
        if each_peer:
            client.use_peer(first)


def walk_files(session: Session, paths: list[str]) -> Iterator[str]:
    """The files at and below the paths."""
    waiting = list(reversed(paths))
    while waiting:
        path = waiting.pop()
        if path != "/" and not session.client.info(path).is_folder:
            yield path
            continue
        below: list[str] = []
        for entry in session.client.ls(path):
            if entry.is_folder:
                below.append(entry.path)
            else:
                yield entry.path
        waiting += reversed(below)


def _check(session: Session, info: FileInfo) -> None:
    """Raises TransferCorrupt when the bytes are not those of the hashes."""
    chunks = [(str(chunk["id"]), int(chunk["length"])) for chunk in info.document.get("chunks") or ()]
    reading = _Hashing(chunks)
    session.client.write_to(info.path, reading.add, generation=info.generation)
    whole = reading.whole.hexdigest()
    if (info.blake3 and whole != info.blake3) or reading.size != info.size or reading.bad is not None:
        part = f"; chunk {reading.bad} is not what its name says" if reading.bad is not None else ""
        raise TransferCorrupt(f"{info.path} is not what its hash says{part}", retry="never", path=info.path,
                              found=whole, expected=info.blake3)


class _Hashing:
    """Hashes a file's bytes as a whole and chunk by chunk. `bad`: the number of the first chunk that is not itself."""

    def __init__(self, chunks: list[tuple[str, int]]) -> None:
        self.whole = blake3()
        self.size = 0
        self.bad: int | None = None
        self._chunks = chunks
        self._number = 0
        self._chunk = blake3()
        self._filled = 0

    def add(self, block: bytes) -> None:
        self.whole.update(block)
        self.size += len(block)
        view = memoryview(block)
        while view and self._number < len(self._chunks):
            name, length = self._chunks[self._number]
            piece = view[:length - self._filled]
            self._chunk.update(piece)
            self._filled += len(piece)
            view = view[len(piece):]
            if self._filled == length:
                if self._chunk.hexdigest() != name and self.bad is None:
                    self.bad = self._number
                self._number, self._chunk, self._filled = self._number + 1, blake3(), 0


SPECS: tuple[Spec, ...] = (verify,)
