"""What the simulation changes in the real code: sizes, made small, and a chance to crash where it syncs its files.

With batches of one entry and windows of ten, their ends are met often: what is rare at 8 MiB is common at 4 KB (the
"knobs" of FoundationDB's simulation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fluffy.drivers.raft import checkpoint_files, checkpoints, group_commit, library, state_store, transport
from fluffy.drivers.raft.state_store import fsync_file

Place = tuple[Any, str, Any]  # module, name in it, value


@contextmanager
def replaced(places: list[Place]) -> Iterator[None]:
    """Within this context, names of modules mean something else."""
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def scaled_sizes(*, group_commands: int, batch_bytes: int, part_bytes: int, window_bytes: int) -> list[Place]:
    """Entries hold `group_commands` and travel in batches of `batch_bytes`, checkpoints in parts of `part_bytes`."""
    return [
        (group_commit, "GROUP_COMMANDS_MAX", group_commands),
        (library, "BATCH_BYTES", batch_bytes),
        (library, "APPLY_BYTES_PER_TURN", 4 * batch_bytes),
        (library, "WINDOW_BYTES", window_bytes),
        (transport, "WINDOW_BYTES", window_bytes),
        (checkpoints, "PART_BYTES", part_bytes),
        (checkpoint_files, "COPY_PAUSE_S", 0.0),
    ]


def crash_points(before_fsync: Callable[[Path], None]) -> list[Place]:
    """Each fsync of a database or checkpoint file is announced: `before_fsync` may crash the process there."""

    def announced(path: Path) -> None:
        before_fsync(path)
        fsync_file(path)

    return [(module, "fsync_file", announced) for module in (state_store, checkpoint_files)]
