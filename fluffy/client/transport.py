"""HTTP to one peer at a time, and the loop that persists until one of them has answered.

The only home of aiohttp on the client's side. What comes back from a peer is data: an error answer is translated
into our error tree (`error_of_answer`), a connection that breaks becomes PeerUnreachable, or ProposalLost when a
write was already on its way and may have happened. Every write carries one `Fluffy-Request-Id` through all of its
attempts, so that a repeated write happens once (promise P4).
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

import fluffy
from fluffy.base.errors import (
    ERRORS_BY_CODE,
    AccessDenied,
    Conflict,
    FluffyError,
    NotFound,
    Overloaded,
    PeerUnreachable,
    PreconditionFailed,
    ProposalLost,
    RangeIllegal,
    RequestError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from fluffy.base.units import KIB, MIB
from fluffy.client.peers import PeerList, peers_in_nodes
from fluffy.client.retry import GiveUp, Persistence, Try, Wait, is_final

T = TypeVar("T")

# A machine on the other side of the world answers a SYN in 0.3 s; two lost SYNs fit in as well.
CONNECT_S = 3.0
# A body that does not move for so long will not move any more; another peer is faster.
STALL_S = 15.0
STALL_TICK_S = 0.5
LEARN_S = 2.0
# Largest JSON answer: the chunk list of a 2 TiB file in 8 MiB chunks at about 250 bytes a chunk.
JSON_BYTES_MAX = 64 * MIB
ERROR_BYTES_MAX = 64 * KIB
READ_BUFFER_BYTES = 1 * MIB
# All tags that a file may have, percent-encoded, in one header.
HEADER_BYTES_MAX = 64 * KIB

_BY_STATUS: dict[int, type[FluffyError]] = {
    400: RequestError, 401: Unauthenticated, 403: AccessDenied, 404: NotFound, 409: Conflict, 412: PreconditionFailed,
    413: TooLarge, 416: RangeIllegal, 429: Overloaded, 503: Unavailable,
}


class Observer(Protocol):
    """Somebody who wants to know what happens inside a long call. Called on the client's loop; must not block."""

    def retrying(self, error: FluffyError, wait_s: float) -> None:
        """All known peers were asked, the last one failed with `error`; the next round starts after `wait_s`."""

    def resumable(self, path: str, done_bytes: int, total_bytes: int) -> None:
        """An upload ended before it was complete; the same call goes on from there."""

    def stale(self, age_s: int) -> None:
        """An answer came from a peer without a majority; it shows the state of `age_s` ago."""


class SilentObserver:
    """An Observer who does not care."""

    def retrying(self, error: FluffyError, wait_s: float) -> None:
        return

    def resumable(self, path: str, done_bytes: int, total_bytes: int) -> None:
        return

    def stale(self, age_s: int) -> None:
        return


@dataclass(frozen=True, slots=True)
class Call:
    """One request, whichever peer gets it. `path` is percent-encoded; `document` is sent as JSON."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] | None = None
    request_id: str | None = None

    @property
    def is_write(self) -> bool:
        return self.request_id is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole JSON answer. `document` is always an object; the answer 204 gives an empty one."""

    status: int
    peer: str
    headers: Mapping[str, str]
    document: dict[str, Any]


class StallGuard:
    """A context that ends with TimeoutError when nothing moved for `seconds`. One guard for one attempt."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._timeout: asyncio.Timeout | None = None
        self._moved_s = 0.0

    async def __aenter__(self) -> None:
        self._moved_s = time.monotonic()
        self._timeout = asyncio.timeout(self.seconds)
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        timeout, self._timeout = self._timeout, None
        if timeout is not None:
            await timeout.__aexit__(kind, error, trace)

    def moved(self, *, seconds: float | None = None) -> None:
        """Something moved: the wait starts anew, from now on with `seconds` where given. Cheap to call often."""
        timeout, now_s = self._timeout, time.monotonic()
        if timeout is None or timeout.expired() or (seconds is None and now_s - self._moved_s < STALL_TICK_S):
            return
        self.seconds = self.seconds if seconds is None else seconds
        self._moved_s = now_s
        timeout.reschedule(asyncio.get_running_loop().time() + self.seconds)


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes, peer: str) -> FluffyError:
    """Translate a peer's refusal. Facts gain `status`, `peer`, `retry`, and `retry_after_s` where given."""
    told: dict[str, Any] = {}
    try:
        parsed = json.loads(body)
        inner = parsed.get("error") if isinstance(parsed, dict) else None
        told = dict(inner) if isinstance(inner, dict) else {}
    except ValueError:
        told = {}  # not a Fluffy peer's error (a proxy's page): the status alone speaks
    code, message = str(told.pop("code", "")), told.pop("message", None)
    fallback = _BY_STATUS.get(status, RequestError if status < 500 else Unavailable)
    cls = ERRORS_BY_CODE.get(code, fallback)
    facts = {key: value for key, value in told.items() if isinstance(key, str) and key not in ("self", "message")}
    facts.setdefault("retry", cls.retry)
    facts.update(status=status, peer_asked=peer)
    seconds = headers.get("Retry-After", "")
    if seconds.isdecimal() and len(seconds) < 9:
        facts["retry_after_s"] = int(seconds)
        if status == 429:
            facts["retry"] = "later"
    sentence = message if isinstance(message, str) and message else f"{cls.sentence} (HTTP {status} from {peer})"
    return cls(sentence, **facts)


def stale_age(headers: Mapping[str, str]) -> int | None:
    """Seconds since the answering peer last had a majority; None when the answer is not stale."""
    if headers.get("Fluffy-Stale", "").lower() != "true":
        return None
    age = headers.get("Age", "")
    return int(age) if age.isdecimal() and len(age) < 12 else 0


class Transport:
    """Requests to the cluster's peers. Made anywhere; used on one loop; `close()` it there."""

    def __init__(self, peers: PeerList, token: str | None, *, patience_s: float, reach_s: float,
                 consistency: str | None = None, ca_file: Path | None = None, observer: Observer | None = None) -> None:
        self.peers = peers
        self.observer: Observer = observer or SilentObserver()
        self._token = token
        self._patience_s = patience_s
        self._reach_s = reach_s
        self._consistency = consistency
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._rng = random.Random()
        self._seq_seen = 0
        self._taught = False

    @property
    def seq_seen(self) -> int:
        """The latest position in the log that an answer to this client told; 0: none yet."""
        return self._seq_seen

    def use_token(self, token: str) -> None:
        """Send this token from now on."""
        self._token = token

    def to(self, peers: PeerList, token: str | None = None) -> Transport:
        """Another transport with the same patience, to doors that are no peers of the cluster; `token`: another one."""
        other = Transport(peers, token or self._token, patience_s=self._patience_s, reach_s=self._reach_s,
                          ca_file=self._ca_file, observer=self.observer)
        other._taught = True  # they know no nodes to ask instead
        return other

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, call: Call, *, answer_s: float | None = None) -> Answer:
        """Persist until a peer has answered `call` with a whole JSON document; raises its refusal as our error.

        `answer_s`: how long this answer may take, when it is known to take long.
        """
        async def once(peer: str, patience: Persistence) -> Answer:
            return await self.ask_peer(peer, call, answer_s=answer_s or patience.answer_s)
        return await self.persist(once)

    async def ask_peer(self, peer: str, call: Call, *, answer_s: float) -> Answer:
        """Ask this one peer, once."""
        async with self.open(peer, call, StallGuard(answer_s)) as response:
            document = await read_document(response, peer)
            return Answer(response.status, peer, response.headers, document)

    async def ask_bytes(self, call: Call) -> bytes:
        """The body of the answer as it is: for parts of files, of which no hash is known."""
        async def once(peer: str, patience: Persistence) -> bytes:
            stall, body = StallGuard(patience.answer_s), bytearray()
            async with self.open(peer, call, stall) as response:
                stall.moved(seconds=STALL_S)
                async for block in response.content.iter_any():
                    stall.moved()
                    body += block
            return bytes(body)
        return await self.persist(once)

    async def persist(self, attempt: Callable[[str, Persistence], Awaitable[T]]) -> T:
        """Run `attempt(peer, patience)` on one peer after the other until it returns; raises what `GiveUp` says."""
        patience = Persistence(self.peers, patience_s=self._patience_s, reach_s=self._reach_s,
                               now_s=time.monotonic(), rng=self._rng)
        trouble: FluffyError | None = None
        while True:
            match patience.next(time.monotonic()):
                case Wait(seconds):
                    if trouble is not None:
                        self.observer.retrying(trouble, seconds)
                    await asyncio.sleep(seconds)
                case GiveUp(error):
                    raise error
                case Try(peer):
                    try:
                        result = await attempt(peer, patience)
                    except FluffyError as error:
                        trouble = error
                        patience.failed(peer, error, time.monotonic())
                        continue
                    self.peers.answered(peer)
                    await self._learn_peers(peer, troubled=trouble is not None)
                    return result

    async def _learn_peers(self, peer: str, *, troubled: bool) -> None:
        """Ask `peer` once for the others: when it is the only one we know, or when another one has just failed."""
        if self._taught or (len(self.peers.urls) > 1 and not troubled):
            return
        self._taught = True
        try:
            answer = await self.ask_peer(peer, Call("GET", "/v1/nodes"), answer_s=LEARN_S)
        except FluffyError as error:
            self._taught = is_final(error)  # not told this time: the next call that succeeds asks again
            return
        self.peers.learn(peers_in_nodes(answer.document, peer))

    @asynccontextmanager
    async def open(self, peer: str, call: Call, stall: StallGuard, *,
                   body: Any = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send `call` to `peer`; the context holds the answer's head, its body unread. Error answers are raised.

        `stall` guards the whole context; whoever moves bytes tells it so. Local failures inside the context must be
        FluffyErrors already: an OSError here means the network.
        """
        session = self._session_now()
        data = json.dumps(call.document).encode() if call.document is not None else body
        headers = {**self._headers(call), **call.headers}
        if call.document is not None:
            headers["Content-Type"] = "application/json"
        query = "?" + urlencode(call.query, quote_via=quote) if call.query else ""
        url = URL(peer + call.path + query, encoded=True)
        try:
            async with stall, session.request(call.method, url, headers=headers, data=data,
                                              allow_redirects=False, skip_auto_headers=("Content-Type",)) as response:
                if response.status >= 300:
                    told = await response.content.read(ERROR_BYTES_MAX)
                    raise error_of_answer(response.status, response.headers, told, peer)
                self._note(response.headers)
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise PeerUnreachable(f"{peer} does not answer ({_reason(error)})", peer=peer) from error
        except TimeoutError as error:
            raise self._broken(call, peer, f"nothing came for {stall.seconds:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(call, peer, _reason(error)) from error

    def _broken(self, call: Call, peer: str, reason: str) -> FluffyError:
        if call.is_write:
            return ProposalLost(f"the answer of {peer} was lost ({reason}); it is not known whether the change was "
                                "made", peer=peer)
        return PeerUnreachable(f"{peer} broke off ({reason})", peer=peer)

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": f"fluffy/{fluffy.__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if call.request_id is not None:
            headers["Fluffy-Request-Id"] = call.request_id
        elif self._consistency is not None:
            headers["Fluffy-Consistency"] = self._consistency
            if self._seq_seen:
                headers["Fluffy-Min-Seq"] = str(self._seq_seen)  # local reads still show this client's own writes
        return headers

    def _note(self, headers: Mapping[str, str]) -> None:
        seq = headers.get("Fluffy-Seq", "")
        if seq.isdecimal() and len(seq) < 19:
            self._seq_seen = max(self._seq_seen, int(seq))
        age_s = stale_age(headers)
        if age_s is not None:
            self.observer.stale(age_s)

    def _session_now(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            connector = aiohttp.TCPConnector(ssl=context, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
                read_bufsize=READ_BUFFER_BYTES, max_field_size=HEADER_BYTES_MAX,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S))
        return self._session


async def read_document(response: aiohttp.ClientResponse, peer: str) -> dict[str, Any]:
    """The JSON object of an answer. Something else at that address is not a peer, so another one is asked."""
    body = bytearray()
    async for block in response.content.iter_any():
        body += block
        if len(body) > JSON_BYTES_MAX:
            raise PeerUnreachable(f"{peer} sent an answer of more than {JSON_BYTES_MAX} bytes", peer=peer)
    if not body:
        return {}
    try:
        document = json.loads(body)
    except ValueError as error:
        raise PeerUnreachable(f"what answers at {peer} is not a Fluffy peer", peer=peer) from error
    if not isinstance(document, dict):
        raise PeerUnreachable(f"what answers at {peer} is not a Fluffy peer", peer=peer)
    return document


def _reason(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(cause, TimeoutError):
        return "no connection in time"
    return (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).lower()
