"""The model and the machine of tree_pair, with what people do beside: locks, quotas, uploads in parts; two users."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fluffy.base.ids import ChunkId, NodeNo, UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import AcquireLock, AddUser, ReleaseLock, RenewLock, SetQuota
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, ExpireUploads, PutPart
from tests.support.tree_guards import LENGTH, HeldLock, Limits, usage
from tests.support.tree_model import Folder
from tests.support.tree_pair import TreePair

ADMIN, BOB = 1, 2
NAMES = {ADMIN: "admin", BOB: "bob"}
LEASE_MS = 3_600_000


@dataclass
class Session:
    """An upload that was begun. `parts`: chunks by number. `ended`: how, when it is over."""

    path: str
    expires_ms: int
    began: int  # by whom; who pays while there is no bucket
    bucket: Folder | None
    payer: int
    parts: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    ended: str = ""  # UploadNotFound, UploadFinished
    row_is_gone: bool = False

    @property
    def size(self) -> int:
        return LENGTH * sum(map(len, self.parts.values()))


class PeoplePair(TreePair):
    """Both users are admins: what is asked here is whose lock and whose quota it is. Rights have tests of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[bytes, Session] = {}
        self._begun = 0
        self._slots: dict[int, bytes] = {}  # which upload a number means now
        made = self._run(AddUser(self._header(), "bob", "admin"), set())
        assert made is not None
        self.model.asker = BOB
        self.model.make("bob")
        self.act_as(ADMIN, b"")
        self.tick()

    def act_as(self, asker: int, token: bytes) -> None:
        """Who does the next things, bringing the token of which lock."""
        self.asker = self.model.asker = asker
        self.token = token

    # -- locks

    def _refuse_lock_path(self, path: str) -> set[str]:
        refusals = {"IsFile"} if self.model.blocked(path) else set()
        return refusals if self.model.folder(path.split("/")[0]) is not None else refusals | {"BucketNotFound"}

    def lock(self, path: str, mode: str, ttl_ms: int, token: bytes) -> None:
        refusals = self._refuse_lock_path(path)
        known = self.guards.living(self.clock_ms).get(token)
        if not refusals and known is not None:
            if (known.path, known.mode, known.holder) != (path, mode, self.asker):
                refusals = {"RequestError"}
        elif not refusals and self.guards.in_the_way(path, mode, self.clock_ms):
            refusals = {"FileLocked"}
        accepted = self._run(AcquireLock(self._header(), path, mode, ttl_ms, token), refusals)
        if accepted is not None and known is None:
            self.guards.locks[token] = HeldLock(path, mode, self.asker, self.clock_ms + ttl_ms)

    def renew(self, token: bytes, ttl_ms: int) -> None:
        own = self.guards.own(token, self.asker, self.clock_ms)
        accepted = self._run(RenewLock(self._header(), token, ttl_ms), set() if own else {"LockNotFound"})
        if accepted is not None and own is not None:
            own.expires_ms = max(own.expires_ms, self.clock_ms + ttl_ms)

    def unlock(self, token: bytes) -> None:
        own = self.guards.own(token, self.asker, self.clock_ms)
        if self._run(ReleaseLock(self._header(), token), set() if own else {"LockNotFound"}) is not None:
            del self.guards.locks[token]

    def break_locks(self, path: str) -> None:
        found = [token for token, held in self.guards.living(self.clock_ms).items() if held.path == path]
        refusals = self._refuse_lock_path(path) or (set() if found else {"LockNotFound"})
        accepted = self._run(ReleaseLock(self._header(), path=path), refusals)
        if accepted is not None:
            assert accepted.facts["released"] == len(found)
            for token in found:
                del self.guards.locks[token]

    # -- quotas

    def limit_user(self, user: int, limits: Limits) -> None:
        accepted = self._run(SetQuota(self._header(), "user", NAMES[user], limits[1], limits[0]), set())
        assert accepted is not None and (accepted.facts["files"], accepted.facts["bytes"]) == self.guards.owned(user)
        self.guards.limits[user] = limits

    def limit_bucket(self, name: str, limits: Limits) -> None:
        bucket = self.model.folder(name)
        accepted = self._run(SetQuota(self._header(), "bucket", name, limits[1], limits[0]),
                             {"BucketNotFound"} if bucket is None else set())
        if accepted is not None and bucket is not None:
            assert (accepted.facts["files"], accepted.facts["bytes"]) == usage(bucket)
            bucket.limits = limits

    # -- uploads in parts

    def _upload(self, slot: int) -> bytes:
        return self._slots.get(slot, b"never begun     ")

    def begin(self, slot: int, path: str) -> None:
        """`slot`: the number by which it is called from now on; what it meant before goes on unnamed."""
        self._begun += 1
        upload_id = self._slots[slot] = self._begun.to_bytes(16, "big")
        for session in self.sessions.values():
            session.row_is_gone |= session.expires_ms <= self.clock_ms
        file = self.model.file(path)
        growth = self._grows(path, int(file is None), 0 if file is None else -1)
        accepted = self._change(BeginUpload(self._header(), upload_id, path, LEASE_MS, LENGTH, None, "", {}, {}),
                                self._refuse_write(path), path, growth=growth)
        if accepted is not None:
            self.sessions[upload_id] = Session(path, self.clock_ms + LEASE_MS, self.asker, growth.bucket,
                                               growth.payer)

    def _refuse_session(self, upload_id: bytes) -> set[str]:
        session = self.sessions.get(upload_id)
        if session is None or (not session.ended and session.expires_ms <= self.clock_ms):
            return {"UploadNotFound"}
        return {session.ended} if session.ended else set()

    def part(self, slot: int, number: int, chunks: tuple[bytes, ...]) -> None:
        """What other unfinished uploads hold counts; of those that are over it may, until they are swept."""
        upload_id = self._upload(slot)
        session = self.sessions.get(upload_id)
        refusals, may_refuse = self._refuse_session(upload_id), set()
        if session is not None and not refusals:
            refusals = self._refuse_write(session.path)
            after = {**session.parts, number: chunks}
            file = self.model.file(session.path)
            growth = self._grows(session.path, int(file is None),
                                 LENGTH * sum(map(len, after.values())) - (
                                     0 if file is None else usage(file)[1]))
            if growth.bucket is None:
                growth = replace(growth, payer=session.began)
            refusals |= self.guards.full(growth, *self._held(session, growth.bucket, growth.payer, dead=False))
            may_refuse = self.guards.full(growth, *self._held(session, growth.bucket, growth.payer, dead=True))
        command = PutPart(self._header(), upload_id, number, LENGTH * len(chunks), bytes([number]) * 32, "",
                          tuple((ChunkId(chunk), LENGTH) for chunk in chunks),
                          tuple((NodeNo(1), NodeNo(2)) for _ in chunks))
        accepted = self._run(command, refusals, may_refuse)
        if accepted is not None and session is not None:
            session.parts[number] = chunks
            session.bucket, session.payer = growth.bucket, growth.payer
            session.expires_ms = max(session.expires_ms, self.clock_ms + LEASE_MS)

    def _held(self, asking: Session, bucket: Folder | None, payer: int, *, dead: bool) -> tuple[int, int]:
        """Bytes in other sessions: of that bucket, of that payer. `dead`: also in those whose lease is over."""
        others = [session for session in self.sessions.values() if session is not asking and not session.ended
                  and session.payer == payer and not session.row_is_gone
                  and (dead or session.expires_ms > self.clock_ms)]
        return (sum(session.size for session in others if session.bucket is bucket),
                sum(session.size for session in others))

    def complete(self, slot: int) -> None:
        upload_id = self._upload(slot)
        session = self.sessions.get(upload_id)
        refusals = self._refuse_session(upload_id)
        if session is None or refusals:
            if session is not None and session.ended == "UploadFinished":
                refusals = set()  # the same complete again gets the same answer, and nothing happens
            self._run(CompleteUpload(self._header(), upload_id, ()), refusals)
            return
        numbers = sorted(session.parts)
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            refusals = {"PartsMissing"}
        chunks = tuple(chunk for number in numbers for chunk in session.parts[number])
        content = chunks or b""
        accepted = self._change(CompleteUpload(self._header(), upload_id, ()),
                                refusals | self._refuse_write(session.path), session.path,
                                growth=self._grows_to(session.path, content))
        if accepted is not None:
            self._stored(session.path, content, accepted, {})
            session.ended = "UploadFinished"

    def abort(self, slot: int) -> None:
        upload_id = self._upload(slot)
        if self._run(AbortUpload(self._header(), upload_id), self._refuse_session(upload_id)) is not None:
            self.sessions[upload_id].ended = "UploadNotFound"

    def expire(self) -> None:
        super().expire()
        for _ in range(100):
            accepted = self._run(ExpireUploads(self._header(), 1, 3), set())
            if accepted is None or not accepted.facts["more"]:
                break
        for upload_id, session in list(self.sessions.items()):
            if not session.ended and session.expires_ms <= self.clock_ms:
                del self.sessions[upload_id]

    # -- looking

    def check(self) -> None:
        super().check()
        db = self.state.db
        held = queries.locks_under(db, parse_path(""), self.clock_ms, 0, 1_000)
        assert sorted((lock.path, lock.mode, lock.holder, lock.expires_ms) for lock in held) == sorted(
            (lock.path, lock.mode, NAMES[lock.holder], lock.expires_ms)
            for lock in self.guards.living(self.clock_ms).values())
        for user in NAMES:
            use = queries.user_quota(db, UserNo(user))
            assert (use.files, use.bytes) == self.guards.owned(user)
            assert (use.files_max, use.bytes_max) == self.guards.limits.get(user, (None, None))
        for name, bucket in self.model.root.folders.items():
            found = queries.bucket_quota(db, name)
            assert found is not None and (found.files, found.bytes) == usage(bucket)
            assert (found.files_max, found.bytes_max) == bucket.limits, name
