"""A small disk of its own for each node: an ext4 in a file, on a loop device. It fills up, and it can be made slow.

Slow is the kernel's own throttle of a control group (blkio): reads that miss the cache, O_DIRECT writes and what fsync
waits for crawl, as on a dying disk. Full is a file that takes all the room, as another program's would. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from fluffy.base.units import MIB

BLKIO = Path("/sys/fs/cgroup/blkio")
FILLER = "filler-of-another-program"


def can_make_disks(folder: Path) -> bool:
    """Whether this process may make a file system in a file under `folder` and mount it."""
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("losetup", "mkfs.ext4", "mount", "umount")):
        return False
    place = folder / "probe"
    try:
        with Disks({place.name: place}, size_bytes=16 * MIB, image_folder=folder):
            return True
    except OSError:
        return False
    finally:
        if place.is_dir():
            place.rmdir()


def can_slow_disks() -> bool:
    return os.access(BLKIO / "blkio.throttle.write_bps_device", os.W_OK)


class Disks:
    """Mounts a disk of `size_bytes` at each of `places` (name -> folder, made here)."""

    def __init__(self, places: dict[str, Path], size_bytes: int, image_folder: Path) -> None:
        self._places = places
        self._size_bytes = size_bytes
        self._images = image_folder
        self._devices: dict[str, str] = {}
        self._mounted: list[str] = []
        self._groups: dict[str, Path] = {}

    def __enter__(self) -> Disks:
        try:
            for name, place in self._places.items():
                place.mkdir(parents=True, exist_ok=True)
                image = self._images / f"{name}.disk"
                with image.open("wb") as file:
                    file.truncate(self._size_bytes)
                self._devices[name] = _run("losetup", "--find", "--show", str(image))
                _run("mkfs.ext4", "-q", "-F", "-m", "0", self._devices[name])
                _run("mount", "-o", "noatime", self._devices[name], str(place))
                self._mounted.append(name)
                (place / "lost+found").rmdir()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for name in list(self._groups):
            self.hasten(name)
        for name in self._mounted:
            _run("umount", "--lazy", str(self._places[name]), must=False)
        for name, device in self._devices.items():
            _run("losetup", "--detach", device, must=False)
            (self._images / f"{name}.disk").unlink(missing_ok=True)
        self._mounted.clear()
        self._devices.clear()

    def fill(self, name: str) -> None:
        """Take all the room."""
        fill(self._places[name])

    def empty(self, name: str) -> None:
        """Give it back."""
        empty(self._places[name])

    def slow(self, name: str, pids: Iterable[int], bytes_per_s: int) -> None:
        """From now on these processes, and their children to come, read and write that slowly on this disk."""
        group = BLKIO / f"fluffy-drill-{os.getpid()}-{name}"
        group.mkdir(exist_ok=True)
        self._groups[name] = group
        status = os.stat(self._devices[name])
        limit = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)} {bytes_per_s}"
        for kind in ("read", "write"):
            (group / f"blkio.throttle.{kind}_bps_device").write_text(limit)
        _move(pids, group)

    def hasten(self, name: str) -> None:
        """As fast as before."""
        group = self._groups.pop(name, None)
        if group is None:
            return
        status = os.stat(self._devices[name])
        for kind in ("read", "write"):
            (group / f"blkio.throttle.{kind}_bps_device").write_text(
                f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)} 0")
        _move([int(pid) for pid in (group / "cgroup.procs").read_text().split()], BLKIO)
        try:
            group.rmdir()
        except OSError:
            self._groups[name] = group  # a process was born meanwhile: the end tries again


def free_bytes(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def fill(place: Path) -> None:
    """Take all the room of the disk at `place`, as another program would."""
    left = free_bytes(place)
    with (place / FILLER).open("ab") as file:
        while left >= 4096:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, min(left, 64 * MIB))
            except OSError:
                left //= 2  # the node writes too: take what is there
                continue
            left = free_bytes(place)


def empty(place: Path) -> None:
    (place / FILLER).unlink(missing_ok=True)


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        try:
            (group / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            continue  # it has ended


def _run(*words: str, must: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if must and done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def chunk_files(node_dir: Path) -> Sequence[Path]:
    """All chunk files of a node, sorted."""
    return sorted(path for path in (node_dir / "chunks").glob("*/*/*") if path.is_file())
