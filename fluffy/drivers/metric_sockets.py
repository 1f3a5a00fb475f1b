"""How a gateway or a keeper is asked what it has counted: a unix socket in the node's `run/` that tells it and closes.

    async with telling_metrics(run_dir, "keeper", metrics):
        ...
    samples = await ask_metrics(run_dir, "keeper", Deadline.after(1.0))   # in another process of the node

Asked, not written down once a second: who is never scraped pays nothing, and who stands still is seen at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FrameCorrupt, NotReady
from fluffy.drivers.unix_sockets import listen_unix, short_address
from fluffy.wire.metric_samples import SAMPLES_BYTES_MAX, Samples, unpack_samples


def socket_path(run_dir: Path, process: str) -> Path:
    return run_dir / f"metrics-{process}.sock"


class _Teller(asyncio.Protocol):
    def __init__(self, tell: Callable[[], Samples]) -> None:
        self._tell = tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast(asyncio.WriteTransport, transport)
        writing.write(self._tell().pack())
        writing.close()


@asynccontextmanager
async def telling_metrics(run_dir: Path, process: str, tell: Callable[[], Samples]) -> AsyncIterator[None]:
    """Answer whoever asks, inside the context. Raises OSError when the folder takes no socket."""
    path = socket_path(run_dir, process)
    listener = listen_unix(path)
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Teller(tell), sock=listener)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def ask_metrics(run_dir: Path, process: str, deadline: Deadline) -> Samples:
    """What the process has counted. Raises NotReady when it does not tell in time, FrameCorrupt for nonsense."""
    try:
        async with asyncio.timeout(deadline.left_s):
            with short_address(socket_path(run_dir, process)) as address:
                reader, writer = await asyncio.open_unix_connection(address)
            try:
                data = await _read_all(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise NotReady(f"the node's process {process} does not tell what it counts") from error
    return unpack_samples(data)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while part := await reader.read(256 * 1024):
        data += part
        if len(data) > SAMPLES_BYTES_MAX:
            raise FrameCorrupt("metrics of an impossible length")
    return bytes(data)
