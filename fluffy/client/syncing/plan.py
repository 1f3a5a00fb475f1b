"""Compare two trees and say what to do. Pure: trees, hashes and what is remembered go in, a plan comes out.

Two files are the same when their sizes and hashes are; times and modes only decide whether these are carried over.
Push makes there like here, pull makes here like there; without `delete` what only the other side has stays. Sync goes
both ways: what changed on one side since both were the same goes to the other; what changed on both is a conflict, and
stays as it is on either side. Nothing is ever deleted that is not a step of the plan, and every step names what
exactly it may replace or delete. When a plan has been carried out, the next one is empty.
"""

from __future__ import annotations

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
    obstacles = _Obstacles(compared, blind)
    for path, here in sorted(local.files.items()):
        there = remote.files.get(path)
        if compared.same(path) and there is not None:
            _settle(plan, compared, path)
            if not _marked(here, there):
                plan.steps.append(Step(Act.MARK_THERE, path, Phase.MOVE, here, there))
        elif (reason := obstacles.there(path, delete=delete)) is not None:
            plan.conflicts[path] = reason
        else:
            plan.steps.append(Step(Act.SEND, path, Phase.MOVE, here, there))
    if not remote.is_there and not local.files:
        plan.steps.append(Step(Act.MAKE_THERE, "", Phase.MAKE))
    full = _folders_of(local.files)
    plan.steps += [Step(Act.MAKE_THERE, path, Phase.MAKE) for path in sorted(local.folders - remote.folders - full)
                   if obstacles.there(path, delete=delete) is None]
    if delete:
        _delete_there(plan, compared, blind)
    return plan


def plan_pull(compared: Compared, *, delete: bool = False) -> Plan:
    """Make here like there. What here is not known to exist elsewhere too is kept aside when replaced or deleted."""
    local, remote = compared.local, compared.remote
    plan, blind = Plan(), _Blind((*local.skipped, *local.failed, *remote.skipped))
    obstacles = _Obstacles(compared, blind)
    for path, there in sorted(remote.files.items()):
        here = local.files.get(path)
        if compared.same(path) and here is not None:
            _settle(plan, compared, path)
            if not here.is_link and not _marked_here(here, there):
                plan.steps.append(Step(Act.MARK_HERE, path, Phase.MOVE, here, there))
        elif (reason := obstacles.here(path, delete=delete)) is not None:
            plan.conflicts[path] = reason
        else:
            plan.steps.append(_fetch(compared, path))
    if not local.is_there and not remote.files:
        plan.steps.append(Step(Act.MAKE_HERE, "", Phase.MAKE))
    full = _folders_of(remote.files)
    plan.steps += [Step(Act.MAKE_HERE, path, Phase.MAKE) for path in sorted(remote.folders - local.folders - full)
                   if obstacles.here(path, delete=delete) is None]
    if delete:
        _delete_here(plan, compared, blind)
    return plan


def plan_sync(compared: Compared, *, delete: bool = False) -> Plan:
    """Carry changes both ways. With `delete` also deletions: of what was the same once and did not change since."""
    local, remote = compared.local, compared.remote
    plan, blind = Plan(), _Blind((*local.skipped, *local.failed, *remote.skipped))
    obstacles = _Obstacles(compared, blind)
    for path in sorted(local.files.keys() | remote.files.keys()):
        here, there = local.files.get(path), remote.files.get(path)
        if here is not None and there is not None:
            _sync_both(plan, compared, path, here, there)
        elif here is not None:
            known = path in compared.bases
            if known and delete and not compared.changed_here(path) and not blind.covers(path):
                plan.steps.append(Step(Act.DELETE_HERE, path, Phase.DELETE, here))
            elif (reason := obstacles.there(path, delete=False)) is not None:
                plan.conflicts[path] = reason
            else:
                plan.steps.append(Step(Act.SEND, path, Phase.MOVE, here))
        elif there is not None and not blind.covers(path):
            if path in compared.bases and delete and not compared.changed_there(path):
                plan.steps.append(Step(Act.DELETE_THERE, path, Phase.DELETE, None, there))
            elif (reason := obstacles.here(path, delete=False)) is not None:
                plan.conflicts[path] = reason
            else:
                plan.steps.append(_fetch(compared, path))
    _sync_folders(plan, compared, blind, obstacles, delete=delete)
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


def _sync_folders(plan: Plan, compared: Compared, blind: _Blind, obstacles: _Obstacles, *, delete: bool) -> None:
    """Folders follow their files; an empty one is made on the other side.

    With `delete` a folder whose last file is deleted by this plan goes as well, when it has gone on the other side.
    """
    local, remote = compared.local, compared.remote
    if not remote.is_there and not local.files:
        plan.steps.append(Step(Act.MAKE_THERE, "", Phase.MAKE))
    if not local.is_there and not remote.files:
        plan.steps.append(Step(Act.MAKE_HERE, "", Phase.MAKE))
    emptied_there: list[str] = []
    emptied_here: list[str] = []
    if delete:
        emptied_there = _emptied(remote.folders - local.folders, remote.files, remote.folders, plan,
                                 Act.DELETE_THERE, blind)
        emptied_here = _emptied(local.folders - remote.folders, local.files, local.folders, plan,
                                Act.DELETE_HERE, blind)
    coming_here = local.folders | _folders_of(remote.files) | set(emptied_there)
    coming_there = remote.folders | _folders_of(local.files) | set(emptied_here)
    plan.steps += [Step(Act.MAKE_HERE, path, Phase.MAKE) for path in sorted(remote.folders - coming_here)
                   if obstacles.here(path, delete=False) is None]
    plan.steps += [Step(Act.MAKE_THERE, path, Phase.MAKE) for path in sorted(local.folders - coming_there)
                   if obstacles.there(path, delete=False) is None]
    plan.steps += [Step(Act.REMOVE_THERE, path, Phase.REMOVE_FOLDERS) for path in emptied_there]
    plan.steps += [Step(Act.REMOVE_HERE, path, Phase.REMOVE_FOLDERS) for path in emptied_here]


def _emptied(folders: set[str], files: Iterable[str], all_folders: set[str], plan: Plan, act: Act,
             blind: _Blind) -> list[str]:
    """Those of `folders` that this plan empties, deepest first. A folder that was empty before is not one of them."""
    deleted = {step.path for step in plan.steps if step.act is act}
    touched = _folders_of(deleted)
    left = _folders_of(path for path in files if path not in deleted)
    gone: list[str] = []
    for folder in sorted(folders & touched, key=lambda path: (-path.count("/"), path)):
        inner = [other for other in all_folders if other.startswith(folder + "/")]
        if folder not in left and not blind.touches(folder) and all(other in gone for other in inner):
            gone.append(folder)
    return gone


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


def _delete_there(plan: Plan, compared: Compared, blind: _Blind) -> None:
    local, remote = compared.local, compared.remote
    wanted_folders = local.folders | _folders_of(local.files)
    for path, there in sorted(remote.files.items()):
        if path not in local.files and not blind.covers(path):
            phase = Phase.CLEAR if _in_the_way(path, local.files, wanted_folders) else Phase.DELETE
            plan.steps.append(Step(Act.DELETE_THERE, path, phase, None, there))
    for path in sorted(remote.folders - wanted_folders, key=lambda path: (-path.count("/"), path)):
        if not blind.covers(path) and not blind.touches(path):
            phase = Phase.CLEAR_FOLDERS if _in_the_way(path, local.files, ()) else Phase.REMOVE_FOLDERS
            plan.steps.append(Step(Act.REMOVE_THERE, path, phase))


def _delete_here(plan: Plan, compared: Compared, blind: _Blind) -> None:
    local, remote = compared.local, compared.remote
    wanted_folders = remote.folders | _folders_of(remote.files)
    for path, here in sorted(local.files.items()):
        if path not in remote.files and not blind.covers(path):
            phase = Phase.CLEAR if _in_the_way(path, remote.files, wanted_folders) else Phase.DELETE
            plan.steps.append(Step(Act.DELETE_HERE, path, phase, here, keep=compared.changed_here(path)))
    for path in sorted(local.folders - wanted_folders, key=lambda path: (-path.count("/"), path)):
        if not blind.covers(path) and not blind.touches(path):
            phase = Phase.CLEAR_FOLDERS if _in_the_way(path, remote.files, ()) else Phase.REMOVE_FOLDERS
            plan.steps.append(Step(Act.REMOVE_HERE, path, phase))


def _in_the_way(path: str, files: Mapping[str, object], folders: Iterable[str]) -> bool:
    """Whether the other side has a folder where this is a file, or a file where this or a folder above it is."""
    return path in folders or path in files or any(folder in files for folder in ancestors(path))


def _folders_of(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        for folder in ancestors(path):
            if folder in found:
                break
            found.add(folder)
    return found


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


class _Obstacles:
    """What stands where a file has to go."""

    def __init__(self, compared: Compared, blind: _Blind) -> None:
        self._compared = compared
        self._blind = blind

    def there(self, path: str, *, delete: bool) -> str | None:
        """Why nothing can be sent to the path; None when it can. `delete`: the plan clears what it may."""
        remote = self._compared.remote
        if path in remote.skipped:
            return remote.skipped[path]
        if path in remote.folders and path not in self._compared.local.folders:
            return None if delete and not self._blind.touches(path) else FOLDER_THERE
        blocking = [folder for folder in ancestors(path) if folder in remote.files]
        return FILE_THERE if blocking and not delete else None

    def here(self, path: str, *, delete: bool) -> str | None:
        local = self._compared.local
        if self._blind.covers(path):
            return UNKNOWN_HERE
        if path in local.folders and path not in self._compared.remote.folders:
            return None if delete and not self._blind.touches(path) else FOLDER_HERE
        blocking = [folder for folder in ancestors(path) if folder in local.files]
        return FILE_HERE if blocking and not delete else None
