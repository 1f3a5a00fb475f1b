"""Compare two trees and say what to do. Pure: trees, hashes and what is remembered go in, a plan comes out.

Two files are the same when their sizes and hashes are; times and modes only decide whether these are carried over.
Push makes there like here, pull makes here like there; without `delete` what only the other side has stays. Sync goes
both ways: what changed on one side since both were the same goes to the other; what changed on both is a conflict, and
stays as it is on either side. Nothing is ever deleted that is not a step of the plan, and every step names what
exactly it may replace or delete. When a plan has been carried out, the next one is empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fluffy.client.syncing.items import (
    Act,
    Base,
    LocalFile,
    LocalTree,
    Phase,
    Plan,
    RemoteFile,
    RemoteTree,
    Step,
    ancestors,
    same_time,
)

BOTH_CHANGED = "changed here and there since they were the same; push or pull it to decide"
NEVER_SAME = "here and there are different files; push or pull it to decide"
FOLDER_THERE = "a folder stands there; delete it, or say --delete"
FILE_THERE = "a file stands there where a folder should be; delete it, or say --delete"
FOLDER_HERE = "a folder stands here; remove it, or say --delete"
FILE_HERE = "a file stands here where a folder should be; remove it, or say --delete"
UNKNOWN_HERE = "something that is neither file nor folder stands here"


@dataclass(frozen=True, slots=True)
class Compared:
    """Both trees and what is known about them. `hashes`: BLAKE3 in hex of the files here that `hashes_needed` named."""

    local: LocalTree
    remote: RemoteTree
    hashes: Mapping[str, str]
    bases: Mapping[str, Base] = field(default_factory=dict)

    def same(self, path: str) -> bool:
        """Whether both sides have the file with the same bytes."""
        here, there = self.local.files.get(path), self.remote.files.get(path)
        if here is None or there is None or here.size != there.size:
            return False
        if there.blake3:
            return self.hashes[path] == there.blake3
        base = self.bases.get(path)
        return base is not None and base == Base(self.hashes[path], there.etag)

    def changed_here(self, path: str) -> bool:
        """Whether the file here is not what both sides had once; True when they never had."""
        base = self.bases.get(path)
        return base is None or self.hashes.get(path) != base.blake3

    def changed_there(self, path: str) -> bool:
        base, there = self.bases.get(path), self.remote.files.get(path)
        return base is None or there is None or there.etag != base.etag


def hashes_needed(local: LocalTree, remote: RemoteTree, bases: Mapping[str, Base]) -> list[str]:
    """The local files whose hash decides something: it could be the other's, or what it was when both were the same."""
    return sorted(path for path, here in local.files.items()
                  if path in bases or ((there := remote.files.get(path)) is not None and there.size == here.size))


def plan_push(compared: Compared, *, delete: bool = False) -> Plan:
    """Make there like here."""
    local, remote = compared.local, compared.remote
    plan, blind = Plan(), _Blind((*local.skipped, *local.failed, *remote.skipped))
    clearing = _Clearing()
    if delete:
        clearing.files = {path for path in remote.files if path not in local.files and not blind.covers(path)}
        clearing.folders = _unwanted(remote.folders, local.folders | _folders_of(local.files), blind)
    obstacles = _Obstacles(remote.files, remote.folders, remote.skipped, clearing, FILE_THERE, FOLDER_THERE)
    for path, here in sorted(local.files.items()):
        there = remote.files.get(path)
        if compared.same(path) and there is not None:
            _settle(plan, compared, path)
            if not _marked(here, there):
                plan.steps.append(Step(Act.MARK_THERE, path, Phase.MOVE, here, there))
        elif obstacles.let_file(plan, path):
            plan.steps.append(Step(Act.SEND, path, Phase.MOVE, here, there))
    if not remote.is_there and not local.files:
        plan.steps.append(Step(Act.MAKE_THERE, "", Phase.MAKE))
    _make(plan, Act.MAKE_THERE, local.folders - remote.folders - _folders_of(local.files), obstacles)
    _clear_there(plan, compared, clearing)
    return plan


def plan_pull(compared: Compared, *, delete: bool = False) -> Plan:
    """Make here like there. What here is not known to exist elsewhere too is kept aside when replaced or deleted."""
    local, remote = compared.local, compared.remote
    plan, blind = Plan(), _Blind((*local.skipped, *local.failed, *remote.skipped))
    clearing = _Clearing()
    if delete:
        clearing.files = {path for path in local.files if path not in remote.files and not blind.covers(path)}
        clearing.folders = _unwanted(local.folders, remote.folders | _folders_of(remote.files), blind)
    obstacles = _here(compared, clearing)
    for path, there in sorted(remote.files.items()):
        here = local.files.get(path)
        if compared.same(path) and here is not None:
            _settle(plan, compared, path)
            if not here.is_link and not _marked_here(here, there):
                plan.steps.append(Step(Act.MARK_HERE, path, Phase.MOVE, here, there))
        elif obstacles.let_file(plan, path):
            plan.steps.append(_fetch(compared, path))
    if not local.is_there and not remote.files:
        plan.steps.append(Step(Act.MAKE_HERE, "", Phase.MAKE))
    _make(plan, Act.MAKE_HERE, remote.folders - local.folders - _folders_of(remote.files), obstacles)
    _clear_here(plan, compared, clearing)
    return plan


def plan_sync(compared: Compared, *, delete: bool = False) -> Plan:
    """Carry changes both ways. With `delete` also deletions: of what was the same once and did not change since."""
    local, remote = compared.local, compared.remote
    plan, blind = Plan(), _Blind((*local.skipped, *local.failed, *remote.skipped))
    gone_here, gone_there = _Clearing(), _Clearing()
    if delete:
        known = compared.bases.keys()
        gone_here.files = {path for path in local.files.keys() & known if path not in remote.files
                           and not compared.changed_here(path) and not blind.covers(path)}
        gone_there.files = {path for path in remote.files.keys() & known if path not in local.files
                            and not compared.changed_there(path) and not blind.covers(path)}
        gone_here.folders = _emptied(local.folders - remote.folders, local.files, local.folders, gone_here, blind)
        gone_there.folders = _emptied(remote.folders - local.folders, remote.files, remote.folders, gone_there, blind)
    here_open = _here(compared, gone_here)
    there_open = _Obstacles(remote.files, remote.folders, remote.skipped, gone_there, FILE_THERE, FOLDER_THERE)
    for path in sorted(local.files.keys() | remote.files.keys()):
        here, there = local.files.get(path), remote.files.get(path)
        if here is not None and there is not None:
            _sync_both(plan, compared, path, here, there)
        elif here is not None and path not in gone_here.files:
            if there_open.let_file(plan, path):
                plan.steps.append(Step(Act.SEND, path, Phase.MOVE, here))
        elif there is not None and path not in gone_there.files and here_open.let_file(plan, path):
            plan.steps.append(_fetch(compared, path))
    _sync_folders(plan, compared, here_open, there_open)
    _clear_there(plan, compared, gone_there)
    _clear_here(plan, compared, gone_here)
    plan.gone = sorted(compared.bases.keys() - local.files.keys() - remote.files.keys())
    return plan


def _sync_both(plan: Plan, compared: Compared, path: str, here: LocalFile, there: RemoteFile) -> None:
    if compared.same(path):
        _settle(plan, compared, path)
        # Which side's times are newer is not known; they go along with the bytes only.
    elif not compared.changed_here(path):
        plan.steps.append(_fetch(compared, path))
    elif not compared.changed_there(path):
        plan.steps.append(Step(Act.SEND, path, Phase.MOVE, here, there))
    else:
        plan.conflicts[path] = BOTH_CHANGED if path in compared.bases else NEVER_SAME


def _sync_folders(plan: Plan, compared: Compared, here_open: _Obstacles, there_open: _Obstacles) -> None:
    """Folders follow their files; an empty one is made on the other side."""
    local, remote = compared.local, compared.remote
    if not remote.is_there and not local.files:
        plan.steps.append(Step(Act.MAKE_THERE, "", Phase.MAKE))
    if not local.is_there and not remote.files:
        plan.steps.append(Step(Act.MAKE_HERE, "", Phase.MAKE))
    coming_here = {path for path in remote.files if path not in there_open.clearing.files}
    coming_there = {path for path in local.files if path not in here_open.clearing.files}
    _make(plan, Act.MAKE_HERE, remote.folders - local.folders - _folders_of(coming_here)
          - set(there_open.clearing.folders), here_open)
    _make(plan, Act.MAKE_THERE, local.folders - remote.folders - _folders_of(coming_there)
          - set(here_open.clearing.folders), there_open)


def _make(plan: Plan, act: Act, folders: set[str], obstacles: _Obstacles) -> None:
    """Make these folders on the other side, where nothing stands in the way."""
    plan.steps += [Step(act, path, Phase.MAKE) for path in sorted(folders) if obstacles.let_folder(plan, path)]


def _unwanted(folders: set[str], wanted: set[str], blind: _Blind) -> list[str]:
    """The folders that the other side does not have, deepest first."""
    return [path for path in _deepest_first(folders - wanted) if not blind.covers(path) and not blind.touches(path)]


def _emptied(folders: set[str], files: Iterable[str], all_folders: set[str], clearing: _Clearing,
             blind: _Blind) -> list[str]:
    """Those of `folders` that the clearing empties, deepest first. One that was empty before is not among them."""
    touched = _folders_of(clearing.files)
    left = _folders_of(path for path in files if path not in clearing.files)
    inner = Counter(folder.rpartition("/")[0] for folder in all_folders)  # folders directly in a folder
    gone: list[str] = []
    for folder in _deepest_first(folders & touched):
        if folder not in left and not blind.touches(folder) and not inner[folder]:
            gone.append(folder)
            inner[folder.rpartition("/")[0]] -= 1
    return gone


def _deepest_first(folders: set[str]) -> list[str]:
    return sorted(folders, key=lambda path: (-path.count("/"), path))


def _fetch(compared: Compared, path: str) -> Step:
    here = compared.local.files.get(path)
    return Step(Act.FETCH, path, Phase.MOVE, here, compared.remote.files[path],
                keep=here is not None and compared.changed_here(path))


def _settle(plan: Plan, compared: Compared, path: str) -> None:
    plan.settled[path] = Base(compared.hashes[path], compared.remote.files[path].etag)


def _marked(here: LocalFile, there: RemoteFile) -> bool:
    """Whether the metadata tells the file's time and mode."""
    return (there.mtime_ns is not None and same_time(here.mtime_ns, there.mtime_ns) and there.mode == here.mode)


def _marked_here(here: LocalFile, there: RemoteFile) -> bool:
    """Whether the file has the time and mode of the metadata, as far as it tells them."""
    return ((there.mtime_ns is None or same_time(here.mtime_ns, there.mtime_ns))
            and (there.mode is None or there.mode == here.mode))


def _clear_there(plan: Plan, compared: Compared, clearing: _Clearing) -> None:
    local, remote = compared.local, compared.remote
    wanted = local.folders | _folders_of(local.files)
    plan.steps += [Step(Act.DELETE_THERE, path, clearing.phase_of_file(path, local.files, wanted), None,
                        remote.files[path]) for path in sorted(clearing.files)]
    plan.steps += [Step(Act.REMOVE_THERE, path, clearing.phase_of_folder(path, local.files))
                   for path in clearing.folders]


def _clear_here(plan: Plan, compared: Compared, clearing: _Clearing) -> None:
    local, remote = compared.local, compared.remote
    wanted = remote.folders | _folders_of(remote.files)
    plan.steps += [Step(Act.DELETE_HERE, path, clearing.phase_of_file(path, remote.files, wanted), local.files[path],
                        keep=compared.changed_here(path)) for path in sorted(clearing.files)]
    plan.steps += [Step(Act.REMOVE_HERE, path, clearing.phase_of_folder(path, remote.files))
                   for path in clearing.folders]


def _folders_of(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        for folder in ancestors(path):
            if folder in found:
                break
            found.add(folder)
    return found


@dataclass(slots=True)
class _Clearing:
    """What the plan deletes on one side; `folders` deepest first. What is in the way of the other side goes first."""

    files: set[str] = field(default_factory=set)
    folders: list[str] = field(default_factory=list)

    @staticmethod
    def phase_of_file(path: str, others: Mapping[str, object], other_folders: set[str]) -> Phase:
        in_the_way = path in other_folders or any(folder in others for folder in ancestors(path))
        return Phase.CLEAR if in_the_way else Phase.DELETE

    @staticmethod
    def phase_of_folder(path: str, others: Mapping[str, object]) -> Phase:
        in_the_way = path in others or any(folder in others for folder in ancestors(path))
        return Phase.CLEAR_FOLDERS if in_the_way else Phase.REMOVE_FOLDERS


class _Blind:
    """Places about which nothing is known on one side."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._above = _folders_of(self._paths)

    def covers(self, path: str) -> bool:
        """Whether the path is such a place, or lies in one."""
        return bool(self._paths) and (path in self._paths or "" in self._paths
                                      or any(folder in self._paths for folder in ancestors(path)))

    def touches(self, folder: str) -> bool:
        """Whether such a place lies in the folder."""
        return folder in self._above


def _here(compared: Compared, clearing: _Clearing) -> _Obstacles:
    local = compared.local
    unknown = dict.fromkeys([*local.skipped, *local.failed], UNKNOWN_HERE)
    return _Obstacles(local.files, local.folders, unknown, clearing, FILE_HERE, FOLDER_HERE)


class _Obstacles:
    """What stands where something has to go, on one side. `unknown`: path -> reason, for all below it too."""

    def __init__(self, files: Mapping[str, object], folders: set[str], unknown: Mapping[str, str],
                 clearing: _Clearing, file_reason: str, folder_reason: str) -> None:
        self.clearing = clearing
        self._files = files
        self._folders = folders
        self._cleared_folders = set(clearing.folders)
        self._unknown = unknown
        self._file_reason = file_reason
        self._folder_reason = folder_reason

    def let_file(self, plan: Plan, path: str) -> bool:
        """Whether a file can go to the path; if not, the plan gets a conflict that says why."""
        reason = self._reason(path, ancestors(path))
        if reason is None and path in self._folders and path not in self._cleared_folders:
            reason = self._folder_reason
        return self._let(plan, path, reason)

    def let_folder(self, plan: Plan, path: str) -> bool:
        """The same for a folder."""
        return self._let(plan, path, self._reason(path, [path, *ancestors(path)]))

    def _reason(self, path: str, above: list[str]) -> str | None:
        for place in (path, *above):
            if place in self._unknown:
                return self._unknown[place]
        if any(place in self._files and place not in self.clearing.files for place in above):
            return self._file_reason
        return None

    @staticmethod
    def _let(plan: Plan, path: str, reason: str | None) -> bool:
        if reason is not None:
            plan.conflicts[path] = reason
        return reason is None
