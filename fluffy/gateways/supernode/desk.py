"""Where the supernode's requests are received: matched, their asker found in each cluster, answered, counted.

A stranger, whom no joined cluster knows, learns nothing, not even which addresses exist. What a cluster refuses is told
without its words: they may name what the asker must not know of.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from blake3 import blake3

from fluffy.base.checks import InvariantBroken
from fluffy.base.deadline import Deadline
from fluffy.base.errors import AccessDenied, ClusterUnreachable, FluffyError, NotFound, QuerySyntax, Unauthenticated
from fluffy.base.ids import UserNo
from fluffy.base.tracing import new_request_text, request_text
from fluffy.core.access.policy import Act
from fluffy.core.metadata.model import User
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.access_log import AccessLog, Visit
from fluffy.gateways.native.auth import TOKEN_BYTES_MAX
from fluffy.gateways.native.cookies import supernode_cookie, take_cookie
from fluffy.gateways.native.errors import answer_of, answer_of_bug
from fluffy.gateways.native.exchange import Call, parse_query, shown_path, split_target
from fluffy.gateways.native.limits import Slots
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.serving import serve
from fluffy.gateways.native.table import Match, Table
from fluffy.gateways.supernode.joined import JoinedClusters
from fluffy.gateways.supernode.joining import Joining
from fluffy.ports import Clock
from fluffy.ports_federation import Catalog
from fluffy.services.federation.askers import Asker, Askers, Credentials
from fluffy.services.federation.cursors import CursorSeal
from fluffy.services.federation.file_cache import FileCache
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.owed import Copier
from fluffy.services.federation.owed import OwedStore as Orders
from fluffy.services.uploads import BodySource

log = logging.getLogger("fluffy.supernode")

REQUEST_TIMEOUT_S = 10.0
TOKENS_MAX = 64
# Who it is stands in the line of the log; what they may do is asked of the clusters.
OPERATOR = User(UserNo(0), "operator of the supernode", "admin")


@dataclass(slots=True)
class SupernodeDesk:
    """The HTTP service of a supernode. Implements `gateways.http.exchange.Service`."""

    table: Table
    clock: Clock
    catalog: Catalog
    clusters: JoinedClusters
    askers: Askers
    orders: Orders
    copier: Copier
    cache: FileCache
    joining: Joining
    metrics: Metrics
    access_log: AccessLog
    requests: Slots
    transfers: Slots
    mirrors: tuple[Mirror, ...] = ()
    is_closing: bool = False
    redirects: int = 0
    fallbacks: int = 0
    found_by: dict[int, dict[str, Asker]] = field(default_factory=dict)  # by call, while it is answered
    cursors: CursorSeal = field(init=False)

    def __post_init__(self) -> None:
        self.cursors = CursorSeal(self.joining.operator_token)

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                sends_files: bool) -> Call:
        return Call(method, target, headers, body, remote, sends_files)

    def drain(self) -> None:
        self.is_closing = True

    def refuse(self, error: FluffyError) -> Answer:
        return answer_of(error, new_request_text())

    async def answer(self, call: Call) -> Answer:
        """Failures are answers too. Raises only CancelledError and InvariantBroken."""
        call.request_id = request_text(call.headers.get("fluffy-request-id"))
        call.deadline = Deadline.after(REQUEST_TIMEOUT_S)
        answer = await serve(call, call.request_id, self._answer_or_error(call))
        answer.headers.append(("Fluffy-Request-Id", call.request_id))
        return answer

    async def _answer_or_error(self, call: Call) -> Answer:
        try:
            return await self._answer(call)
        except FluffyError as error:
            return answer_of(error, call.request_id)
        except InvariantBroken:
            raise
        except Exception:
            log.exception("request.bug", extra={"request_id": call.request_id, "method": call.method})
            return answer_of_bug(call.request_id)
        finally:
            self.found_by.pop(id(call), None)

    async def _answer(self, call: Call) -> Answer:
        raw_path, query = split_target(call.target)
        miss: FluffyError | None = None
        match: Match | None = None
        try:
            match = self.table.match(call.method, raw_path)
        except FluffyError as error:
            miss = error
        if match is not None and match.route.act is None:
            return await self._handle(call, match, query)
        take_cookie(call, supernode_cookie(call.headers))
        with self.requests:
            is_operator = self.is_operator(call)
            if is_operator:
                call.user = OPERATOR
            if match is not None and match.route.act is Act.OPERATE:
                if not is_operator:
                    await self.askers_of(call)
                    raise AccessDenied("this takes the operator's token of the supernode")
            elif not is_operator:
                await self.askers_of(call)
            if match is None:
                raise miss or NotFound()
            return await self._handle(call, match, query)

    async def _handle(self, call: Call, match: Match, query: str) -> Answer:
        call.pattern, call.params = match.route.pattern, match.params
        call.query = parse_query(query, match.route.query_names)
        return await match.route.handler(self, call)

    async def askers_of(self, call: Call) -> dict[str, Asker]:
        """The asker in each cluster that knows one; asked once for each call. Raises Unauthenticated."""
        found = self.found_by.get(id(call))
        if found is None:
            if self.is_operator(call):
                return {}
            found = self.found_by[id(call)] = await self.askers.everywhere(credentials_of(call), call.deadline)
            call.user = _user_of(found)
        return found

    async def asker_in(self, call: Call, cluster: str) -> Asker:
        """Raises ClusterNotFound, AccessDenied."""
        self.clusters.get(cluster)
        asker = (await self.askers_of(call)).get(cluster)
        if asker is None and not self.clusters.is_reachable(cluster):
            raise ClusterUnreachable(f"cluster {cluster} does not answer now", cluster=cluster)
        if asker is None:
            raise AccessDenied(f"cluster {cluster} does not know you: send a token of that cluster in Fluffy-Tokens: "
                               f"{cluster}=TOKEN", cluster=cluster)
        return asker

    def finished(self, call: Call, status: int, *, seconds: float, sent_bytes: int, received_bytes: int) -> None:
        self.metrics.count(call.method, call.pattern, status, seconds=seconds, sent_bytes=sent_bytes,
                           received_bytes=received_bytes)
        self.access_log.note(Visit(call.method, shown_path(call.target), status, seconds * 1000, sent_bytes,
                                   call.user.name, call.remote, call.request_id))

    def is_operator(self, call: Call) -> bool:
        token = _bearer(call.headers.get("authorization", ""))
        return token is not None and hmac.compare_digest(token.encode(), self.joining.operator_token.encode())


def _user_of(found: Mapping[str, Asker]) -> User:
    """For the log: the name that they have everywhere, else each with its cluster."""
    names = sorted({asker.user for asker in found.values()})
    if len(names) != 1:
        names = [f"{cluster}:{asker.user}" for cluster, asker in sorted(found.items())]
    return User(UserNo(0), ", ".join(names), "readonly")


def credentials_of(call: Call) -> Credentials:
    """`Authorization: Bearer TOKEN`, for every cluster that knows it, and `Fluffy-Tokens: alpha=TOKEN, beta=TOKEN`."""
    general = _bearer(call.headers.get("authorization", ""))
    named: dict[str, str] = {}
    text = call.headers.get("fluffy-tokens", "")
    for word in filter(None, (part.strip() for part in text.split(","))):
        cluster, equals, token = word.partition("=")
        if not equals or not cluster.strip() or not _is_token(token) or len(named) >= TOKENS_MAX:
            raise QuerySyntax("Fluffy-Tokens is CLUSTER=TOKEN, several joined by commas")
        named[cluster.strip()] = _hash(token)
    if general is None and not named:
        raise Unauthenticated
    return Credentials(None if general is None else _hash(general), named)


def _bearer(header: str) -> str | None:
    scheme, _, token = header.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and _is_token(token) else None


def _is_token(token: str) -> bool:
    return 0 < len(token) <= TOKEN_BYTES_MAX and token.isascii()


def _hash(token: str) -> str:
    return blake3(token.encode()).hexdigest()
