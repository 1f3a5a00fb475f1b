"""A network of its own for each node: network namespaces on a bridge, cut and mended while everything runs. Needs root.

    with Lan(("one", "two")) as lan:  ...  lan.cut("one");  lan.deafen("one", "two");  lan.mend()

A cut takes the cable out. To make `a` deaf for what `b` says, `b` is given a wrong hardware address for `a`: its frames
go out and nobody takes them, while those of `a` still arrive. So nothing in the nodes' own stacks knows of the loss.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType

NOBODY = "02:00:00:00:de:ad"


def can_make_lan() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"flt{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    bridged = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, check=False)
    if bridged.returncode == 0:
        _ip("link", "del", name)
    _ip("netns", "del", name)
    return bridged.returncode == 0


class Lan:
    """Nodes at 10.X.Y.1, .2, …; this machine is 10.X.Y.254 on the bridge."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._tag = f"f{random.randrange(16**5):05x}"
        self._net = f"10.{random.randint(64, 250)}.{random.randint(0, 250)}"
        self._cut: set[str] = set()
        self._deaf: set[tuple[str, str]] = set()

    def __enter__(self) -> Lan:
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{self._net}.254/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")
        for number, name in enumerate(self.names, 1):
            inside, outside = self.namespace(name), self._cable(name)
            _ip("netns", "add", inside)
            _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", inside)
            _ip("link", "set", outside, "master", self._tag, "up")
            _ip("-n", inside, "addr", "add", f"{self._net}.{number}/24", "dev", "eth0")
            _ip("-n", inside, "link", "set", "eth0", "up")
            _ip("-n", inside, "link", "set", "lo", "up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for name in self.names:
            _ip("netns", "del", self.namespace(name), must=False)
        _ip("link", "del", self._tag, must=False)

    def host(self, name: str) -> str:
        return f"{self._net}.{self.names.index(name) + 1}"

    def namespace(self, name: str) -> str:
        return f"{self._tag}{self.names.index(name) + 1}"

    def _cable(self, name: str) -> str:
        return f"{self._tag}v{self.names.index(name) + 1}"

    def cut(self, name: str) -> None:
        """Nobody reaches the node, and it reaches nobody."""
        self._cut.add(name)
        _ip("link", "set", self._cable(name), "down")

    def deafen(self, ear: str, mouth: str) -> None:
        """What `mouth` says does not arrive at `ear`; the other way is as before."""
        self._deaf.add((ear, mouth))
        _ip("-n", self.namespace(mouth), "neigh", "replace", self.host(ear), "lladdr", NOBODY, "nud", "permanent",
            "dev", "eth0")

    def join(self, name: str) -> None:
        """Mend the cable of one node."""
        if name in self._cut:
            self._cut.discard(name)
            _ip("link", "set", self._cable(name), "up")

    def hear(self, ear: str, mouth: str) -> None:
        """Mend one way."""
        if (ear, mouth) in self._deaf:
            self._deaf.discard((ear, mouth))
            _ip("-n", self.namespace(mouth), "neigh", "del", self.host(ear), "dev", "eth0")

    def mend(self) -> None:
        """Everything as at the beginning."""
        for name in sorted(self._cut):
            self.join(name)
        for ear, mouth in sorted(self._deaf):
            self.hear(ear, mouth)


def _ip(*words: str, must: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if must and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
