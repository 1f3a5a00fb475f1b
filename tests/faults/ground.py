"""Where a drill's nodes live: each behind a cable of its own, on a disk of its own, with a clock of its own.

What this machine cannot give (no root, no namespaces) is left out, and `lacking` says so: the drill then does without
the troubles that need it, and its report names them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from fluffy.base.units import GIB
from tests.support.cluster import ROOT, Surroundings
from tests.support.disks import Disks, can_make_disks, can_slow_disks
from tests.support.lan import Lan, can_make_lan
from tests.support.wall_clocks import WallClocks

DISK_BYTES = 2 * GIB


class Ground(Surroundings):
    """Enter it before the nodes start, leave it after they have ended."""

    def __init__(self, folder: Path, names: Sequence[str], disk_bytes: int = DISK_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stack = ExitStack()
        self.clocks = WallClocks(folder)
        self.lan = Lan(names) if can_make_lan() else None
        self.disks = (Disks({name: folder / name for name in names}, disk_bytes, folder) if can_make_disks(folder)
                      else None)
        self.can_slow = self.disks is not None and can_slow_disks()
        self.lacking = tuple(what for what, is_there in (
            ("networks that are cut (needs root and network namespaces)", self.lan),
            ("disks that are full (needs root and loop devices)", self.disks),
            ("disks that are slow (needs the blkio control group)", self.can_slow)) if not is_there)

    def __enter__(self) -> Ground:
        with ExitStack() as entering:
            for place in (self.lan, self.disks):
                if place is not None:
                    entering.enter_context(place)
            self._stack = entering.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()

    def host(self, name: str) -> str | None:
        return None if self.lan is None else self.lan.host(name)

    def prefix(self, name: str) -> Sequence[str]:
        return () if self.lan is None else ("ip", "netns", "exec", self.lan.namespace(name))

    def env(self, name: str) -> Mapping[str, str]:
        return self.clocks.env(name, f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep))
