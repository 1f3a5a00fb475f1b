"""A request and its answer: what the HTTP machine and the services behind it hand each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fluffy.base.errors import FluffyError
from fluffy.services.downloads import BodyOut
from fluffy.services.uploads import BodySource

Headers = list[tuple[str, str]]


class Request:
    """What a client sent. `target` is as sent (percent-encoded, with the query); header names are in lower case.

    `sends_files`: the connection can send an answer from files. `client_left`: whether the client has closed its side,
    after which hardly anybody waits for the answer; set by the machine.
    """

    __slots__ = ("body", "client_left", "headers", "method", "remote", "sends_files", "target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                 sends_files: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.remote = remote
        self.sends_files = sends_files
        self.client_left: Callable[[], bool] = _stays


def _stays() -> bool:
    return False


class BodyStream(Protocol):
    """A body sent piece by piece. The machine calls `send` at most once, and `close` in any case at the end."""

    async def send(self, out: BodyOut) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Answer:
    """What to send. `length` counts for a stream; to a HEAD nothing of the body is sent, but its length is said.

    `is_endless`: a stream whose length nobody knows; the connection ends with it.
    `prepared`: header lines that were rendered before (heads.render_lines), for answers that are given often.
    `stamp`: rendered lines about this request, from texts of ours alone.
    """

    status: int
    headers: Headers
    body: bytes | BodyStream = b""
    length: int = 0
    must_close: bool = False
    prepared: bytes = b""
    is_endless: bool = False
    stamp: str = ""

    @property
    def content_length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.length


R = TypeVar("R", bound=Request)


class Service(Protocol[R]):
    """What answers requests."""

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                sends_files: bool) -> R:
        """Make the service's own kind of request."""

    async def answer(self, request: R) -> Answer:
        """Failures are answers too; only CancelledError and InvariantBroken are raised."""

    def drain(self) -> None:
        """The server takes no further requests: answers that would go on for ever end now."""

    def refuse(self, error: FluffyError) -> Answer:
        """The answer to bytes that never became a request."""

    def finished(self, request: R, status: int, *, seconds: float, sent_bytes: int, received_bytes: int) -> None:
        """A request's answer has been sent, or cut."""
