"""The whole tree as objects in memory: folders with children, files with a history, a trash. Plain and slow.

Folders and files are objects, so what moves keeps what it is. Every method does what the command says and answers the
code with which the real thing must refuse, or None; it knows nothing of rows, numbers or counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Content = bytes | tuple[bytes, ...]  # inline bytes, or chunk ids


@dataclass(frozen=True)
class Old:
    """A retired version."""

    generation: int
    content: Content
    tags: dict[str, str]
    retired_ms: int


@dataclass(eq=False)
class File:
    generation: int
    content: Content
    tags: dict[str, str] = field(default_factory=dict)
    history: list[Old] = field(default_factory=list)  # oldest first

    def retire(self, clock_ms: int) -> None:
        self.history.append(Old(self.generation, self.content, self.tags, clock_ms))


@dataclass(eq=False)
class Trash:
    name: str
    node: File | Folder
    deleted_ms: int


@dataclass(eq=False)
class Folder:
    name: str
    parent: Folder | None
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    shelters: list[tuple[str, Folder]] = field(default_factory=list)  # removed when empty, oldest first
    trash: list[Trash] = field(default_factory=list)
    deleted: bool = False  # in the trash itself
    owner: int = 0  # of a bucket
    limits: tuple[int | None, int | None] = (None, None)  # of a bucket: files, bytes

    @property
    def path(self) -> str:
        return self.name if self.parent is None or not self.parent.name else f"{self.parent.path}/{self.name}"

    def has_trash(self) -> bool:
        return bool(self.trash) or any(folder.has_trash() for _, folder in self.shelters)

    def shelter(self, name: str) -> Folder | None:
        """The folder of that name that is kept only for its trash."""
        found = [folder for shelter_name, folder in self.shelters if shelter_name == name and folder.has_trash()]
        return found[-1] if found else None

    def inside(self) -> Iterator[Folder]:
        """Itself and everything below, trash included."""
        yield self
        for folder in [*self.folders.values(), *(folder for _, folder in self.shelters),
                       *(item.node for item in self.trash if isinstance(item.node, Folder))]:
            yield from folder.inside()


class TreeModel:
    def __init__(self, *, versions_max: int, trash_ms: int) -> None:
        self.root = Folder("", None)
        self.asker = 1  # who makes buckets now
        self.make("admin")
        self.versions_max = versions_max
        self.trash_ms = trash_ms
        self.lost_ms = -1  # when something that looking back might have seen was last freed
        self.horizon_ms = -1  # looking back may be wrong about moments before

    # Finding

    def folder(self, path: str) -> Folder | None:
        folder: Folder | None = self.root
        for segment in path.split("/") if path else []:
            folder = None if folder is None else folder.folders.get(segment)
        return folder

    def file(self, path: str) -> File | None:
        above, _, name = path.rpartition("/")
        folder = self.folder(above)
        return None if folder is None else folder.files.get(name)

    def snapshot(self) -> dict[str, Content | None]:
        """Path -> content; folders end in a slash and have none."""
        seen: dict[str, Content | None] = {}

        def look(folder: Folder) -> None:
            for name, child in folder.folders.items():
                seen[f"{folder.path}/{name}/".lstrip("/")] = None
                look(child)
            for name, file in folder.files.items():
                seen[f"{folder.path}/{name}"] = file.content
        look(self.root)
        return seen

    def trashed(self) -> list[tuple[str, str]]:
        """(path, kind) of all that undelete could name."""
        found = []
        for folder in self.root.inside():
            above: Folder | None = folder
            while above is not None and not above.deleted:
                above = above.parent
            if above is None:
                for item in folder.trash:
                    kind = "file" if isinstance(item.node, File) else "folder"
                    found.append((f"{folder.path}/{item.name}".lstrip("/"), kind))
        return sorted(found)

    def blocked(self, path: str) -> bool:
        """A file stands where a folder above the path should be."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = self.folder("/".join(parts[:depth]))
            if above is None:
                return self.file("/".join(parts[:depth])) is not None
        return False

    # Changing; the caller has asked `blocked` and what stands at the path

    def make(self, path: str) -> Folder:
        """The folder at a path, made where it is missing; one that sheltered trash is taken up again."""
        folder = self.root
        for segment in path.split("/"):
            child = folder.folders.get(segment)
            if child is None:
                child = folder.shelter(segment)
                if child is None:
                    child = Folder(segment, folder)
                else:
                    folder.shelters.remove((segment, child))
                folder.folders[segment] = child
                child.owner = self.asker
            folder = child
        return folder

    def put(self, path: str, content: Content, generation: int, clock_ms: int, *, created: bool,
            tags: dict[str, str]) -> None:
        above, _, name = path.rpartition("/")
        folder = self.make(above)
        if created:
            again = [item for item in folder.trash if item.name == name and isinstance(item.node, File)]
            if again:
                newest = max(again, key=lambda item: item.node.generation)
                folder.trash.remove(newest)
                file = newest.node
                assert isinstance(file, File) and generation > file.generation
                file.generation, file.content, file.tags = generation, content, tags
            else:
                file = File(generation, content, tags)
            folder.files[name] = file
        else:
            file = folder.files[name]
            assert generation == file.generation + 1
            file.retire(clock_ms)
            file.generation, file.content, file.tags = generation, content, tags
        while len(file.history) >= self.versions_max:
            del file.history[0]
            self.lost_ms = clock_ms

    def bury(self, path: str, clock_ms: int) -> None:
        above, _, name = path.rpartition("/")
        folder = self.folder(above)
        assert folder is not None
        node: File | Folder
        if name in folder.files:
            node = folder.files.pop(name)
            node.retire(clock_ms)
        else:
            node = folder.folders.pop(name)
            node.deleted = True
        folder.trash.append(Trash(name, node, clock_ms))

    def remove(self, path: str) -> None:
        """An empty folder."""
        above, _, name = path.rpartition("/")
        folder = self.folder(above)
        assert folder is not None
        removed = folder.folders.pop(name)
        removed.limits = (None, None)
        folder.shelters.append((name, removed))

    def move(self, src: str, dst: str, clock_ms: int) -> File | Folder:
        """`dst` is free or of the same kind; gives what moved."""
        if self.folder(dst) is not None or self.file(dst) is not None:
            self.bury(dst, clock_ms)
        above, _, name = src.rpartition("/")
        source = self.folder(above)
        assert source is not None
        node: File | Folder = source.files.pop(name) if name in source.files else source.folders.pop(name)
        self.place(node, dst)
        return node

    def place(self, node: File | Folder, path: str) -> None:
        above, _, name = path.rpartition("/")
        folder = self.make(above) if above else self.root
        if isinstance(node, File):
            folder.files[name] = node
        else:
            node.name, node.parent = name, folder
            folder.folders[name] = node

    def find_trash(self, path: str) -> tuple[Folder, Trash] | None:
        """What was deleted last at a path, unless it lies in a deleted folder."""
        folder = self.root
        *above, name = path.split("/")
        for segment in above:
            child = folder.folders.get(segment) or folder.shelter(segment)
            if child is None:
                return None
            folder = child
        items = [item for item in folder.trash if item.name == name]
        return (folder, max(items, key=lambda item: item.deleted_ms)) if items else None

    def take_out(self, folder: Folder, item: Trash, target: str, generation: int) -> None:
        """Out of the trash, to a free path."""
        above = target.rpartition("/")[0]
        if above:
            self.make(above)
        folder.trash.remove(item)
        if isinstance(item.node, File):
            last = item.node.history.pop()
            assert generation >= last.generation
            item.node.generation, item.node.content, item.node.tags = generation, last.content, last.tags
        else:
            item.node.deleted = False
        self.place(item.node, target)

    def expire(self, clock_ms: int) -> None:
        self.horizon_ms = clock_ms - self.trash_ms
        for folder in list(self.root.inside()):
            files = [*folder.files.values(), *(item.node for item in folder.trash if isinstance(item.node, File))]
            for file in files:
                kept = [old for old in file.history if old.retired_ms + self.trash_ms > clock_ms]
                if len(kept) < len(file.history):
                    self.lost_ms = clock_ms
                file.history = kept
            for item in list(folder.trash):
                gone = (not item.node.history if isinstance(item.node, File)
                        else item.deleted_ms + self.trash_ms <= clock_ms)
                if gone:
                    folder.trash.remove(item)
                    self.lost_ms = clock_ms

    def empty(self, clock_ms: int) -> int:
        """All of the trash that can be named; how many things that were."""
        count = len(self.trashed())
        for folder in list(self.root.inside()):
            above: Folder | None = folder
            while above is not None and not above.deleted:
                above = above.parent
            if above is None and folder.trash:
                folder.trash.clear()
                self.lost_ms = clock_ms
        return count
