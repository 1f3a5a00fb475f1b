"""Uploads in parts as a child would keep them, in dictionaries; in step with the real state machine.

Every act is done to both, and afterwards all that readers can ask must be the same. Two users, of whom one has a quota.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, DeleteFile, ExpireVersions, ForgetChunks, Header, PutFile
from fluffy.core.metadata.commands_people import AddUser, SetQuota
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, ExpireUploads, PutPart
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState

GENESIS = genesis_command(at_ms=0, versions_max=3, trash_days=1, write_quorum=2)
LENGTHS = {ChunkId(bytes([i]) * 32): 100 + i for i in range(5)}
LEASE_MS = 60_000
ADMIN, BOB = UserNo(1), UserNo(2)
QUOTA = 900
Chunks = tuple[ChunkId, ...]


def size_of(chunks: Chunks) -> int:
    return sum(LENGTHS[chunk] for chunk in chunks)


@dataclass
class Session:
    path: str
    expires_ms: int
    parts: dict[int, Chunks] = field(default_factory=dict)
    if_match: str | None = None
    create_only: bool = False

    @property
    def bytes(self) -> int:
        return sum(size_of(chunks) for chunks in self.parts.values())


@dataclass
class Finished:
    path: str
    named: tuple[int, ...]
    generation: int


class UploadPair:
    """`sessions` and `finished` by the number that the test gave them; `files`: what stands at each path."""

    def __init__(self) -> None:
        self.state = MemoryState(GENESIS)
        self.clock_ms = 0
        self.history: list[Command] = []
        self.outcomes: list[Outcome] = []
        self.sessions: dict[int, Session] = {}
        self.finished: dict[int, Finished] = {}
        self.files: dict[str, tuple[str, Chunks]] = {}
        self.announced: dict[int, int | None] = {}
        self.completed_with: dict[int, tuple[tuple[int, bytes], ...]] = {}
        for command in (AddUser(header(at_ms=0), "bob", "user"), SetQuota(header(at_ms=0), "user", "bob", QUOTA, None)):
            self.history.append(command)
            self.outcomes += self.state.run(command)

    def _header(self, user_no: UserNo = ADMIN) -> Header:
        return Header(RequestId(len(self.history).to_bytes(16, "big")), self.clock_ms, NodeNo(1), user_no)

    def _run(self, command: Command, refusals: set[str]) -> Accepted | None:
        [outcome] = self.state.run(command)
        self.history.append(command)
        self.outcomes.append(outcome)
        if refusals:
            assert isinstance(outcome, Rejected) and outcome.code in refusals, (command, outcome, refusals)
            return None
        assert isinstance(outcome, Accepted), (command, outcome, refusals)
        return outcome

    def _living(self, number: int) -> Session | None:
        session = self.sessions.get(number)
        return session if session is not None and session.expires_ms > self.clock_ms else None

    def _gone(self, number: int) -> set[str]:
        return {"UploadFinished" if number in self.finished else "UploadNotFound"}

    def _used(self, bucket: str) -> int:
        return sum(size_of(chunks) for path, (_, chunks) in self.files.items() if path.startswith(bucket + "/"))

    def _refuse_growth(self, path: str, size: int, held: int = 0) -> set[str]:
        if not path.startswith("bob/"):
            return set()
        more = size - size_of(self.files.get(path, ("", ()))[1])
        return {"QuotaExceeded"} if more > 0 and self._used("bob") + held + more > QUOTA else set()

    def _refuse_condition(self, path: str, if_match: str | None, create_only: bool) -> bool:
        current = self.files.get(path)
        if create_only and current is not None:
            return True
        return if_match is not None and (current is None or if_match not in ("*", current[0]))

    # Acts

    def sleep(self, ms: int) -> None:
        self.clock_ms += ms

    def put_file(self, path: str, chunks: Chunks) -> None:
        etag = f"{len(self.history):032x}"
        command = PutFile(self._header(), path, size_of(chunks), bytes(32), etag, "", {}, {}, None,
                          tuple((chunk, LENGTHS[chunk]) for chunk in chunks),
                          tuple((NodeNo(1), NodeNo(2)) for _ in chunks))
        if self._run(command, self._refuse_growth(path, size_of(chunks))) is not None:
            self.files[path] = (etag, chunks)

    def delete_file(self, path: str) -> None:
        if self._run(DeleteFile(self._header(), path), set() if path in self.files else {
                "FileNotFound", "BucketNotFound"}) is not None:
            del self.files[path]

    def begin(self, number: int, path: str, size: int | None, if_match: str | None, create_only: bool) -> None:
        refusals = set()
        if number in self.sessions or number in self.finished:
            refusals = {"RequestError"}
        elif self._refuse_condition(path, if_match, create_only):
            refusals = {"PreconditionFailed"}
        else:
            refusals = self._refuse_growth(path, size or 0)
        command = BeginUpload(self._header(), self._id(number), path, LEASE_MS, 1 << 20, size, "a/b", {"m": "1"},
                              {"t": "2"}, if_match, create_only)
        if self._run(command, refusals) is not None:
            self.sessions[number] = Session(path, self.clock_ms + LEASE_MS, {}, if_match, create_only)
            self.announced[number] = size
            # What is over is cleared away by and by.
            self._end_expired(10)

    @staticmethod
    def _id(number: int) -> bytes:
        return bytes([number]) * 16

    def put_part(self, number: int, part: int, chunks: Chunks, nodes: tuple[NodeNo, ...]) -> None:
        session = self._living(number)
        refusals: set[str] = set()
        if session is None:
            refusals = self._gone(number)
        else:
            held = sum(other.bytes for other in self.sessions.values()
                       if other is not session and other.path.startswith("bob/"))
            size = session.bytes - size_of(session.parts.get(part, ())) + size_of(chunks)
            refusals = self._refuse_growth(session.path, size, held)
        command = PutPart(self._header(), self._id(number), part, size_of(chunks), self._hash(chunks), "",
                          tuple((chunk, LENGTHS[chunk]) for chunk in chunks), tuple(nodes for _ in chunks))
        if not refusals:
            known = queries.chunk_replicas(self.state.db, list(chunks))
            if any(len({*known.get(chunk, ()), *nodes}) < 2 for chunk in chunks):
                refusals = {"ChunksMissing"}
        accepted = self._run(command, refusals)
        if accepted is not None and session is not None:
            assert accepted.facts["replaced"] == (part in session.parts)
            session.parts[part] = chunks
            session.expires_ms = self.clock_ms + LEASE_MS

    @staticmethod
    def _hash(chunks: Chunks) -> bytes:
        return b"".join(chunk[:4] for chunk in chunks[:8]).ljust(32, b".")

    def complete(self, number: int, named: tuple[int, ...], proof: bool) -> None:
        session = self._living(number)
        parts = tuple((part, self._hash(session.parts[part]) if proof and session is not None and part in session.parts
                       else b"") for part in named)
        refusals: set[str] = set()
        done = self.finished.get(number)
        wanted = named
        if session is None:
            refusals = set() if done is not None and done.named == named else self._gone(number)
            if not refusals:
                parts = self.completed_with[number]
        else:
            wanted = named or tuple(range(1, max(session.parts, default=0) + 1))
            size = sum(size_of(session.parts.get(part, ())) for part in wanted)
            if self._refuse_condition(session.path, session.if_match, session.create_only):
                refusals = {"PreconditionFailed"}
            elif not wanted or any(part not in session.parts for part in wanted) or self.announced[number] not in (
                    None, size):
                refusals = {"PartsMissing"}
            else:
                refusals = self._refuse_growth(session.path, size)
        accepted = self._run(CompleteUpload(self._header(), self._id(number), parts), refusals)
        if accepted is None:
            return
        if session is None:
            assert done is not None and accepted.facts["generation"] == done.generation
            return
        chunks = tuple(chunk for part in wanted for chunk in session.parts[part])
        assert accepted.facts["size"] == size_of(chunks) and accepted.facts["chunks"] == len(chunks)
        del self.sessions[number]
        self.finished[number] = Finished(session.path, named, accepted.facts["generation"])
        self.completed_with[number] = parts
        self.files[session.path] = (accepted.facts["etag"], chunks)

    def abort(self, number: int) -> None:
        session = self._living(number)
        refusals = set() if session is not None else self._gone(number)
        if self._run(AbortUpload(self._header(), self._id(number)), refusals) is not None:
            del self.sessions[number]

    def expire(self, limit: int) -> None:
        accepted = self._run(ExpireUploads(self._header(UserNo(0)), 1, limit), set())
        assert accepted is not None and accepted.facts["ended"] == self._end_expired(limit)

    def _end_expired(self, limit: int) -> int:
        over = sorted((session.expires_ms, number) for number, session in self.sessions.items()
                      if session.expires_ms <= self.clock_ms)
        ended = over[:limit]
        # Of several that end at the same moment the machine may choose others first; their number is what counts.
        kept = {bytes(row[0]) for row in self.state.db.execute("SELECT upload_id FROM uploads")}
        for _, number in over:
            if self._id(number) not in kept:
                del self.sessions[number]
        return len(ended)

    def forget_all(self) -> None:
        """Versions and chunks that nothing keeps."""
        self._run(ExpireVersions(self._header(UserNo(0)), 1, 1_000), set())
        self._run(ForgetChunks(self._header(UserNo(0)), 1, tuple(LENGTHS), 0), set())

    def repeat(self, number: int) -> None:
        """An old request again: its old answer, and nothing else."""
        number %= len(self.history)
        [outcome] = self.state.run(self.history[number])
        assert outcome == self.outcomes[number]

    def check(self) -> None:
        """All that readers can ask agrees with the model, and no chunk that somebody needs was forgotten."""
        db = self.state.db
        for path, (etag, chunks) in self.files.items():
            found = queries.file_version(db, parse_path(path))
            assert found is not None and (found.etag, tuple(ref.chunk_id for ref in found.chunks)) == (etag, chunks)
        living = {number for number in self.sessions if self._living(number) is not None}
        listed = queries.uploads(db, parse_path(""), self.clock_ms, 0, 100)
        assert sorted(upload.upload_id[0] for upload in listed) == sorted(living)
        for upload in listed:
            session = self.sessions[upload.upload_id[0]]
            assert (upload.path, upload.bytes, upload.parts) == (session.path, session.bytes, len(session.parts))
            parts = queries.upload_parts(db, upload.no, 0, -1)
            assert {part.number: part.size for part in parts} == {
                number: size_of(chunks) for number, chunks in session.parts.items()}
            needed = {chunk for chunks in session.parts.values() for chunk in chunks}
            assert queries.known_chunks(db, needed) == needed
        for number, done in self.finished.items():
            told = queries.finished_upload(db, self._id(number))
            assert told is not None and (told.path, told.facts["generation"]) == (done.path, done.generation)

    def close(self) -> None:
        self.state.close()
