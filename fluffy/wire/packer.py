"""The packer of msgpack, kept: making one costs several times what a header costs, and as much as a small file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgpack


class KeptPacker(threading.local):
    """`pack(value)`; one packer for each thread, because none is for two at once. `default` must not pack itself."""

    def __init__(self, default: Callable[[Any], Any] | None = None) -> None:
        self.pack: Callable[[object], bytes] = msgpack.Packer(default=default).pack
