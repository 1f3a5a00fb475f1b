"""Wall clocks of nodes that run apart from this machine's, and jump while they run (`wall_clock/sitecustomize.py`)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

HOOK = Path(__file__).resolve().parent / "wall_clock"
OFFSET = struct.Struct("<q")


class WallClocks:
    """One file per node in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def env(self, name: str, python_path: str) -> Mapping[str, str]:
        """The variables with which the node's processes follow its file."""
        if not self._file(name).exists():
            self.jump(name, 0.0)
        return {"FLUFFY_DRILL_CLOCK": str(self._file(name)), "PYTHONPATH": f"{HOOK}{os.pathsep}{python_path}"}

    def jump(self, name: str, offset_s: float) -> None:
        """From now on the node's wall clock is so far ahead of ours."""
        file = self._file(name)
        packed = OFFSET.pack(int(offset_s * 1e9))
        if not file.exists():
            file.write_bytes(packed)
            return
        with file.open("r+b") as opened:  # the same bytes that the processes have mapped
            opened.write(packed)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.clock"
