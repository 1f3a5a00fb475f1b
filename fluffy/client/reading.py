"""A remote file read in pieces: one generation of it, however long the reading takes, with read-ahead.

    open: HEAD -> etag, generation, size        every piece: that generation, If-Match that etag

So a file that is changed meanwhile is still read as it was when it was opened; when that generation is gone, reading
ends with an error, never with a mixture. Because a generation never changes, pieces are asked for without a barrier
(`Fluffy-Consistency: local`), only behind the position in the log that the opening saw.

Pieces grow while somebody reads on (a jump makes them small again), and are asked for ahead; whoever reads the whole
file in order also gets its BLAKE3 checked at the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from blake3 import blake3

from fluffy.base.checks import invariant
from fluffy.base.errors import FluffyError, PeerUnreachable, RangeIllegal, TransferCorrupt
from fluffy.base.paths import parse_file_path
from fluffy.base.units import KIB, MIB
from fluffy.client.download import RemoteHead, Which
from fluffy.client.retry import Persistence
from fluffy.client.transport import STALL_S, Call, StallGuard, Transport
from fluffy.client.upload import quoted, remote_url

# A jump into a table or an archive wants little; a request for less costs the same.
STEP_FIRST_BYTES = 128 * KIB
# From here on a request's own cost (2 ms) is small beside its transfer.
STEP_MAX_BYTES = 4 * MIB
# Who reads on is kept so far ahead of: one piece on the way while one is consumed, and one for the jitter.
STEPS_AHEAD = 2
# Pieces on their way for one large read. With STEP_MAX_BYTES the memory of one open file: 20 MiB.
PIECES_MAX = 4
invariant(STEPS_AHEAD < PIECES_MAX, "reading ahead leaves room for what is asked for now")
# Larger pieces are hashed in a thread.
HASH_INLINE_BYTES = 256 * KIB


@dataclass(slots=True, eq=False)
class _Piece:
    """Bytes `start` to `end` (exclusive), once they are there."""

    start: int
    end: int
    data: asyncio.Future[bytes]
    task: asyncio.Task[None] | None = None


class RemoteReader:
    """One generation of one file. For one event loop; reads wait for each other. `close()` ends what is on its way."""

    def __init__(self, transport: Transport, path: str, head: RemoteHead, *, at: str | None = None) -> None:
        """`at`: the time at which `head` was what stood at the path, where it does not stand there now."""
        self.path = str(parse_file_path(path))
        self.head = head
        self.size = head.size
        self._transport = transport
        self._url = remote_url("files", parse_file_path(path).text)
        self._query = (Which(head.generation) if at is None else Which(at=at)).query
        self._seq = transport.seq_seen
        self._pieces: deque[_Piece] = deque()
        self._group: asyncio.TaskGroup | None = None
        self._step = STEP_FIRST_BYTES
        self._read_to = 0
        self._turn = asyncio.Lock()
        self._hash: blake3 | None = blake3()
        self._hashed = 0

    async def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer only at the end of the file."""
        if offset < 0 or length < 0:
            raise RangeIllegal("offset and length are not negative")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        async with self._turn:
            return await self._read(offset, end)

    async def _read(self, offset: int, end: int) -> bytes:
        reads_on = offset == self._read_to
        if not reads_on:
            self._step = STEP_FIRST_BYTES
        found: list[bytes] = []
        position = offset
        while position < end:
            piece = await self._piece_at(position, end, reads_on=reads_on)
            part = piece.data.result()[position - piece.start:end - piece.start]
            found.append(part)
            position += len(part)
        self._read_to = end
        data = found[0] if len(found) == 1 else b"".join(found)
        await self._verify(offset, data)
        return data

    async def close(self) -> None:
        """End what is on its way. The reader may not be used any more."""
        group, self._group = self._group, None
        self._drop(len(self._pieces))
        if group is not None:
            await group.__aexit__(None, None, None)

    async def _piece_at(self, position: int, end: int, *, reads_on: bool) -> _Piece:
        """The piece with `position` in it, arrived; more are asked for up to `end`, further when somebody reads on."""
        while self._pieces and not self._pieces[0].start <= position < self._pieces[0].end:
            self._drop(1)
        ahead = STEPS_AHEAD * self._step if reads_on and self._read_to else 0
        wanted = min(max(end, position + ahead), self.size)
        next_start = self._pieces[-1].end if self._pieces else position
        while next_start < wanted and len(self._pieces) < PIECES_MAX:
            size = min(max(self._step, end - next_start), STEP_MAX_BYTES)
            next_end = min(next_start + size, self.size)
            await self._ask_for(next_start, next_end)
            next_start = next_end
            if reads_on:
                self._step = min(2 * self._step, STEP_MAX_BYTES)
        piece = self._pieces[0]
        await asyncio.wait((piece.data,))
        if piece.data.exception() is not None:
            self._drop(len(self._pieces))  # a later read asks again
        return piece

    async def _ask_for(self, start: int, end: int) -> None:
        if self._group is None:
            self._group = asyncio.TaskGroup()
            await self._group.__aenter__()
        piece = _Piece(start, end, asyncio.get_running_loop().create_future())
        piece.task = self._group.create_task(self._fill(piece))
        self._pieces.append(piece)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            piece = self._pieces.popleft()
            if piece.task is not None and not piece.data.done():
                piece.task.cancel()

    async def _fill(self, piece: _Piece) -> None:
        """Never raises: a failure belongs to whoever reads that far, not to the task that opened the file."""
        try:
            data = await self._transport.persist(lambda peer, patience: self._fetch(peer, patience, piece))
        except FluffyError as error:
            piece.data.set_exception(error)
            piece.data.exception()  # nobody may come for a piece that was only read ahead
        else:
            piece.data.set_result(data)
        finally:
            if not piece.data.done():
                piece.data.cancel()

    async def _fetch(self, peer: str, patience: Persistence, piece: _Piece) -> bytes:
        headers = {"Range": f"bytes={piece.start}-{piece.end - 1}", "If-Match": quoted(self.head.etag),
                   "Fluffy-Consistency": "local", "Fluffy-Min-Seq": str(self._seq)}
        call = Call("GET", self._url, query=self._query, headers=headers)
        stall, body = StallGuard(patience.answer_s), bytearray()
        async with self._transport.open(peer, call, stall) as response:
            stall.moved(seconds=STALL_S)
            told = response.headers
            if response.status != 206 or not told.get("Content-Range", "").startswith(f"bytes {piece.start}-"):
                raise PeerUnreachable(f"{peer} sent another part than the one asked for", peer=peer)
            async for block in response.content.iter_any():
                stall.moved()
                body += block
        if len(body) != piece.end - piece.start or told.get("ETag") != self.head.etag:
            raise PeerUnreachable(f"{peer} sent another part than the one asked for", peer=peer)
        return bytes(body)

    async def _verify(self, offset: int, data: bytes) -> None:
        """Hash what comes in order; at the end of the file it must be the file's hash."""
        if self._hash is None or offset != self._hashed or self.head.blake3 is None:
            self._hash = None
            return
        if len(data) > HASH_INLINE_BYTES:
            await asyncio.to_thread(self._hash.update, data)
        else:
            self._hash.update(data)
        self._hashed += len(data)
        if self._hashed == self.size and self._hash.hexdigest() != self.head.blake3:
            raise TransferCorrupt(f"the bytes of {self.path} that arrived do not match the file's hash", retry="never")
