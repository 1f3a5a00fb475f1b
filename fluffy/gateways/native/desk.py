"""Where every request is received: matched, authenticated, given its point, allowed or refused, answered, counted.

The order is fixed, so that it is the same for every route: credential, point, user, route, parameters, right, handler.
A stranger therefore learns nothing, not even which addresses exist.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from fluffy.base.checks import InvariantBroken
from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    AccessDenied,
    FluffyError,
    NotFound,
    NotReady,
    QuerySyntax,
    TooManyAttempts,
    Unauthenticated,
    Unavailable,
)
from fluffy.base.ids import NodeNo, RequestId, new_request_id, part_of_request, request_id_for
from fluffy.base.paths import RemotePath
from fluffy.base.tracing import REQUEST_ID_CHARS_MAX, is_request_text, new_request_text, request_text
from fluffy.core.access.policy import Act, sees_bucket, why_not
from fluffy.core.metadata import queries, queries_past
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.model import ClusterSettings, User
from fluffy.core.metadata.model_people import Standing
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.rights import SUPERNODE
from fluffy.drivers.supernode_http import Supernodes
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.access_log import AccessLog, Visit
from fluffy.gateways.native.auth import Tokens, asker_hash, token_hash_of
from fluffy.gateways.native.cookies import cluster_cookie, take_cookie
from fluffy.gateways.native.errors import answer_of, answer_of_bug
from fluffy.gateways.native.exchange import Call, Point, parse_query, shown_path, split_target
from fluffy.gateways.native.limits import (
    BACKUPS_MAX,
    DOWNLOADS_MAX,
    LOGINS_MAX,
    REQUESTS_MAX,
    STREAMS_MAX,
    UPLOADS_MAX,
    WAITERS_MAX,
    WATCHERS_MAX,
    Slots,
)
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.pulse import Pulse
from fluffy.gateways.native.reads import ReadGate, parse_consistency, parse_min_seq
from fluffy.gateways.native.serving import begin_serving, end_serving
from fluffy.gateways.native.signed import signed_path, split_signature
from fluffy.gateways.native.table import Match, Route, Table
from fluffy.gateways.native.version_cache import VersionCache
from fluffy.ports import (
    Backups,
    ChunkStore,
    Clock,
    Manifests,
    MetadataLog,
    MetadataReader,
    NameSearch,
    QuarantineStore,
)
from fluffy.services.doctor import Doctor
from fluffy.services.downloads import Downloads
from fluffy.services.locks import Locks
from fluffy.services.passwords import Passwords
from fluffy.services.patches import Patches
from fluffy.services.refusals import RefusalReporter
from fluffy.services.s3_keys import S3Keys
from fluffy.services.signed_urls import UrlSigner
from fluffy.services.tokens import TokenMaker, hash_of
from fluffy.services.uploads import BodySource, Uploads
from fluffy.services.user_times import UserTimesTally

log = logging.getLogger("fluffy.gateway")

# For everything but the transfer of a body, whose patience is counted in stalls (limits.py).
REQUEST_TIMEOUT_S = 10.0
# A change that is one proposal: a refusal without a majority must come within 3 s.
PROPOSE_TIMEOUT_S = 2.5
# One that touches thousands of rows: 0.3 s when nothing else runs (copying 10,000 files); a busy machine takes longer.
PROPOSE_LARGE_TIMEOUT_S = 8.0
# The requests whose times the keeper is told.
FILES_PATTERNS = ("/v1/files", "s3 GetObject", "s3 HeadObject", "s3 PutObject")
LOCK_TOKEN_CHARS_MAX = 128
# A stranger's token may cost the cluster a barrier this often, whatever the number of strangers.
LOOK_AGAIN_EVERY_S = 0.25
UNKNOWN_TOKEN = "that token is not known to this cluster (any more)"
# With a supernode's own token: the hash of the token of whom it asks for. The token itself never leaves the supernode,
# and the hash opens nothing without a supernode's token.
ASKER = "fluffy-asker"
# What a supernode may do for others. Accounts, grants and the cluster itself are no business of its own.
CARRIED_ACTS = frozenset({Act.SEE_CLUSTER, Act.READ, Act.WRITE})


@dataclass(frozen=True, slots=True)
class People:
    """What knows passwords, locks and secrets handed out, and where refusals are told."""

    passwords: Passwords
    locks: Locks
    tokens: TokenMaker
    signer: UrlSigner
    refusals: RefusalReporter
    s3_keys: S3Keys
    logins: Slots = field(default_factory=lambda: Slots(LOGINS_MAX, "logins at once"))


@dataclass(frozen=True, slots=True)
class DataPath:
    """What moves bytes and knows people: there from the moment that this node has its number and settings."""

    node_no: NodeNo
    settings: ClusterSettings
    uploads: Uploads
    downloads: Downloads
    patches: Patches
    people: People
    doctor: Doctor
    quarantine: QuarantineStore


@dataclass(frozen=True, slots=True)
class Keepsakes:
    """What is needed when everything else is gone: backups, and bytes to be looked at (gateways/native/backup.py)."""

    backups: Backups
    manifests: Manifests
    store: ChunkStore
    threads: Executor
    making: Slots = field(default_factory=lambda: Slots(BACKUPS_MAX, "backups on their way"))


@dataclass(frozen=True, slots=True)
class NodesDoor:
    """What machines that come and go need. `restart` tells the node's supervisor; False: there is none."""

    join_key: bytes
    restart: Callable[[], bool]


@dataclass(slots=True)
class Desk:
    """The native API of one gateway process. `data` is None until the cluster is born.

    `keeper_word`: the newest word of this node's keeper (run/keeper.json), None when it is silent. `is_meeting`: the
    other nodes' data ports have not been found since the start; told by `/readyz` only, for reading works already.
    """

    node: str
    table: Table
    log: MetadataLog
    reader: MetadataReader
    names: NameSearch
    clock: Clock
    gate: ReadGate
    pulse: Pulse
    tokens: Tokens
    metrics: Metrics
    access_log: AccessLog
    consistency: str
    data: DataPath | None
    versions: VersionCache
    requests: Slots
    uploading: Slots
    downloading: Slots
    waiting: Slots
    scheme: str = "http"
    supernodes: Supernodes = field(default_factory=lambda: Supernodes(()))
    user_times: UserTimesTally = field(default_factory=UserTimesTally)
    keeper_word: Callable[[], dict[str, Any] | None] = lambda: None
    streaming: Slots = field(default_factory=lambda: Slots(STREAMS_MAX, "streams of changes"))
    watching: Slots = field(default_factory=lambda: Slots(WATCHERS_MAX, "open dashboards"))
    keepsakes: Keepsakes | None = None
    nodes: NodesDoor | None = None
    started_ms: int = 0
    look_again_at_s: float = 0.0
    is_closing: bool = False
    is_meeting: bool = False
    cookie: str = ""

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                sends_files: bool) -> Call:
        return Call(method, target, headers, body, remote, sends_files)

    def drain(self) -> None:
        """This door closes: what would go on for ever ends now."""
        self.is_closing = True

    def refuse(self, error: FluffyError) -> Answer:
        """The answer to bytes that never became a request."""
        return answer_of(error, new_request_text())

    async def answer(self, call: Call) -> Answer:
        """The answer to a request; failures are answers too. Raises only CancelledError and InvariantBroken."""
        call.request_id = request_text(call.headers.get("fluffy-request-id"))
        call.deadline = Deadline.after(REQUEST_TIMEOUT_S)
        span = begin_serving(call, call.request_id)
        answer: Answer | None = None
        try:
            answer = await self._answer(call)
        except FluffyError as error:
            self._tell_refusal(call, error)
            answer = answer_of(error, call.request_id)
        except InvariantBroken:
            raise
        except Exception:
            log.exception("request.bug", extra={"request_id": call.request_id, "method": call.method})
            answer = answer_of_bug(call.request_id)
        finally:
            end_serving(span, call, answer)
        self._stamp(call, answer)
        return answer

    async def _answer(self, call: Call) -> Answer:
        raw_path, query = split_target(call.target)
        query, signature = split_signature(query)
        miss: FluffyError | None = None
        match: Match | None = None
        try:
            match = self.table.match(call.method, raw_path)
        except FluffyError as error:
            miss = error
        if match is not None and match.route.act is None:
            # Health checks answer even when the house is full: otherwise it would be torn down for being busy.
            return await self._handle(call, match, query)
        with self.requests:
            if signature is None:
                await self._admit(call, is_read=match is not None and match.route.is_read)
            else:
                await self._admit_signed(call, match, query, signature)
            if match is None:
                raise miss or NotFound()
            return await self._handle(call, match, query)

    async def _handle(self, call: Call, match: Match, query: str) -> Answer:
        route = match.route
        call.pattern = route.pattern
        call.params = match.params
        call.query = parse_query(query, route.query_names)
        self._check_general_right(call, route)
        answer = await route.handler(self, call)
        if call.signature:
            # Without a token in the request a proxy may keep the answer, and give it out after the URL has ended.
            answer.headers.append(("Cache-Control", "private, no-cache"))
        return answer

    async def _admit(self, call: Call, *, is_read: bool) -> None:
        """Set the call's point and user. Raises Unauthenticated."""
        if "cookie" in call.headers:  # programs have none, and before the birth there is no name for it
            take_cookie(call, self.session_cookie())
        call.user = await self.user_behind(call, token_hash_of(call.headers), is_read=is_read)
        if ASKER in call.headers:
            call.user = await self._asker(call, call.headers[ASKER])

    async def user_behind(self, call: Call, token_hash: bytes, *, is_read: bool) -> User:
        """The user of a token, at the call's point, which is set. Raises Unauthenticated."""
        if not self.tokens.knows(token_hash):
            await self._look_again(call)
        call.point = await self._point_for(call) if is_read else Point(self.gate.seq)
        user = self.tokens.user_of(token_hash, call.point.seq)
        if user is None:
            raise Unauthenticated(UNKNOWN_TOKEN)
        return user

    async def _asker(self, call: Call, text: str) -> User:
        """For whom a supernode asks: whoever showed it the token whose hash it sends along."""
        if call.user.role != SUPERNODE:
            raise AccessDenied("only a supernode may ask for somebody else")
        token_hash = asker_hash(text)
        if not self.tokens.knows(token_hash):
            await self._look_again(call)
        asker = self.tokens.user_of(token_hash, call.point.seq)
        if asker is None:
            raise Unauthenticated(UNKNOWN_TOKEN)
        call.is_carried = True
        return asker

    async def _admit_signed(self, call: Call, match: Match | None, query: str, signature: str) -> None:
        """Set the point, and as user who signed the URL. Raises AccessDenied; what does not hold costs no barrier."""
        signer_no = self.data_path().people.signer.signer_of(
            signature, method=call.method, path=signed_path(match), query=query, now_ms=self.clock.now_ms())
        is_read = match is not None and match.route.is_read
        call.point = await self._point_for(call) if is_read else Point(self.gate.seq)
        signer = self.reader.read(lambda db: queries.user_by_no(db, signer_no))
        if signer is None:  # made a moment ago, at another node
            await self.gate.point("strong", None, call.deadline)
            signer = self.reader.read(lambda db: queries.user_by_no(db, signer_no))
        if signer is None or signer.disabled:
            raise AccessDenied("who signed this URL may not use the cluster any more")
        call.user = signer
        call.signature = signature

    def _point_for(self, call: Call) -> Awaitable[Point]:
        get = call.headers.get
        consistency = parse_consistency(get("fluffy-consistency"), self.consistency)
        return self.gate.point(consistency, parse_min_seq(get("fluffy-min-seq")), call.deadline)

    async def _look_again(self, call: Call) -> None:
        """Catch up, for a token made a moment ago at another node; but not for every stranger."""
        now_s = self.clock.monotonic_s()
        if now_s < self.look_again_at_s:
            raise Unauthenticated(UNKNOWN_TOKEN)
        self.look_again_at_s = now_s + LOOK_AGAIN_EVERY_S
        await self.gate.point("strong", None, call.deadline)

    def _check_general_right(self, call: Call, route: Route) -> None:
        if call.is_carried and route.act not in CARRIED_ACTS:
            raise AccessDenied("a supernode asks for others about files only")
        if route.act in (Act.SEE_CLUSTER, Act.OPERATE, Act.FEDERATE):
            reason = why_not(call.user, route.act)
            if reason is not None:
                raise AccessDenied(reason)

    def allow(self, call: Call, act: Act, path: RemotePath) -> None:
        """Raise AccessDenied unless the user may do `act` in the bucket of `path`."""
        if call.user.role == "admin":
            return
        if path.is_root:
            reason, bucket = why_not(call.user, act), None
        else:
            bucket = path.bucket
            standing = self.standing(call.user, bucket)
            if standing is None and act is Act.READ:
                # A removed bucket keeps its owner: its old generations can still be read.
                standing = self.reader.read(lambda db: queries_past.standing_in_trash(db, bucket, call.user.user_no))
            reason = _why_not(call.user, act, bucket, standing)
        if reason is not None:
            raise AccessDenied(reason, bucket=bucket)

    def allow_then(self, call: Call, path: RemotePath, moment_ms: int) -> None:
        """Raise AccessDenied unless the user may read in what was the bucket of `path` at that moment."""
        if call.user.role == "admin" or path.is_root:
            return
        standing = self.reader.read(
            lambda db: queries_past.standing_then(db, path.bucket, call.user.user_no, moment_ms))
        reason = None if standing is None else _why_not(call.user, Act.READ, path.bucket, standing)
        if reason is not None:
            raise AccessDenied(reason, bucket=path.bucket)

    def standing(self, user: User, bucket: str) -> Standing | None:
        """How the user stands in a bucket; None: there is no such bucket."""
        return self.reader.read(lambda db: queries.standing(db, bucket, user.user_no))

    def sees(self, user: User, bucket: str) -> bool:
        """Whether the user may know what a bucket holds; False when there is no such bucket."""
        standing = self.standing(user, bucket)
        return standing is not None and sees_bucket(user, standing.owner, standing.granted)

    def session_cookie(self) -> str:
        """The name of the cookie of this cluster's sessions; empty: it is not born, and nobody can have one."""
        if not self.cookie:
            state = self.reader.read(queries.cluster_state)
            self.cookie = "" if state is None else cluster_cookie(state.cluster_uuid)
        return self.cookie

    def data_path(self) -> DataPath:
        if self.data is None:
            raise NotReady
        return self.data

    def header(self, call: Call, part: str = "") -> Header:
        """The header of a command that this call asks for. Raises QuerySyntax for a bad Fluffy-Request-Id.

        `part`: of a call that asks for several commands, each with an id of its own: which of them.
        """
        request_id = _request_id(call, call.headers.get("fluffy-request-id"))
        if part:
            request_id = part_of_request(request_id, part)
        return Header(request_id, self.clock.now_ms(), self.data_path().node_no, call.user.user_no)

    def lock_of(self, call: Call) -> bytes:
        """What every command that changes a path ends in: the hash of the token in `Fluffy-Lock`, or empty.

        Raises QuerySyntax for what cannot be a token.
        """
        token = call.headers.get("fluffy-lock")
        if token is None:
            return b""
        if not (0 < len(token) <= LOCK_TOKEN_CHARS_MAX and token.isascii() and token.isprintable()):
            raise QuerySyntax("Fluffy-Lock is the token that taking the lock gave you")
        return hash_of(token)

    async def propose(self, command: Command, *, is_large: bool = False) -> Accepted:
        """Commit one command. Without a majority it says so, with the count of nodes.

        `is_large`: it may touch thousands of rows.
        """
        timeout_s = PROPOSE_LARGE_TIMEOUT_S if is_large else PROPOSE_TIMEOUT_S
        await self.pulse.refuse_without_majority()
        try:
            outcome = await self.log.propose(command, Deadline.after(timeout_s))
        except Unavailable as error:
            raise self.pulse.explain(error) from error
        self.gate.learned(outcome.seq)
        return outcome

    def finished(self, call: Call, status: int, *, seconds: float, sent_bytes: int, received_bytes: int) -> None:
        """Count a request whose answer has been sent (or cut)."""
        self.metrics.count(call.method, call.pattern, status, seconds=seconds, sent_bytes=sent_bytes,
                           received_bytes=received_bytes)
        self.user_times.traffic.note(sent_bytes, received_bytes)
        if call.pattern.startswith(FILES_PATTERNS):
            self.user_times.note(seconds, sent_bytes + received_bytes)
        if status < 500 and seconds < 1.0 and not self.access_log.wants_visit:
            self.access_log.leave_out()
            return
        self.access_log.note(Visit(call.method, shown_path(call.target), status, seconds * 1000, sent_bytes,
                                   call.user.name, call.remote, call.request_id))

    def _tell_refusal(self, call: Call, error: FluffyError) -> None:
        """Note a refused right or credential for the audit log.

        Of strangers the addresses that they try are not told apart: they must not be able to fill the log.
        """
        if self.data is None or not isinstance(error, Unauthenticated | AccessDenied | TooManyAttempts):
            return
        user = call.user.name or call.claims
        act = "authenticate" if call.pattern == "-" else f"{call.method} {call.pattern}"
        target = shown_path(call.target) if call.user.name else call.remote
        self.data.people.refusals.note(user=user, act=act, target=target, reason=error.message)

    def _stamp(self, call: Call, answer: Answer) -> None:
        answer.stamp = f"Fluffy-Seq: {call.point.seq}\r\nFluffy-Request-Id: {call.request_id}\r\n"
        if call.point.age_s is not None:
            answer.headers.append(("Fluffy-Stale", "true"))
            answer.headers.append(("Age", str(call.point.age_s)))


def new_slots() -> tuple[Slots, Slots, Slots, Slots]:
    """Places for requests, uploads, downloads and those who wait for a lock, of one door."""
    return (Slots(REQUESTS_MAX, "requests at once"), Slots(UPLOADS_MAX, "uploads at once"),
            Slots(DOWNLOADS_MAX, "downloads at once"), Slots(WAITERS_MAX, "requests that wait for a lock"))


def _why_not(user: User, act: Act, bucket: str, standing: Standing | None) -> str | None:
    if standing is None:
        return why_not(user, act, bucket=bucket)
    return why_not(user, act, bucket=bucket, owner=standing.owner, granted=standing.granted)


def _request_id(call: Call, key: str | None) -> RequestId:
    if key is None:
        return new_request_id()
    if not is_request_text(key):
        raise QuerySyntax(f"Fluffy-Request-Id is 1 to {REQUEST_ID_CHARS_MAX} printable ASCII characters")
    # Whoever holds a signed URL must not meet the requests of its signer.
    return request_id_for(call.user.user_no, f"{call.signature} {key}" if call.signature else key)
