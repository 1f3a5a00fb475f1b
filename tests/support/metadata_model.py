"""The file tree as a child would keep it, in dictionaries; and a pair of it with the real state machine.

Every step is done to both, and afterwards everything a reader can ask must be the same. What the rules leave open
(when a condemned version is really freed) the model does not know and the pair does not compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    Command,
    DeleteFile,
    ExpireVersions,
    ForgetChunks,
    Header,
    MakeFolder,
    PutFile,
    RemoveFolder,
    ReplicasChanged,
)
from fluffy.core.metadata.model import Entry
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState

VERSIONS_MAX = 4
TRASH_DAYS = 1
GENESIS = genesis_command(at_ms=0, versions_max=VERSIONS_MAX, trash_days=TRASH_DAYS, write_quorum=2)
CHUNK_LENGTHS = {ChunkId(bytes([i]) * 32): 1000 + i for i in range(5)}
Chunks = tuple[ChunkId, ...]


@dataclass(frozen=True)
class Version:
    generation: int
    content: bytes | Chunks
    retired_ms: int | None = None


@dataclass
class Model:
    """`kept`: retired versions that must be readable. `used`: the highest generation a path ever had."""

    files: dict[str, Version] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"admin"})
    kept: dict[tuple[str, int], Version] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    copies: dict[ChunkId, set[int]] = field(default_factory=dict)
    feed: list[tuple[str, str]] = field(default_factory=lambda: [("bucket-made", "admin")])

    def parents(self, path: str) -> list[str]:
        parts = path.split("/")
        return ["/".join(parts[:i]) for i in range(1, len(parts))]

    def make_folders(self, paths: list[str]) -> None:
        for path in paths:
            if path not in self.folders:
                self.folders.add(path)
                self.feed.append(("folder-made" if "/" in path else "bucket-made", path))

    def refuse_place(self, path: str, *, parents: bool) -> set[str]:
        """Codes with which anything at `path` may be refused because of its parents."""
        if any(parent in self.files for parent in self.parents(path)):
            return {"IsFile"}
        missing = [parent for parent in self.parents(path) if parent not in self.folders]
        return {"BucketNotFound", "FolderNotFound"} if missing and not parents else set()

    def retire(self, path: str, clock_ms: int) -> None:
        old = self.files.pop(path)
        self.kept[path, old.generation] = Version(old.generation, old.content, max(1, clock_ms))


class Pair:
    """The model and the machine, in step."""

    def __init__(self) -> None:
        self.model = Model()
        self.state = MemoryState(GENESIS)
        self.clock_ms = 0
        self.history: list[Command] = []
        self.outcomes: list[Outcome] = []

    def _header(self) -> Header:
        number = len(self.history)
        return Header(RequestId(number.to_bytes(16, "big")), self.clock_ms, NodeNo(1), UserNo(1))

    def _run(self, command: Command) -> Outcome:
        [outcome] = self.state.run(command)
        self.history.append(command)
        self.outcomes.append(outcome)
        return outcome

    def _expect(self, outcome: Outcome, refusals: set[str]) -> Accepted | None:
        """The acceptance, when the model expects no refusal; None when it does and got one of them."""
        if refusals:
            assert isinstance(outcome, Rejected) and outcome.code in refusals, (outcome, refusals)
            return None
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def sleep(self, ms: int) -> None:
        self.clock_ms += ms

    def put(self, path: str, content: bytes | Chunks, nodes: tuple[NodeNo, ...] = (), *, parents: bool = True,
            if_none_match: bool = False, if_match_generation: int | None = None) -> None:
        model = self.model
        chunks = () if isinstance(content, bytes) else content
        size = len(content) if isinstance(content, bytes) else sum(CHUNK_LENGTHS[chunk] for chunk in chunks)
        etag = f"{len(self.history):032x}"
        current = model.files.get(path)
        if_match = None if if_match_generation is None else self._etag(path, if_match_generation)
        outcome = self._run(PutFile(
            self._header(), path, size, bytes(32), etag, "text/plain", {}, {"k": "v"},
            content if isinstance(content, bytes) else None, tuple((chunk, CHUNK_LENGTHS[chunk]) for chunk in chunks),
            tuple(nodes for _ in chunks), if_match, if_none_match, parents))
        refusals = model.refuse_place(path, parents=parents)
        if not refusals and path in model.folders:
            refusals = {"IsFolder"}
        if not refusals and ((if_none_match and current is not None) or (
                if_match_generation is not None and (current is None or current.generation != if_match_generation))):
            refusals = {"PreconditionFailed"}
        if not refusals and any(len(model.copies.get(chunk, set()) | set(nodes)) < 2 for chunk in chunks):
            refusals = {"ChunksMissing"}
        accepted = self._expect(outcome, refusals)
        if accepted is None:
            return
        model.make_folders(model.parents(path))
        for chunk in chunks:
            model.copies.setdefault(chunk, set()).update(nodes)
        self._check_generation(path, accepted.facts["generation"], current)
        if current is not None:
            model.retire(path, self.clock_ms)
        generation = accepted.facts["generation"]
        model.files[path] = Version(generation, content)
        model.used[path] = generation
        model.feed.append(("file-put", path))
        for kept_path, kept_generation in list(model.kept):
            if kept_path == path and kept_generation <= generation - VERSIONS_MAX:
                del model.kept[kept_path, kept_generation]

    def _check_generation(self, path: str, generation: int, current: Version | None) -> None:
        """Grows by one where anything of the path is kept, and in any case."""
        if current is not None or (path, self.model.used.get(path, 0)) in self.model.kept:
            assert generation == self.model.used[path] + 1
        else:
            assert generation > self.model.used.get(path, 0)

    def _etag(self, path: str, generation: int) -> str:
        head = queries.file_head(self.state.db, parse_path(path), generation)
        return "no such version" if head is None else head.etag

    def delete(self, path: str, *, purge: bool = False) -> None:
        model = self.model
        outcome = self._run(DeleteFile(self._header(), path, purge))
        trashed = purge and any(kept_path == path for kept_path, _ in model.kept)
        refusals = model.refuse_place(path, parents=False)
        if refusals and "IsFile" not in refusals:
            refusals |= {"FileNotFound"}
        if not refusals and path in model.folders:
            refusals = {"IsFolder"}
        if not refusals and path not in model.files and not trashed:
            refusals = {"FileNotFound"}
        if self._expect(outcome, refusals) is None:
            return
        if path in model.files:
            model.retire(path, self.clock_ms)
        if purge:
            for key in [key for key in model.kept if key[0] == path]:
                del model.kept[key]
        model.feed.append(("file-purged" if purge else "file-deleted", path))

    def mkdir(self, path: str, *, parents: bool) -> None:
        model = self.model
        outcome = self._run(MakeFolder(self._header(), path, parents))
        refusals = model.refuse_place(path, parents=parents)
        if not refusals and path in model.files:
            refusals = {"IsFile"}
        if not refusals and path in model.folders and not parents:
            refusals = {"AlreadyExists"}
        if self._expect(outcome, refusals) is not None:
            model.make_folders([*model.parents(path), path])

    def rmdir(self, path: str) -> None:
        model = self.model
        outcome = self._run(RemoveFolder(self._header(), path))
        refusals = model.refuse_place(path, parents=False)
        if not refusals and path in model.files:
            refusals = {"IsFile"}
        if not refusals and path not in model.folders:
            refusals = {"BucketNotFound", "FolderNotFound"}
        if not refusals and any(other.startswith(path + "/") for other in [*model.files, *model.folders]):
            refusals = {"FolderNotEmpty"}
        if self._expect(outcome, refusals) is not None:
            model.folders.remove(path)
            model.feed.append(("folder-removed" if "/" in path else "bucket-removed", path))

    def replicas(self, added: list[tuple[ChunkId, NodeNo]], removed: list[tuple[ChunkId, NodeNo]]) -> None:
        outcome = self._run(ReplicasChanged(self._header(), tuple(added), tuple(removed)))
        assert isinstance(outcome, Accepted)
        known = queries.known_chunks(self.state.db, list(CHUNK_LENGTHS))
        for chunk, node in added:
            if chunk in known:
                self.model.copies[chunk].add(node)
        for chunk, node in removed:
            if chunk in known:
                self.model.copies[chunk].discard(node)

    def forget(self, grace_ms: int) -> None:
        outcome = self._run(ForgetChunks(self._header(), 1, tuple(CHUNK_LENGTHS), grace_ms))
        assert isinstance(outcome, Accepted)
        known = queries.known_chunks(self.state.db, list(CHUNK_LENGTHS))
        forgotten = [chunk for chunk in self.model.copies if chunk not in known]
        assert outcome.facts["forgotten"] == len(forgotten)
        for chunk in forgotten:
            del self.model.copies[chunk]

    def expire(self) -> None:
        """Until nothing is left to expire."""
        for _ in range(1_000):
            outcome = self._run(ExpireVersions(self._header(), 1, 3))
            assert isinstance(outcome, Accepted)
            if not outcome.facts["more"]:
                break
        gone = {key for key, version in self.model.kept.items()
                if version.retired_ms is not None and version.retired_ms <= self.clock_ms - TRASH_DAYS * DAY_MS}
        for key in gone:
            del self.model.kept[key]

    def repeat(self, number: int) -> None:
        """An old request again: its old answer, and nothing else."""
        if self.history:
            number %= len(self.history)
            [outcome] = self.state.run(self.history[number])
            assert outcome == self.outcomes[number]

    def check(self) -> None:
        """All that readers can ask agrees with the model."""
        db = self.state.db
        model = self.model
        for path, version in model.files.items():
            found = queries.file_version(db, parse_path(path))
            assert found is not None and found.generation == version.generation
            self._check_content(found.inline, tuple(ref.chunk_id for ref in found.chunks), version)
            for ref in found.chunks:
                assert set(ref.replicas) == model.copies[ref.chunk_id] and ref.length == CHUNK_LENGTHS[ref.chunk_id]
        for (path, generation), version in model.kept.items():
            found = queries.file_version(db, parse_path(path), generation)
            assert found is not None, (path, generation)
            self._check_content(found.inline, tuple(ref.chunk_id for ref in found.chunks), version)
        for folder in ["", *model.folders]:
            entries = queries.list_folder(db, parse_path(folder), None, 1_000).entries
            assert [self._line(entry) for entry in entries] == self._listing(folder)
        usage = queries.usage(db)
        assert usage.files == len(model.files)
        feed = [(change.kind, change.path) for change in queries.changes(db, 0, 10_000)]
        expired = [("file-purged", path) for kind, path in feed if kind == "file-purged"]
        assert [line for line in feed if line[0] != "file-purged"] == [
            line for line in model.feed if line[0] != "file-purged"]
        assert len(expired) >= sum(line[0] == "file-purged" for line in model.feed)

    @staticmethod
    def _check_content(inline: bytes | None, chunks: Chunks, version: Version) -> None:
        if isinstance(version.content, bytes):
            assert inline == version.content and chunks == ()
        else:
            assert (inline or b"") == b"" and chunks == version.content

    def _line(self, entry: Entry) -> tuple[str, str, int]:
        return (entry.path, entry.kind, entry.generation)

    def _listing(self, folder: str) -> list[tuple[str, str, int]]:
        def inside(path: str) -> bool:
            return path.rpartition("/")[0] == folder and path != ""
        lines = {path: (path, "file", version.generation) for path, version in self.model.files.items() if inside(path)}
        lines |= {path + "/": (path, "folder", 0) for path in self.model.folders if inside(path)}
        return [lines[key] for key in sorted(lines)]

    def close(self) -> None:
        self.state.close()
