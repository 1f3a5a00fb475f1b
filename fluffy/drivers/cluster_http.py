"""A cluster over HTTP, as the supernode asks it: peer after peer until the deadline. Implements `ports.ClusterClient`.

The supernode's home of aiohttp. An answer that makes no sense (no JSON, no fields, too long) is as none: the next peer
is asked. A peer that gave none is asked last for a while; one that answers that it cannot do it now (it lags, it has
no leader) only lets the next one have a try.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from fluffy import __version__
from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    AccessDenied,
    ClusterUnreachable,
    Conflict,
    FluffyError,
    NameIllegal,
    NotFound,
    Overloaded,
    RequestError,
    Unauthenticated,
    Unavailable,
    error_for,
)
from fluffy.base.paths import parse_path
from fluffy.base.tracing import current_trace
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.queries_federation import Place
from fluffy.ports_federation import (
    ChangesAnswer,
    FeedAnswer,
    FeedChange,
    HashAnswer,
    RowsAnswer,
    Seen,
    SightAnswer,
)
from fluffy.wire.catalog_rows import PageIllegal, Reject, parse_piece, parse_place, parse_rows, place_text

T = TypeVar("T")

CONNECT_S = 2.0
# A peer that says nothing for so long (beyond the wait that it was asked for) is left for the next.
SILENT_S = 1.5
ASK_PEER_S = 3.0
# A body that does not move for so long will not move any more.
STALL_S = 15.0
DOWN_FOR_S = 5.0
# A page of 5,000 rows with the longest names, types and tags of real use; a normal one has 0.7 MB.
PAGE_BYTES_MAX = 32 * MIB
SMALL_BYTES_MAX = 4 * MIB
# What is longer is understood in a thread: others wait for the loop.
LOOP_BYTES_MAX = 64 * KIB
ERROR_BYTES_MAX = 64 * KIB
# All tags that a file may have, percent-encoded, in one header.
HEADER_BYTES_MAX = 64 * KIB
PEERS_MAX = 64
CHANGES_MAX = 1_000
_BY_STATUS: dict[int, type[FluffyError]] = {400: RequestError, 401: Unauthenticated, 403: AccessDenied, 404: NotFound,
                                            409: Conflict, 429: Overloaded}


class ClusterHttp:
    """`peers`: URLs to begin with; those that the cluster names are learned. Used on one loop; `close` it."""

    def __init__(self, name: str, peers: Iterable[str], token: Callable[[], str],
                 context: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._token = token
        self._context = context
        self._peers = list(peers)
        self._down_until_s: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def peers(self) -> tuple[str, ...]:
        """The known ones, best first."""
        now_s = time.monotonic()
        return tuple(sorted(self._peers, key=lambda peer: self._down_until_s.get(peer, 0.0) > now_s))

    def learn(self, peers: Iterable[str]) -> None:
        for peer in peers:
            if peer not in self._peers and len(self._peers) < PEERS_MAX:
                self._peers.append(peer)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # What a follower asks

    async def feed(self, since: int, epoch: str, wait_s: int, deadline: Deadline) -> FeedAnswer:
        target = f"/v1/federation/feed?since={since}&epoch={epoch}&wait_s={wait_s}"

        def parse(document: Mapping[str, Any], seen: Seen) -> FeedAnswer:
            parsed = parse_piece(document)
            facts = document.get("state")
            return FeedAnswer(seen, parsed.piece, _pairs(parsed.rejects), facts if isinstance(facts, dict) else {})

        answer = await self._page(target, deadline, parse, silent_s=wait_s + SILENT_S)
        self._learn_from(answer.facts)
        return answer

    async def rows(self, after: Place, deadline: Deadline) -> RowsAnswer:
        return await self._page(f"/v1/federation/rows?after={_encoded(place_text(after))}", deadline, _rows_answer)

    async def folder(self, folder_no: int, after: str, deadline: Deadline) -> RowsAnswer:
        def parse(document: Mapping[str, Any], seen: Seen) -> RowsAnswer:
            rows, rejects = parse_rows(document.get("rows"))
            end = document.get("after")
            return RowsAnswer(seen, rows, _pairs(rejects), (folder_no, end) if isinstance(end, str) else None)

        return await self._page(f"/v1/federation/folders/{folder_no}?after={_encoded(after)}", deadline, parse)

    async def row_hash(self, after: Place, deadline: Deadline) -> HashAnswer:
        def parse(document: Mapping[str, Any], seen: Seen) -> HashAnswer:
            count, digest = document.get("rows"), document.get("hash")
            if not isinstance(count, int) or not isinstance(digest, str):
                raise PageIllegal("a hash has a count and a text")
            return HashAnswer(seen, count, digest, _place(document.get("after")))

        return await self._page(f"/v1/federation/hash?after={_encoded(place_text(after))}", deadline, parse)

    async def sight(self, asker: str, deadline: Deadline) -> SightAnswer:
        document = await self.ask("GET", "/v1/federation/sight", deadline, asker=asker)
        buckets = document.get("buckets")
        if not (buckets is None or (isinstance(buckets, list) and all(isinstance(one, str) for one in buckets))):
            raise ClusterUnreachable(f"cluster {self.name} answers what makes no sense")
        return SightAnswer(str(document.get("user")), str(document.get("role")),
                           None if buckets is None else frozenset(buckets))

    async def ask(self, method: str, target: str, deadline: Deadline, *, asker: str,
                  document: Mapping[str, Any] | None = None, request_id: str | None = None,
                  headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        sent = {**(headers or {}), **({"Fluffy-Asker": asker} if asker else {})}
        if request_id is not None:
            sent["Fluffy-Request-Id"] = request_id

        async def once(peer: str) -> Mapping[str, Any]:
            async with self.open(peer, method, target, deadline.at_most(ASK_PEER_S), headers=sent,
                                 document=document) as answer:
                return await read_document(answer, SMALL_BYTES_MAX, self.name)

        return await self.try_peers(once, deadline)

    async def changes(self, since: int, wait_s: int, deadline: Deadline, *, asker: str) -> ChangesAnswer:
        """The change feed as the asker may see it. Raises HistoryCut."""
        target = f"/v1/changes?since={since}&limit={CHANGES_MAX}&wait_s={wait_s}"
        return await self._page(target, deadline, _changes_answer, silent_s=wait_s + SILENT_S,
                                headers={"Fluffy-Asker": asker})

    # Whole files

    async def read(self, target: str, deadline: Deadline, *, asker: str,
                   headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """The bytes of an answer. Until the first of them came, another peer is tried."""
        trouble: FluffyError = ClusterUnreachable(f"no peer of cluster {self.name} is known")
        for peer in self.peers:
            is_begun = False
            try:
                async with self.open(peer, "GET", target, deadline, headers={**(headers or {}), "Fluffy-Asker": asker},
                                     head_s=STALL_S) as answer:
                    async for block in answer.content.iter_any():
                        is_begun = True
                        yield block
            except Unavailable as error:
                if is_begun:
                    raise
                self._note(peer, error)
                trouble = error
                continue
            return
        raise trouble

    async def write(self, target: str, body: AsyncIterator[bytes], deadline: Deadline, *, asker: str,
                    headers: Mapping[str, str]) -> Mapping[str, Any]:
        """PUT a body that can be read only once: another peer is tried as long as none of it was taken.

        The answer, and under `created` whether there was no such file.
        """
        taken = False
        cut: FluffyError | None = None

        async def told() -> AsyncIterator[bytes]:
            nonlocal taken, cut
            taken = True
            try:
                async for block in body:
                    yield block
            except FluffyError as error:
                cut = error
                raise

        trouble: FluffyError = ClusterUnreachable(f"no peer of cluster {self.name} is known")
        for peer in self.peers:
            try:
                async with self.open(peer, "PUT", target, deadline, headers={**headers, "Fluffy-Asker": asker},
                                     body=told()) as answer:
                    document = await read_document(answer, SMALL_BYTES_MAX, self.name)
                    return {**document, "created": answer.status == 201}
            except Unavailable as error:
                if cut is not None:
                    raise cut from error  # not this cluster failed, but where the body comes from
                if taken:
                    raise
                self._note(peer, error)
                trouble = error
        raise trouble

    # How

    async def _page(self, target: str, deadline: Deadline, parse: Callable[[Mapping[str, Any], Seen], T], *,
                    silent_s: float = SILENT_S, headers: Mapping[str, str] | None = None) -> T:
        async def once(peer: str) -> T:
            async with self.open(peer, "GET", target, deadline, headers=headers,
                                 head_s=max(silent_s, deadline.left_s / 2)) as answer:
                body = await read_body(answer, PAGE_BYTES_MAX, self.name)
            is_stale = answer.headers.get("Fluffy-Stale", "") == "true"
            if len(body) > LOOP_BYTES_MAX:
                return await asyncio.to_thread(self._understood, body, is_stale, parse)
            return self._understood(body, is_stale, parse)

        return await self.try_peers(once, deadline)

    def _understood(self, body: bytes, is_stale: bool, parse: Callable[[Mapping[str, Any], Seen], T]) -> T:
        document = document_of(body, self.name)
        epoch, seq = document.get("epoch"), document.get("at_seq")
        if not isinstance(epoch, str) or not isinstance(seq, int):
            raise ClusterUnreachable(f"cluster {self.name} answers what makes no sense")
        try:
            return parse(document, Seen(epoch, seq, is_stale))
        except (PageIllegal, NameIllegal, ValueError) as error:
            raise ClusterUnreachable(f"cluster {self.name} answers what makes no sense: {error}") from error

    async def try_peers(self, once: Callable[[str], Awaitable[T]], deadline: Deadline) -> T:
        """Run `once(peer)` on one peer after the other. A refusal that would be the same everywhere ends it."""
        trouble: FluffyError = ClusterUnreachable(f"no peer of cluster {self.name} is known")
        for peer in self.peers:
            try:
                result = await once(peer)
            except Unavailable as error:
                self._note(peer, error)
                trouble = error
            else:
                self._prefer(peer)
                return result
            if deadline.passed:
                break
        raise trouble

    def _note(self, peer: str, error: Unavailable) -> None:
        """A peer that said nothing that makes sense is down for a while; one that cannot do it now has answered."""
        if isinstance(error, ClusterUnreachable):
            self._down_until_s[peer] = time.monotonic() + DOWN_FOR_S

    def _prefer(self, peer: str) -> None:
        self._down_until_s.pop(peer, None)
        if peer in self._peers and self._peers[0] != peer:
            self._peers.remove(peer)
            self._peers.insert(0, peer)

    @asynccontextmanager
    async def open(self, peer: str, method: str, target: str, deadline: Deadline, *,
                   headers: Mapping[str, str] | None = None, document: Mapping[str, Any] | None = None,
                   body: AsyncIterator[bytes] | None = None, head_s: float | None = None,
                   signed: bool = False) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request to one peer; the context holds the answer's head, its body unread. Refusals are raised.

        `signed`: the target is its own credential. The deadline is for the head (within `head_s`) and the body.
        """
        sent = {"Accept-Encoding": "identity", "User-Agent": f"fluffy-supernode/{__version__}", **(headers or {})}
        traceparent = current_trace().traceparent
        if traceparent:
            sent["traceparent"] = traceparent
        if not signed:
            sent["Authorization"] = f"Bearer {self._token()}"
        data: Any = body
        if document is not None:
            data = json.dumps(document).encode()
            sent["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=max(deadline.left_s, 0.05), sock_connect=CONNECT_S,
                                        sock_read=None if head_s is None else min(head_s, max(deadline.left_s, 0.05)))
        try:
            async with self._session_now().request(method, URL(peer + target, encoded=True), headers=sent, data=data,
                                                   allow_redirects=False, timeout=timeout,
                                                   skip_auto_headers=("Content-Type",)) as answer:
                if answer.status >= 300:
                    raise _error_of(answer.status, await answer.content.read(ERROR_BYTES_MAX), self.name)
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ClusterUnreachable(f"cluster {self.name}: {peer} does not answer ({_reason(error)})") from error
        except (ValueError, TypeError) as error:  # a header or an address that cannot be sent
            raise RequestError(f"cluster {self.name}: this cannot be asked ({error})") from error

    def _learn_from(self, facts: Mapping[str, Any]) -> None:
        peers, scheme = facts.get("peers"), facts.get("scheme")
        if isinstance(peers, list) and scheme in ("http", "https"):
            self.learn(f"{scheme}://{peer}" for peer in peers if isinstance(peer, str))

    def _session_now(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._context or True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, trust_env=False,
                                                  cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=1 * MIB,
                                                  max_field_size=HEADER_BYTES_MAX)
        return self._session


def _rows_answer(document: Mapping[str, Any], seen: Seen) -> RowsAnswer:
    rows, rejects = parse_rows(document.get("rows"))
    return RowsAnswer(seen, rows, _pairs(rejects), _place(document.get("after")))


def _changes_answer(document: Mapping[str, Any], seen: Seen) -> ChangesAnswer:
    lines, following = document.get("changes"), document.get("next")
    if not isinstance(lines, list) or not isinstance(following, int) or isinstance(following, bool):
        raise PageIllegal("a piece of the feed has changes and a position")
    return ChangesAnswer(seen, tuple(_change(line) for line in lines), following, document.get("more") is True)


def _change(line: Any) -> FeedChange:
    if not isinstance(line, dict):
        raise PageIllegal("a change is an object")
    kind, path, source = line.get("kind"), line.get("path"), line.get("source", "/")
    generation = line.get("generation", 0)
    if not (isinstance(kind, str) and isinstance(path, str) and isinstance(source, str)
            and isinstance(generation, int)):
        raise PageIllegal("a change has a kind, a path and a generation")
    return FeedChange(kind, parse_path(path).text, parse_path(source).text, generation)


def _place(value: Any) -> Place | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PageIllegal("a place is a text")
    return parse_place(value)


def _pairs(rejects: Iterable[Reject]) -> tuple[tuple[str, str], ...]:
    return tuple((reject.reason, reject.text) for reject in rejects)


async def read_document(answer: aiohttp.ClientResponse, bytes_max: int, name: str) -> dict[str, Any]:
    body = await read_body(answer, bytes_max, name)
    return await asyncio.to_thread(document_of, body, name) if len(body) > LOOP_BYTES_MAX else document_of(body, name)


async def read_body(answer: aiohttp.ClientResponse, bytes_max: int, name: str) -> bytes:
    body = bytearray()
    async for block in answer.content.iter_any():
        body += block
        if len(body) > bytes_max:
            raise ClusterUnreachable(f"cluster {name} sends an answer of more than {bytes_max} bytes")
    return bytes(body)


def document_of(body: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ClusterUnreachable(f"cluster {name} answers what is not JSON") from error
    if not isinstance(document, dict):
        raise ClusterUnreachable(f"cluster {name} answers what makes no sense")
    return document


def _error_of(status: int, body: bytes, name: str) -> FluffyError:
    """A peer's refusal as our error; what is none of a Fluffy peer's is as no answer."""
    try:
        told = json.loads(body)["error"]
        code, message = str(told.pop("code")), str(told.pop("message"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if status in _BY_STATUS:
            return _BY_STATUS[status](f"cluster {name} refuses (HTTP {status})")
        return ClusterUnreachable(f"cluster {name} answers what makes no sense (HTTP {status})")
    facts = {key: value for key, value in told.items() if isinstance(key, str) and key not in ("self", "request_id")}
    return error_for(code, message, **facts)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "not in time"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).lower()


def _encoded(text: str) -> str:
    return quote(text, safe="")
