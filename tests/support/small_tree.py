"""One bucket as a value, and what each operation does to it: the model that concurrent histories are judged by.

Small on purpose, so that a history of hundreds of operations can be searched: a few names, and bodies made of pieces
of one size, each written by one operation only. A body is therefore a tuple of pieces, and what is lost, doubled or
mixed shows in it.

Things in the trash are remembered where they can be asked for: straight below the bucket, and `KEPT`. That one is never
moved, nor is anything out of its folder; so its generations can be counted, and old ones restored by number.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import NamedTuple

KEPT = "k/kept"
READS = frozenset({"read", "list", "sums"})
Piece = tuple[int, int]  # the operation that wrote it, and which of its pieces


class File(NamedTuple):
    pieces: tuple[Piece, ...]
    tag: str = ""


class Subtree(NamedTuple):
    """A folder with all in it, by paths relative to it; itself not listed."""

    files: tuple[tuple[str, File], ...]
    folders: tuple[str, ...]


class Tree(NamedTuple):
    """Everything by path below the bucket. `trash`: name -> what was deleted there, last one last."""

    files: tuple[tuple[str, File], ...] = ()
    folders: tuple[str, ...] = ()
    trash: tuple[tuple[str, tuple[File | Subtree, ...]], ...] = ()
    history: tuple[File, ...] = ()  # generations of KEPT, from 1 on
    locks: tuple[tuple[str, int], ...] = ()  # path, operation that took it
    files_max: int | None = None
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asks. `pieces`: what it brings; `number`: its own number, and so the name of a lock it takes.

    `expected`: the body that must be there (If-Match). `lock`: the operation that took the lock whose token it brings.
    `at`: the piece to overwrite, the generation to restore. `limits`: files and bytes of a quota.
    """

    kind: str
    number: int
    path: str = ""
    dst: str = ""
    pieces: tuple[Piece, ...] = ()
    flag: bool = False  # overwrite; of a put: only create
    expected: tuple[Piece, ...] | None = None
    lock: int | None = None
    at: int = 0
    tag: str = ""
    limits: tuple[int | None, int | None] = (None, None)

    def __str__(self) -> str:
        """Only what it says, as people would read it."""
        said = {field.name: getattr(self, field.name) for field in fields(self)
                if field.name not in ("kind", "number") and getattr(self, field.name) != field.default}
        return f"{self.kind} #{self.number} " + " ".join(f"{name}={value}" for name, value in said.items())


@dataclass(frozen=True, slots=True)
class Refused:
    code: str


@dataclass(frozen=True, slots=True)
class Done:
    """`detail`: what the answer said beside success."""

    detail: object = None


Answer = Refused | Done


class Outcome(NamedTuple):
    """`refusals`: codes, of which the answer must have one; none: the call is done, with `detail`."""

    after: Tree
    refusals: frozenset[str]
    detail: object

    def fits(self, answer: Answer) -> bool:
        if isinstance(answer, Refused):
            return answer.code in self.refusals
        return not self.refusals and answer.detail == self.detail


def above(path: str) -> list[str]:
    """The folders on the way to a path, the bucket apart."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def lies_in(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")


class SmallTree:
    """Implements `linearizability.Model`. `piece_bytes`: the size of every piece."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes

    def outcome(self, state: Tree, call: Call) -> Outcome:
        """What a call does, and what it must be answered."""
        draft = _Draft(state, call, self._piece_bytes)
        detail = getattr(draft, call.kind)()
        if draft.refusals:
            return Outcome(state, frozenset(draft.refusals), None)
        after = draft.frozen()
        return Outcome(state if after == state else after, frozenset(), detail)

    def step(self, state: Tree, call: Call, answer: Answer | None) -> Tree | None:
        outcome = self.outcome(state, call)
        return outcome.after if answer is None or outcome.fits(answer) else None

    def only_looks(self, call: Call, answer: Answer) -> bool:
        return call.kind in READS or isinstance(answer, Refused)


class _Draft:
    """One step, done to dictionaries. A method for each kind of call fills `refusals`, or changes and gives the detail.

    A refusal may have any of the codes for which there is a reason: which check comes first is not promised.
    """

    def __init__(self, state: Tree, call: Call, piece_bytes: int) -> None:
        self.call = call
        self.refusals: set[str] = set()
        self._piece_bytes = piece_bytes
        self._files = dict(state.files)
        self._folders = set(state.folders)
        self._trash = dict(state.trash)
        self._history = state.history
        self._locks = state.locks
        self._files_max, self._bytes_max = state.files_max, state.bytes_max

    def frozen(self) -> Tree:
        return Tree(tuple(sorted(self._files.items())), tuple(sorted(self._folders)),
                    tuple(sorted((name, items) for name, items in self._trash.items() if items)),
                    self._history, self._locks, self._files_max, self._bytes_max)

    # -- reasons to refuse

    def _refuse(self, reason: bool, *codes: str) -> None:
        if reason:
            self.refusals.update(codes)

    def _refuse_locked(self, *paths: str, below: bool = False) -> None:
        """As core/metadata/locks.py: every lock in the way must be the one whose token is brought."""
        own, covers = self.call.lock, False
        for locked, holder in self._locks:
            in_the_way = any(locked == path or lies_in(path, locked) or (below and lies_in(locked, path))
                             for path in paths)
            if in_the_way and holder == own:
                covers = True
            elif in_the_way:
                self.refusals.add("FileLocked")
        self._refuse(own is not None and not covers, "LockLost")

    def _refuse_blocked(self, path: str) -> None:
        self._refuse(any(folder in self._files for folder in above(path)), "IsFile")

    def _refuse_growth(self, files: int, pieces: int) -> None:
        used = sum(len(file.pieces) for file in self._files.values()) * self._piece_bytes
        size = pieces * self._piece_bytes
        self._refuse(files > 0 and self._files_max is not None and len(self._files) + files > self._files_max,
                     "QuotaExceeded")
        self._refuse(size > 0 and self._bytes_max is not None and used + size > self._bytes_max, "QuotaExceeded")

    def _refuse_store(self, path: str, pieces: int) -> None:
        """Reasons against a new body of so many pieces at a path."""
        self._refuse_blocked(path)
        self._refuse(path in self._folders, "IsFolder")
        self._refuse_locked(path)
        there = self._files.get(path)
        self._refuse_growth(int(there is None), pieces - (0 if there is None else len(there.pieces)))

    def _refuse_missing_file(self, path: str) -> None:
        self._refuse(path not in self._files, "FileNotFound")
        self._refuse(path in self._folders, "IsFolder")
        self._refuse_blocked(path)
        self._refuse_locked(path)

    # -- changes

    def _make_above(self, path: str) -> None:
        self._folders.update(above(path))

    def _store(self, path: str, file: File) -> bool:
        """A new generation; whether the file was made. What is made again goes on where its trash ended."""
        created = path not in self._files
        self._make_above(path)
        if created:
            items = self._trash.get(path, ())
            last = max((at for at, item in enumerate(items) if isinstance(item, File)), default=None)
            if last is not None:
                self._trash[path] = (*items[:last], *items[last + 1:])
        self._files[path] = file
        if path == KEPT:
            self._history = (*self._history, file)
        return created

    def _bury(self, path: str) -> None:
        item: File | Subtree = self._files.pop(path) if path in self._files else self._cut(path)
        if "/" not in path or path == KEPT:
            self._trash[path] = (*self._trash.get(path, ()), item)

    def _inside(self, folder: str) -> Subtree:
        start = len(folder) + 1
        return Subtree(tuple((path[start:], file) for path, file in sorted(self._files.items())
                             if lies_in(path, folder)),
                       tuple(path[start:] for path in sorted(self._folders) if lies_in(path, folder)))

    def _cut(self, folder: str) -> Subtree:
        """Take a folder out of the tree."""
        cut = self._inside(folder)
        for path, _ in cut.files:
            del self._files[f"{folder}/{path}"]
        self._folders -= {folder, *(f"{folder}/{path}" for path in cut.folders)}
        return cut

    def _paste(self, folder: str, what: Subtree) -> None:
        self._make_above(folder)
        self._folders |= {folder, *(f"{folder}/{path}" for path in what.folders)}
        self._files.update((f"{folder}/{path}", file) for path, file in what.files)

    # -- files

    def put(self) -> object:
        call = self.call
        there = self._files.get(call.path)
        self._refuse_store(call.path, len(call.pieces))
        self._refuse(call.flag and there is not None, "PreconditionFailed")
        self._refuse(call.expected is not None and (there is None or there.pieces != call.expected),
                     "PreconditionFailed")
        return None if self.refusals else self._store(call.path, File(call.pieces))

    def append(self) -> object:
        path = self.call.path
        there = self._files.get(path, File(()))
        self._refuse_store(path, len(there.pieces) + len(self.call.pieces))
        if not self.refusals:
            self._store(path, File(there.pieces + self.call.pieces, there.tag))
        return len(there.pieces)

    def patch(self) -> object:
        path, at = self.call.path, self.call.at
        self._refuse_missing_file(path)
        there = self._files.get(path, File(()))
        self._refuse(at > len(there.pieces), "RangeIllegal")
        pieces = (*there.pieces[:at], *self.call.pieces, *there.pieces[at + len(self.call.pieces):])
        self._refuse_growth(0, len(pieces) - len(there.pieces))
        if not self.refusals:
            self._store(path, File(pieces, there.tag))
        return None

    def tag(self) -> object:
        path = self.call.path
        self._refuse_missing_file(path)
        if not self.refusals:
            self._files[path] = self._files[path]._replace(tag=self.call.tag)
            if path == KEPT:
                self._history = (*self._history[:-1], self._files[path])
        return None

    def delete(self) -> object:
        self._refuse_missing_file(self.call.path)
        if not self.refusals:
            self._bury(self.call.path)
        return None

    def undelete(self) -> object:
        name = self.call.path
        items = self._trash.get(name, ())
        if not items:
            self.refusals.add("FileNotFound")
            return None
        item = items[-1]
        inside = (item,) if isinstance(item, File) else tuple(file for _, file in item.files)
        self._refuse(name in self._files or name in self._folders, "AlreadyExists")
        self._refuse_locked(name, below=isinstance(item, Subtree))
        self._refuse_growth(len(inside), sum(len(file.pieces) for file in inside))
        if self.refusals:
            return None
        self._trash[name] = items[:-1]
        if isinstance(item, File):
            self._files[name] = item
            return "file"
        self._paste(name, item)
        return "folder"

    def restore(self) -> object:
        generation = self.call.at
        there = self._files.get(KEPT)
        if there is not None and generation == len(self._history):
            self._refuse_locked(KEPT)
            return False
        if generation > len(self._history):
            self._refuse_locked(KEPT)
            self.refusals.add("VersionNotFound")
            return None
        file = self._history[generation - 1]
        self._refuse_store(KEPT, len(file.pieces))
        if not self.refusals:
            self._store(KEPT, file)
        return True

    # -- folders, and both

    def mkdir(self) -> object:
        path = self.call.path
        if path in self._folders:
            return False
        self._refuse_blocked(path)
        self._refuse(path in self._files, "IsFile")
        self._refuse_locked(path)
        if not self.refusals:
            self._make_above(path)
            self._folders.add(path)
        return True

    def _refuse_missing_folder(self, path: str) -> None:
        self._refuse(path not in self._folders, "FolderNotFound", "FileNotFound")
        self._refuse(path in self._files, "IsFile")
        self._refuse_blocked(path)
        self._refuse_locked(path, below=True)

    def rmdir(self) -> object:
        path = self.call.path
        self._refuse_missing_folder(path)
        self._refuse(any(lies_in(other, path) for other in (*self._files, *self._folders)), "FolderNotEmpty")
        if not self.refusals:
            self._folders.remove(path)
        return None

    def rmtree(self) -> object:
        path = self.call.path
        self._refuse_missing_folder(path)
        count = len(self._inside(path).files)
        if not self.refusals:
            self._bury(path)
        return count

    def _refuse_transfer(self, *, is_folder: bool) -> None:
        """Reasons against a move or a copy that have to do with where the two paths lie."""
        src, dst = self.call.path, self.call.dst
        self._refuse_blocked(dst)
        if dst in self._folders:
            self._refuse(not is_folder, "IsFolder")
            self._refuse(is_folder and not self.call.flag, "AlreadyExists")
            self._refuse(lies_in(src, dst), "IntoItself")
        if dst in self._files:
            self._refuse(is_folder, "IsFile")
            self._refuse(not is_folder and not self.call.flag, "AlreadyExists")
        self._refuse(lies_in(dst, src), "IntoItself" if is_folder else "IsFile")

    def _source_is_folder(self) -> bool | None:
        """None, with a refusal: there is nothing."""
        src = self.call.path
        if src not in self._files and src not in self._folders:
            self.refusals.update({"FileNotFound", "FolderNotFound"})
            self._refuse_blocked(src)
            return None
        return src in self._folders

    def move(self) -> object:
        src, dst = self.call.path, self.call.dst
        is_folder = self._source_is_folder()
        if is_folder is None:
            return None
        self._refuse_transfer(is_folder=is_folder)
        self._refuse(src == dst, "IntoItself")
        self._refuse_locked(src, dst, below=is_folder)
        if self.refusals:
            return None
        replaced = dst in self._files or dst in self._folders
        if replaced:
            self._bury(dst)
        if is_folder:
            cut = self._cut(src)
            self._paste(dst, cut)
            return ("folder", len(cut.files), replaced)
        file = self._files.pop(src)
        self._make_above(dst)
        self._files[dst] = file
        return ("file", 1, replaced)

    def copy(self) -> object:
        src, dst = self.call.path, self.call.dst
        is_folder = self._source_is_folder()
        if is_folder is None:
            return None
        self._refuse_transfer(is_folder=is_folder)
        self._refuse_locked(dst, below=is_folder)
        if not is_folder:
            file, there = self._files[src], self._files.get(dst)
            self._refuse_growth(int(there is None), len(file.pieces) - (0 if there is None else len(there.pieces)))
            return None if self.refusals else ("file", 1, self._store(dst, file))
        self._refuse(src == dst or lies_in(src, dst), "IntoItself")
        inside = self._inside(src)
        self._refuse_growth(len(inside.files), sum(len(file.pieces) for _, file in inside.files))
        if self.refusals:
            return None
        created = dst not in self._folders
        if not created:
            self._bury(dst)
        self._paste(dst, inside)
        return ("folder", len(inside.files), created)

    # -- locks and quotas

    def lock(self) -> object:
        path = self.call.path
        self._refuse_blocked(path)
        self._refuse(any(locked == path or lies_in(path, locked) or lies_in(locked, path)
                         for locked, _ in self._locks), "FileLocked")
        self._locks = tuple(sorted((*self._locks, (path, self.call.number))))
        return None

    def unlock(self) -> object:
        self._end_locks([line for line in self._locks if line[1] == self.call.lock])
        return None

    def break_lock(self) -> object:
        self._refuse_blocked(self.call.path)
        self._end_locks([line for line in self._locks if line[0] == self.call.path])
        return None

    def _end_locks(self, ended: Collection[tuple[str, int]]) -> None:
        self._refuse(not ended, "LockNotFound")
        if not self.refusals:
            self._locks = tuple(line for line in self._locks if line not in ended)

    def quota(self) -> object:
        self._files_max, self._bytes_max = self.call.limits
        return None

    # -- reading

    def read(self) -> object:
        path = self.call.path
        if path in self._files:
            return self._files[path]
        self.refusals.add("IsFolder" if path in self._folders else "FileNotFound")
        return None

    def list(self) -> object:
        """Names with sizes; a folder's ends in a slash. The empty path is the bucket."""
        path = self.call.path
        if path and path not in self._folders:
            self.refusals.add("IsFile" if path in self._files else "FolderNotFound")
            return None
        prefix = path + "/" if path else ""
        lines = [(name, len(file.pieces)) for name, file in self._inside_of(prefix)]
        return tuple(sorted(lines + [(other.removeprefix(prefix) + "/", 0) for other in self._folders
                                     if other.startswith(prefix) and "/" not in other.removeprefix(prefix)]))

    def _inside_of(self, prefix: str) -> list[tuple[str, File]]:
        return [(path.removeprefix(prefix), file) for path, file in self._files.items()
                if path.startswith(prefix) and "/" not in path.removeprefix(prefix)]

    def sums(self) -> object:
        """Files and bytes of a folder with all below it."""
        path = self.call.path
        if path not in self._folders:
            self.refusals.add("FileNotFound")
            if path not in self._files:
                return None
            self.refusals.clear()
            return ("file", 1, len(self._files[path].pieces))
        inside = self._inside(path).files
        return ("folder", len(inside), sum(len(file.pieces) for _, file in inside))
