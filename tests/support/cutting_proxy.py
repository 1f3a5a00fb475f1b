"""A TCP proxy in front of a door that counts what clients send, and cuts or refuses connections when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BLOCK_BYTES = 64 * 1024


@dataclass
class CuttingProxy:
    """`cut_after`: a connection is cut when it has carried so many bytes up; one entry for each cut to come.

    `dead`: new connections are cut at once.
    """

    host: str
    port: int
    up_bytes: int = 0
    cut_after: list[int] = field(default_factory=list)
    cuts: int = 0
    broken: int = 0  # connections that ended by an error
    dead: bool = False
    address: str = ""
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_bytes(self, count: int) -> None:
        """Until so many bytes have gone up."""
        while self.up_bytes < count:
            self.grown.clear()
            await self.grown.wait()

    def cut_all(self) -> None:
        for writer in self.open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.dead:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self.host, self.port)
        self.open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._up(reader, back, writer))
                group.create_task(self._down(there, writer))
        except* OSError:
            self.broken += 1
        finally:
            self.open -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter) -> None:
        carried = 0
        while block := await reader.read(BLOCK_BYTES):
            back.write(block)
            await back.drain()
            carried += len(block)
            self.up_bytes += len(block)
            self.grown.set()
            if self.cut_after and carried >= self.cut_after[0]:
                del self.cut_after[0]
                self.cuts += 1
                break
        writer.transport.abort()
        back.transport.abort()

    async def _down(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await there.read(BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def cutting_proxy(host: str, port: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_all()
        await asyncio.sleep(0)
