"""What an operation of S3 is, and finding the one that a request means.

S3 has few addresses and many operations: which one is meant depends on the method, on whether the address names a
bucket or an object, on names in the query (`?uploads`) and on a header. There is one list of them (`operations.py`);
dispatching, the page docs/S3.md and the answer 501 are made from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fluffy.base.checks import invariant
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.wire.s3_errors import S3Error

Level = Literal["service", "bucket", "object"]
Handler = Callable[[Any, Any], Awaitable[Answer]]
# What every answer of a door to a call says besides.
MoreHeaders = Callable[[Any, Any], Headers]


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of S3.

    `needs`: names that the query must have; `header`: one that must be sent, or empty. `handler` None: not supported,
    answered 501. `is_read`: answered from a point (native/reads.py). `is_signed`: by somebody with a key pair, or
    anonymous; False: the handler looks for a credential itself. `sums_are_of_object`: checksums in the head are not
    those of the body, but of the object that the request is about.
    """

    name: str
    method: str
    level: Level
    handler: Handler | None = None
    needs: tuple[str, ...] = ()
    header: str = ""
    is_read: bool = False
    is_signed: bool = True
    sums_are_of_object: bool = False
    note: str = ""


class Operations:
    """Finds operations."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.all = tuple(operations)
        self._by_place: dict[tuple[str, str], list[Operation]] = {}
        self._subresources: dict[str, set[str]] = {"service": set(), "bucket": set(), "object": set()}
        for operation in operations:
            self._by_place.setdefault((operation.method, operation.level), []).append(operation)
            self._subresources[operation.level].update(operation.needs)
        for found in self._by_place.values():
            found.sort(key=lambda operation: (-len(operation.needs), not operation.header))
            means = [(operation.needs, operation.header) for operation in found]
            invariant(len(set(means)) == len(means), "one operation for each way to ask")

    def find(self, method: str, level: Level, query: Mapping[str, str], headers: Mapping[str, str]) -> Operation:
        """The operation that a request means. Raises S3Error: 405 when there is none."""
        for operation in self._by_place.get((method, level), ()):
            if all(name in query for name in operation.needs) and (
                    not operation.header or operation.header in headers):
                if not operation.needs and method != "OPTIONS":
                    self._refuse_other(level, query)
                return operation
        raise _not_allowed()

    def _refuse_other(self, level: Level, query: Mapping[str, str]) -> None:
        """A request for a subresource must not be taken for one for the thing itself."""
        for name in query:
            if name in self._subresources[level] and name not in _PLAIN:
                raise _not_allowed()


# These change an operation without making another one of it.
_PLAIN = frozenset({"versionId", "partNumber", "list-type"})


def _not_allowed() -> S3Error:
    return S3Error("MethodNotAllowed", 405, "The specified method is not allowed against this resource.")


def not_implemented(operation: Operation) -> S3Error:
    return S3Error("NotImplemented", 501, f"{operation.name} is not supported by this server; docs/S3.md lists what is")
