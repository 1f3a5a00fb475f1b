"""What a route is, and finding the one that a request means.

There is one list of routes (`routes.py`); dispatching, the OpenAPI document and the tests over all routes are made
from it. A pattern's last segment may be `{path}`, which takes the rest, slashes and all; other `{name}`s take one
segment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from fluffy.base.checks import invariant
from fluffy.base.errors import MethodNotAllowed, NotFound
from fluffy.core.access.policy import Act
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Call, decode_path

Handler = Callable[[Any, Call], Awaitable[Answer]]
BodyKind = Literal["none", "bytes", "json"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter, or a header. `least`: of a number."""

    name: str
    kind: Literal["text", "number", "flag"]
    doc: str
    least: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the API.

    `act`: the right it takes; None: no credential at all (health checks only). READ and WRITE are about a bucket and
    checked by the handler, which knows it; the others by the desk. `is_read`: answered from a point (reads.py).

    The rest is for the description: `sent`, `answer`: the JSON Schemas of the body and of a success; `gives`: its media
    type when it is not JSON; `also`: other statuses of a success; `headers`: which it heeds beside those that all do;
    `refuses`: statuses of refusals beside those that its kind of route has (openapi.py).
    """

    method: str
    pattern: str
    handler: Handler
    doc: str
    act: Act | None
    is_read: bool = False
    query: tuple[Parameter, ...] = ()
    body: BodyKind = "none"
    success: int = 200
    answer: Mapping[str, Any] | None = None
    sent: Mapping[str, Any] | None = None
    gives: str = ""
    also: tuple[int, ...] = ()
    headers: tuple[Parameter, ...] = ()
    refuses: tuple[int, ...] = ()
    query_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query_names", tuple(parameter.name for parameter in self.query))


class Match(NamedTuple):
    route: Route
    params: dict[str, str]


class Table:
    """Finds routes by method and path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        self._tails: dict[str, dict[str, Route]] = {}
        self._others: list[tuple[tuple[str, ...], dict[str, Route]]] = []
        for route in routes:
            by_method = self._place_of(route.pattern)
            invariant(route.method not in by_method, f"one row for {route.method} {route.pattern}")
            by_method[route.method] = route

    def match(self, method: str, raw_path: str) -> Match:
        """The route for a still encoded path. Raises NotFound, MethodNotAllowed, NameIllegal."""
        # /v1/files/{path} and its like: two segments, then the tail.
        cut = raw_path.find("/", raw_path.find("/", 1) + 1)
        if cut > 0 and (by_method := self._tails.get(raw_path[:cut + 1])) is not None:
            return Match(_choose(by_method, method), {"path": decode_path(raw_path[cut + 1:])})
        if (by_method := self._exact.get(raw_path)) is not None:
            return Match(_choose(by_method, method), {})
        segments = tuple(raw_path[1:].split("/"))
        for pattern, by_method in self._others:
            if len(pattern) == len(segments) and all(
                    want == got or want.startswith("{") for want, got in zip(pattern, segments, strict=True)):
                params = {want[1:-1]: decode_path(got) for want, got in zip(pattern, segments, strict=True)
                          if want.startswith("{")}
                return Match(_choose(by_method, method), params)
        raise NotFound("there is no such address; the document at /v1/openapi.json lists all")

    def _place_of(self, pattern: str) -> dict[str, Route]:
        if pattern.endswith("/{path}"):
            prefix = pattern[:-len("{path}")]
            invariant(prefix.count("/") == 3, "a tail follows two segments")
            return self._tails.setdefault(prefix, {})
        if "{" not in pattern:
            return self._exact.setdefault(pattern, {})
        segments = tuple(pattern[1:].split("/"))
        for known, by_method in self._others:
            if known == segments:
                return by_method
        self._others.append((segments, {}))
        return self._others[-1][1]


def _choose(by_method: dict[str, Route], method: str) -> Route:
    route = by_method.get(method)
    if route is None and method == "HEAD":
        route = by_method.get("GET")
    if route is None:
        methods = sorted({*by_method, "HEAD"} if "GET" in by_method else set(by_method))
        raise MethodNotAllowed(f"this address knows only {', '.join(methods)}", allow=", ".join(methods))
    return route
