"""One contract for both disks, and what the real one does when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from fluffy.base.checks import EXIT_DISK_FAILED
from fluffy.base.errors import StartRefused
from fluffy.drivers.raft.disk import Disk, RealDisk
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.sim.disk import SimDisk, SimDiskFailed


class Failed(BaseException):
    """What a test's `fatal` raises in place of ending the process."""


def fatal(what: str, error: OSError) -> None:
    raise Failed(what) from error


@pytest.fixture(params=["real", "sim"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return RealDisk(tmp_path / "log", fatal=fatal) if request.param == "real" else SimDisk(Random(0))


def test_what_is_appended_is_read_at_any_offset(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"hello ")
    file.append(bytearray(b"world"))
    file.fdatasync()
    assert (file.size(), file.pread(5, 6), file.pread(100, 9), file.pread(4, 50)) == (11, b"world", b"ld", b"")
    file.truncate(4)
    file.append(b"!")
    assert disk.open("a").pread(100, 0) == b"hell!"
    assert file.name == "a"


def test_names_are_sorted_renamed_and_removed(disk: Disk) -> None:
    for name in ("c", "a", "b"):
        disk.create(name).close()
    disk.rename("c", "a")
    disk.unlink("b")
    disk.sync_folder()
    assert disk.names() == ["a"]


def test_creating_a_name_that_exists_is_fatal(disk: Disk) -> None:
    disk.create("a")
    with pytest.raises((Failed, SimDiskFailed)):
        disk.create("a")


def test_a_journal_lives_on_a_real_folder(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "deep" / "log")
    journal = SegmentedJournal(disk, segment_bytes=1000)
    for index in range(1, 101):
        journal.add(b"%d" % index * 10, index, 1)
        journal.sync()
    journal.setCurrentTerm(4, "two")
    journal.compact_to(60)
    expected = journal[:]
    journal._destroy()
    disk.close()
    again = SegmentedJournal(RealDisk(tmp_path / "deep" / "log"), segment_bytes=1000)
    assert again[:] == expected and again.first_index == 60
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (4, "two")


def test_two_processes_cannot_share_a_log(tmp_path: Path) -> None:
    first = RealDisk(tmp_path)
    with pytest.raises(StartRefused, match="another process uses"):
        RealDisk(tmp_path)
    first.close()
    RealDisk(tmp_path).close()


def test_a_missing_file_is_fatal(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, fatal=fatal)
    with pytest.raises(Failed):
        disk.open("nothing")
    with pytest.raises(Failed):
        disk.unlink("nothing")


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.journal import SegmentedJournal
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
journal = SegmentedJournal(RealDisk(Path(sys.argv[1])))
for index in range(1, 1000):
    journal.add(bytes(100), index, 1)
    journal.sync()
    print(index, flush=True)
"""


def test_a_write_that_does_not_fit_ends_the_process_and_the_next_start_has_what_was_synced(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == EXIT_DISK_FAILED
    synced = int(ended.stdout.split()[-1])
    assert 10 < synced < 1000
    journal = SegmentedJournal(RealDisk(tmp_path))
    assert journal.last_index == synced
    journal._destroy()


def test_a_simulated_crash_keeps_what_was_synced_and_may_tear_the_rest() -> None:
    outcomes = set()
    for seed in range(200):
        disk = SimDisk(Random(seed))
        file = disk.create("a")
        file.append(b"safe")
        file.fdatasync()
        disk.sync_folder()
        file.append(b"x" * 2000)
        disk.create("b").append(b"unsynced name")
        disk.crash()
        found = disk.open("a").pread(10_000, 0)
        assert found.startswith(b"safe")
        outcomes.add(("b" in disk.names(), len(found) == 4, len(found) == 2004, b"\0" in found))
    assert {True, False} == {outcome[0] for outcome in outcomes}
    assert {(True, False, False), (False, True, False), (False, False, False), (False, False, True)} == {
        outcome[1:] for outcome in outcomes}


def test_a_simulated_kill_keeps_everything_written() -> None:
    disk = SimDisk(Random(0))
    disk.create("a").append(b"page cache")
    disk.kill()
    disk.crash()
    assert disk.open("a").pread(100, 0) == b"page cache"
