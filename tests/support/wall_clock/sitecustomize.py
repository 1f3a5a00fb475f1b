"""Python reads this at its start when this folder is in PYTHONPATH: the wall clock of the process runs apart.

The file named by FLUFFY_DRILL_CLOCK holds how far, as one little-endian signed 64-bit number of nanoseconds; it may
change at any time. Only the wall clock: monotonic clocks never jump.
"""

import mmap
import os
import struct
import time

_path = os.environ.get("FLUFFY_DRILL_CLOCK")
if _path:
    with open(_path, "r+b") as _file:
        _shared = mmap.mmap(_file.fileno(), 8)
    _offset = struct.Struct("<q")
    _time_ns = time.time_ns

    def _shifted_ns() -> int:
        return _time_ns() + int(_offset.unpack_from(_shared)[0])

    time.time_ns = _shifted_ns
    time.time = lambda: _shifted_ns() / 1e9
