"""The model of the tree and the real state machine, in step: every act is done to both, and then they are compared."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    Command,
    DeleteFile,
    ExpireVersions,
    Header,
    MakeFolder,
    PutFile,
    RemoveFolder,
)
from fluffy.core.metadata.commands_tree import (
    AppendFile,
    Copy,
    DeleteFolder,
    EmptyTrash,
    Move,
    PatchFile,
    RestoreVersion,
    SetTags,
    TouchFile,
    Undelete,
)
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState
from tests.support.tree_guards import LENGTH, Growth, Guards, size_of, usage
from tests.support.tree_model import Content, File, Folder, TreeModel

VERSIONS_MAX = 4
TRASH_DAYS = 1
GENESIS = genesis_command(at_ms=0, versions_max=VERSIONS_MAX, trash_days=TRASH_DAYS, write_quorum=2)
SNAPSHOTS_MAX = 40


class TreePair:
    """Every act comes at a moment of its own, so that looking back is never in doubt."""

    def __init__(self) -> None:
        self.model = TreeModel(versions_max=VERSIONS_MAX, trash_ms=TRASH_DAYS * DAY_MS)
        self.guards = Guards(self.model)
        self.asker = 1
        self.token = b""  # of the lock that the next changes bring
        self.state = MemoryState(GENESIS)
        self.clock_ms = 1
        self.history: list[Command] = []
        self.outcomes: list[Outcome] = []
        self.snapshots: list[tuple[int, dict[str, Content | None]]] = []

    def _header(self) -> Header:
        return Header(RequestId(len(self.history).to_bytes(16, "big")), self.clock_ms, NodeNo(1), UserNo(self.asker))

    def _run(self, command: Command, refusals: set[str], may_refuse: Collection[str] = ()) -> Accepted | None:
        """Do it; it must be refused with one of `refusals` if there are any, and may with one of `may_refuse`."""
        [outcome] = self.state.run(command)
        self.history.append(command)
        self.outcomes.append(outcome)
        if isinstance(outcome, Rejected) and outcome.code in may_refuse:
            return None
        if refusals:
            assert isinstance(outcome, Rejected) and outcome.code in refusals, (command, outcome, refusals)
            return None
        assert isinstance(outcome, Accepted), (command, outcome)
        return outcome

    def _change(self, command: Command, refusals: set[str], *paths: str, below: bool = False,
                growth: Growth | None = None) -> Accepted | None:
        """Do what changes `paths`; locks and quotas may be in the way, too."""
        locked = self.guards.locked(self.asker, self.token, paths, self.clock_ms, below=below)
        return self._run(replace(command, lock=self.token),  # type: ignore[call-arg]
                         refusals | locked | self.guards.full(growth))

    def _bucket(self, path: str) -> Folder | None:
        """The bucket around a path, not that which it may be itself."""
        return self.model.root.folders.get(path.split("/")[0]) if "/" in path else None

    def _grows(self, path: str, files: int, size: int, leaving: Folder | None = None) -> Growth:
        bucket = self._bucket(path)
        return Growth(bucket, self.asker if bucket is None else bucket.owner, files, size, leaving)

    def _grows_to(self, path: str, content: Content) -> Growth:
        """A new body in the place of what is there."""
        file = self.model.file(path)
        return self._grows(path, int(file is None), size_of(content) - (0 if file is None else size_of(file.content)))

    def tick(self, ms: int = 10) -> None:
        """Between two acts."""
        self.snapshots = [*self.snapshots[-SNAPSHOTS_MAX:], (self.clock_ms, self.model.snapshot())]
        self.clock_ms += ms

    def _refuse_write(self, path: str) -> set[str]:
        if self.model.blocked(path):
            return {"IsFile"}
        return {"IsFolder"} if self.model.folder(path) is not None else set()

    def _refuse_existing(self, path: str) -> set[str]:
        if self.model.file(path) is not None:
            return set()
        return {"IsFile", "IsFolder", "FileNotFound", "BucketNotFound"}

    def _stored(self, path: str, content: Content, accepted: Accepted | None,
                tags: dict[str, str] | None = None) -> None:
        """`tags` None: those that the file has."""
        if accepted is not None:
            file = self.model.file(path)
            known = {} if file is None else file.tags
            self.model.put(path, content, accepted.facts["generation"], self.clock_ms,
                           created=accepted.facts["created"], tags=known if tags is None else tags)

    def put(self, path: str, content: Content) -> None:
        chunks = () if isinstance(content, bytes) else content
        accepted = self._change(PutFile(
            self._header(), path, size_of(content), bytes(32), f"{len(self.history):032x}", "", {}, {},
            content if isinstance(content, bytes) else None, tuple((ChunkId(chunk), LENGTH) for chunk in chunks),
            tuple((NodeNo(1), NodeNo(2)) for _ in chunks)), self._refuse_write(path), path,
            growth=self._grows_to(path, content))
        self._stored(path, content, accepted, {})

    def append(self, path: str, data: bytes) -> None:
        file = self.model.file(path)
        refusals = self._refuse_write(path)
        if not refusals and file is not None and not isinstance(file.content, bytes):
            refusals = {"PreconditionFailed"}
        before = b"" if file is None or not isinstance(file.content, bytes) else file.content
        accepted = self._change(AppendFile(self._header(), path, data), refusals, path,
                                growth=self._grows_to(path, before + data))
        self._stored(path, before + data, accepted)

    def patch(self, path: str, at: int, drop: int, chunk: bytes) -> None:
        file = self.model.file(path)
        refusals = self._refuse_existing(path)
        base: tuple[bytes, ...] = ()
        if file is not None and not isinstance(file.content, bytes):
            base = file.content
        if not refusals and not at + drop <= len(base):
            refusals = {"RequestError"}
        content = (*base[:at], chunk, *base[at + drop:])
        accepted = self._change(PatchFile(
            self._header(), path, b"", 0 if file is None else file.generation, at, drop, LENGTH * len(content), b"",
            f"{len(self.history):032x}", None, ((ChunkId(chunk), LENGTH),), ((NodeNo(1), NodeNo(2)),)), refusals, path,
            growth=self._grows_to(path, content))
        self._stored(path, content, accepted)

    def touch(self, path: str) -> None:
        file = self.model.file(path)
        content = b"" if file is None else file.content
        accepted = self._change(TouchFile(self._header(), path), self._refuse_write(path), path,
                                growth=self._grows_to(path, content))
        self._stored(path, content, accepted)

    def tag(self, path: str, value: str) -> None:
        if self._change(SetTags(self._header(), path, {"k": value}), self._refuse_existing(path), path) is not None:
            file = self.model.file(path)
            assert file is not None
            file.tags = {"k": value}

    def delete(self, path: str) -> None:
        if self._change(DeleteFile(self._header(), path), self._refuse_existing(path), path) is not None:
            self.model.bury(path, self.clock_ms)

    def delete_folder(self, path: str) -> None:
        refusals = set() if self.model.folder(path) else {"FolderNotFound", "BucketNotFound", "IsFile", "FileNotFound"}
        if self._change(DeleteFolder(self._header(), path), refusals, path, below=True) is not None:
            self.model.bury(path, self.clock_ms)

    def mkdir(self, path: str) -> None:
        refusals = {"IsFile"} if self.model.blocked(path) or self.model.file(path) is not None else set()
        command = MakeFolder(self._header(), path, True)
        if self.model.folder(path) is not None:
            self._run(command, refusals)  # nothing changes, so no lock is asked
        elif self._change(command, refusals, path) is not None:
            self.model.make(path)

    def rmdir(self, path: str) -> None:
        folder = self.model.folder(path)
        refusals = set() if folder else {"FolderNotFound", "BucketNotFound", "IsFile"}
        if folder is not None and (folder.files or folder.folders):
            refusals = {"FolderNotEmpty"}
        if self._change(RemoveFolder(self._header(), path), refusals, path, below=True) is not None:
            self.model.remove(path)

    def _refuse_transfer(self, src: str, dst: str, overwrite: bool) -> set[str]:
        """Which refusals a move or copy of what is at `src` must meet one of."""
        model = self.model
        is_folder = model.folder(src) is not None
        refusals: set[str] = set()
        if not is_folder and model.file(src) is None:
            return {"FileNotFound", "BucketNotFound", "IsFile", "FolderNotFound", "NameIllegal"}
        if ("/" in src) != ("/" in dst):
            refusals.add("NameIllegal")
        if dst == src or dst.startswith(src + "/"):
            refusals.add("IntoItself" if is_folder or dst == src else "IsFile")
        if model.blocked(dst):
            refusals.add("IsFile")
        if model.folder(dst) is not None:
            if not is_folder:
                refusals.add("IsFolder")
            elif not overwrite:
                refusals.add("AlreadyExists")
            if src.startswith(dst + "/"):
                refusals.add("IntoItself")
        if model.file(dst) is not None:
            if is_folder:
                refusals.add("IsFile")
            elif not overwrite:
                refusals.add("AlreadyExists")
        return refusals

    def move(self, src: str, dst: str, overwrite: bool) -> None:
        source: File | Folder | None = self.model.folder(src) or self.model.file(src)
        growth = None
        if source is not None and "/" in src and "/" in dst and src.split("/")[0] != dst.split("/")[0]:
            growth = self._grows(dst, *usage(source), leaving=self._bucket(src))
        accepted = self._change(Move(self._header(), src, dst, overwrite), self._refuse_transfer(src, dst, overwrite),
                                src, dst, below=isinstance(source, Folder), growth=growth)
        if accepted is None:
            return
        moved = self.model.move(src, dst, self.clock_ms)
        if isinstance(moved, File):
            assert accepted.facts["generation"] >= moved.generation
            moved.generation = accepted.facts["generation"]

    def copy(self, src: str, dst: str, overwrite: bool) -> None:
        refusals = self._refuse_transfer(src, dst, overwrite)
        source: File | Folder | None = self.model.folder(src) or self.model.file(src)
        if isinstance(source, Folder) and src.startswith(dst + "/"):
            refusals.add("IntoItself")
        if isinstance(source, File) and src == dst and overwrite:
            refusals = set()
        if isinstance(source, Folder) and "/" not in dst and "/" in src:
            refusals.discard("NameIllegal")  # a folder may be copied into a new bucket, and a bucket into a folder
        elif isinstance(source, Folder) and "/" not in src:
            refusals.discard("NameIllegal")
        growth = None
        if isinstance(source, Folder):
            growth = self._grows(dst, *usage(source))
        elif source is not None:
            growth = self._grows_to(dst, source.content)
        accepted = self._change(Copy(self._header(), src, dst, overwrite=overwrite), refusals, dst,
                                below=isinstance(source, Folder), growth=growth)
        if accepted is None or source is None:
            return
        if isinstance(source, File):
            self._stored(dst, source.content, accepted, source.tags)
            return
        if self.model.folder(dst) is not None:
            self.model.bury(dst, self.clock_ms)
        self._copy_inside(source, dst)

    def _copy_inside(self, source: Folder, dst: str) -> None:
        """Generations of a copied folder are what the real thing says; they are compared by their order only."""
        self.model.make(dst)
        for name, file in source.files.items():
            head = queries.file_head(self.state.db, parse_path(f"{dst}/{name}"))
            assert head is not None
            self.model.put(f"{dst}/{name}", file.content, head.generation, self.clock_ms, created=True,
                           tags=file.tags)
        for name, folder in source.folders.items():
            self._copy_inside(folder, f"{dst}/{name}")

    def restore(self, path: str, back: int) -> None:
        """The `back`-th newest old generation of what is there, or was deleted there."""
        file = self.model.file(path)
        found = None
        refusals = self._refuse_write(path)
        if file is None and not refusals:
            found = self.model.find_trash(path)
            file = found[1].node if found is not None and isinstance(found[1].node, File) else None
        old = file.history[-back] if file is not None and len(file.history) >= back else None
        if not refusals and old is None:
            refusals = {"VersionNotFound"}
        generation = 1_000_000 if old is None else old.generation
        accepted = self._change(RestoreVersion(self._header(), path, generation), refusals, path,
                                growth=None if old is None else self._grows_to(path, old.content))
        if accepted is not None and old is not None and file is not None:
            self._stored(path, old.content, accepted, old.tags)

    def undelete(self, path: str, target: str | None) -> None:
        found = self.model.find_trash(path)
        place = path if target is None else target
        refusals: set[str] = set()
        if found is None:
            refusals = {"FileNotFound"}
        else:
            if (found[0].parent is None) != ("/" not in place):
                refusals.add("NameIllegal")
            if isinstance(found[1].node, File) and "/" not in place:
                refusals.add("NameIllegal")
            if self.model.folder(place) is not None or self.model.file(place) is not None:
                refusals.add("AlreadyExists")
            if self.model.blocked(place):
                refusals.add("IsFile")
        node = None if found is None else found[1].node
        growth = None
        if isinstance(node, Folder):
            files, size = usage(node)
            growth = (Growth(node, node.owner, files, size) if node.parent is self.model.root
                      else self._grows(place, files, size))
        elif node is not None:
            growth = self._grows(place, 1, size_of(node.history[-1].content))
        accepted = self._change(Undelete(self._header(), path, 0, target), refusals, place,
                                below=isinstance(node, Folder), growth=growth)
        if accepted is not None and found is not None:
            self.model.take_out(*found, place, accepted.facts.get("generation", 0))

    def empty(self) -> None:
        accepted = self._run(EmptyTrash(self._header(), "", "", 1_000), set())
        assert accepted is not None
        assert accepted.facts["purged"] == self.model.empty(self.clock_ms)

    def expire(self) -> None:
        """Until nothing is left to free."""
        for _ in range(10_000):
            accepted = self._run(ExpireVersions(self._header(), 1, 3), set())
            if accepted is None or not accepted.facts["more"]:
                break
        self.model.expire(self.clock_ms)

    def check(self) -> None:
        """All that readers can ask agrees with the model."""
        db = self.state.db
        for path, content in self.model.snapshot().items():
            if content is None:
                assert queries.kind_at(db, parse_path(path)) == "folder", path
                continue
            file = self.model.file(path)
            assert file is not None
            self._check_version(path, None, file.generation, content)
            head = queries.file_head(db, parse_path(path))
            assert head is not None and head.tags == file.tags
            for old in file.history:
                self._check_version(path, old.generation, old.generation, old.content)
        assert self._listed("") == self.model.snapshot().keys()
        items = queries.trash(db, parse_path(""), None, 10_000).items
        assert sorted((item.path, item.kind) for item in items) == self.model.trashed()

    def _check_version(self, path: str, asked: int | None, generation: int, content: Content) -> None:
        found = queries.file_version(self.state.db, parse_path(path), asked)
        assert found is not None and found.generation == generation, (path, asked)
        chunks = tuple(ref.chunk_id for ref in found.chunks)
        assert (found.inline or b"", chunks) == ((content, ()) if isinstance(content, bytes) else (b"", content))

    def _listed(self, folder: str) -> set[str]:
        found: set[str] = set()
        for entry in queries.list_folder(self.state.db, parse_path(folder), None, 10_000).entries:
            found.add(entry.path + "/" if entry.kind == "folder" else entry.path)
            if entry.kind == "folder":
                found |= self._listed(entry.path)
        return found

    def look_back(self, rng: random.Random) -> None:
        """The tree as it was after some earlier act: all of it, unless something was freed since."""
        if not self.snapshots:
            return
        moment_ms, snapshot = rng.choice(self.snapshots)
        if moment_ms <= self.model.horizon_ms:
            return
        seen = self._seen_at("", moment_ms)
        if self.model.lost_ms < moment_ms:
            assert seen == snapshot, moment_ms
        else:
            assert all(snapshot.get(path, b"?") == content for path, content in seen.items()
                       if not path.endswith("/")), moment_ms

    def _seen_at(self, folder: str, moment_ms: int) -> dict[str, Content | None]:
        seen: dict[str, Content | None] = {}
        for entry in queries.list_at(self.state.db, parse_path(folder), moment_ms, None, 10_000).entries:
            if entry.kind == "folder":
                seen[entry.path + "/"] = None
                seen |= self._seen_at(entry.path, moment_ms)
                continue
            file = queries.file_at(self.state.db, parse_path(entry.path), moment_ms)
            assert file is not None and file.generation == entry.generation
            chunks = tuple(ref.chunk_id for ref in file.chunks)
            seen[entry.path] = chunks or file.inline or b""
        return seen

    def close(self) -> None:
        self.state.close()
