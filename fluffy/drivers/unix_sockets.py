"""Unix sockets in folders of any depth: the address of one has room for 107 bytes only, a path may be longer.

They are reached through the folder's descriptor instead: `/proc/self/fd/N/NAME`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """A name for `path` that fits an address, while the context is open. Raises OSError when there is no folder."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_unix(path: Path, backlog: int = 64) -> socket.socket:
    """A listening socket that does not block, for this user only; an older one of that name is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    with short_address(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    listener.listen(backlog)
    return listener
