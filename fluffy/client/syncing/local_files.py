"""The local side of a step: read a file that stays as it was, put bytes in its place, set aside what would be lost.

All of it blocks, and runs in threads. A file is replaced by a rename, so it is the old one or the new one; before that
it is looked at once more, and one that changed since the plan was made is left alone.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from blake3 import blake3

from fluffy.base.errors import LocalFileFailed
from fluffy.base.units import MIB
from fluffy.client.sinks import PART_SUFFIX
from fluffy.client.sources import local_failure
from fluffy.client.syncing.items import LocalFile, RemoteFile
from fluffy.client.syncing.looking import local_file

# What was set aside is looked for soon, or not at all.
KEPT_DAYS_MAX = 30
# So many files are synced one by one; with more, one sync of everything is quicker.
SYNC_EACH_MAX = 32
# From here on several threads hash one file.
HASH_ALONE_BYTES = 8 * MIB
_DAY_S = 86_400


def changed(path: Path) -> LocalFileFailed:
    """Not what the plan was made for."""
    return LocalFileFailed(f"{path} changed meanwhile; do it again", local=str(path))


def look_again(path: Path, planned: LocalFile | None) -> None:
    """Raises LocalFileFailed unless the file (None: that there is none) is as it was planned for."""
    try:
        status = path.stat() if planned is not None else path.lstat()
    except FileNotFoundError:
        if planned is None:
            return
        raise changed(path) from None
    except OSError as error:
        raise local_failure(path, error) from error
    if planned is None or local_file(status, is_link=planned.is_link) != planned:
        raise changed(path)


def read_whole(path: Path, planned: LocalFile) -> tuple[bytes, str]:
    """The bytes of a small file, as planned, and their hash in hex."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise local_failure(path, error) from error
    look_again(path, planned)
    return data, blake3(data).hexdigest()


def hash_of(path: Path, planned: LocalFile) -> str:
    """The hash in hex of the file, as planned."""
    try:
        if planned.size <= HASH_ALONE_BYTES:
            return read_whole(path, planned)[1]
        found = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
    except OSError as error:
        raise local_failure(path, error) from error
    look_again(path, planned)
    return found


def hidden_beside(target: Path, name: str) -> Path:
    """A name in the same folder that nobody looks at, and that is short whatever the target's is."""
    return target.with_name(f".fluffy-{name}{PART_SUFFIX}")


def put_in_place(target: Path, data: bytes, there: RemoteFile, here: LocalFile | None, aside: Path | None) -> LocalFile:
    """Make `target` hold `data`, with time and mode. `here`, `aside`: see `move_in_place`."""
    beside = hidden_beside(target, secrets.token_hex(8))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "xb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view):]
            return move_in_place(beside, target, there, here, aside)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise local_failure(target, error) from error


def move_in_place(beside: Path, target: Path, there: RemoteFile, here: LocalFile | None,
                  aside: Path | None) -> LocalFile:
    """Rename a whole and verified file to `target`, with time and mode. Gives what then stands there.

    `here`: what may stand there now; raises LocalFileFailed for anything else. `aside`: where that goes before.
    """
    mark(beside, there)
    look_again(target, here)
    if here is None:
        _rename_new(beside, target)
    else:
        if aside is not None:
            set_aside(target, aside, copy=True)
        os.replace(beside, target)
    return local_file(target.stat())


def _rename_new(beside: Path, target: Path) -> None:
    try:
        os.link(beside, target)
    except FileExistsError as error:
        raise changed(target) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.replace(beside, target)  # this file system has no hard links: the look before must do
        return
    os.unlink(beside)  # before anybody looks at the file: it changes its change time


def mark(path: Path, there: RemoteFile) -> None:
    """Give the file the time and mode of the metadata, as far as it tells them."""
    if there.mode is not None:
        os.chmod(path, there.mode)
    if there.mtime_ns is not None:
        os.utime(path, ns=(there.mtime_ns, there.mtime_ns))


def mark_in_place(target: Path, there: RemoteFile, here: LocalFile) -> LocalFile:
    """Like `mark`, for a file that is as planned."""
    look_again(target, here)
    try:
        mark(target, there)
        return local_file(target.stat())
    except OSError as error:
        raise local_failure(target, error) from error


def delete_in_place(target: Path, here: LocalFile, aside: Path | None) -> None:
    """Delete a file that is as planned, or set it aside."""
    look_again(target, here)
    try:
        if aside is not None:
            set_aside(target, aside, copy=False)
        else:
            target.unlink()
    except OSError as error:
        raise local_failure(target, error) from error


def set_aside(target: Path, aside: Path, *, copy: bool) -> None:
    """Keep what stands at `target` at `aside`, which is new. `copy`: it also stays where it is."""
    aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not copy:
        shutil.move(target, aside)  # a rename, or between file systems a copy first
        return
    try:
        os.link(target, aside, follow_symlinks=False)
    except OSError:
        shutil.copy2(target, aside, follow_symlinks=False)


def new_aside_folder(state: Path) -> Path:
    """A folder for one run; those of runs long ago are removed. It is made when something goes there."""
    kept = state / "replaced"
    if kept.is_dir():
        for old in kept.iterdir():
            if old.is_dir() and old.stat().st_mtime < time.time() - KEPT_DAYS_MAX * _DAY_S:
                shutil.rmtree(old, ignore_errors=True)
    return kept / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def sync_files(paths: Sequence[Path]) -> None:
    """What was written reaches the disk."""
    if len(paths) > SYNC_EACH_MAX:
        os.sync()
        return
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # somebody deleted it already
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
