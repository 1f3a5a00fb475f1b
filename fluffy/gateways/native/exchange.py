"""One request to the native API, and the small parts its answers are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from fluffy.base.deadline import Deadline
from fluffy.base.errors import NameIllegal, QuerySyntax
from fluffy.base.ids import UserNo
from fluffy.core.metadata.model import User
from fluffy.gateways.http.exchange import Answer, Headers, Request
from fluffy.services.uploads import BodySource

# More parameters than any route has.
QUERY_PARAMETERS_MAX = 32
LOCK_PREFIX = "/v1/locks/"
JSON_TYPE = "application/json; charset=utf-8"
NEVER = Deadline(0.0)
NOBODY = User(UserNo(0), "", "readonly")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"%2[fF]")


class Point(NamedTuple):
    """The state a request is answered from. `age_s` is None when it is the newest, else how old it may be (stale)."""

    seq: int
    age_s: int | None = None


class Call(Request):
    """A request to the native API. What a handler needs beyond HTTP is set by the desk before the handler runs."""

    __slots__ = ("claims", "deadline", "is_carried", "params", "pattern", "point", "query", "request_id", "signature",
                 "user")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: BodySource, remote: str,
                 sends_files: bool) -> None:
        super().__init__(method, target, headers, body, remote, sends_files)
        self.request_id = ""
        self.query: dict[str, str] = {}
        self.params: dict[str, str] = {}
        self.user = NOBODY
        self.point = Point(0)
        self.deadline = NEVER
        self.signature = ""  # of a signed URL: it, and not a token, is the credential
        self.is_carried = False  # a supernode asks for the user
        self.claims = ""  # the user that somebody without a credential claims to be
        self.pattern = "-"  # of the route, for counting; "-": none was found

    @property
    def tail(self) -> str:
        """The decoded `{path}` of the route."""
        return self.params["path"]

    def flag(self, name: str) -> bool:
        """`?name`, `?name=1` and `?name=true` are yes; absent, 0 and false are no."""
        text = self.query.get(name, "0").lower()
        if text in ("1", "true", "yes", ""):
            return True
        if text in ("0", "false", "no"):
            return False
        raise QuerySyntax(f"parameter {name} is 1 or 0, not {text[:40]!r}")

    def number(self, name: str, default: int, largest: int, *, least: int = 0) -> int:
        """An integer parameter; above `largest` it is cut to it, below `least` refused."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) < least:
            raise QuerySyntax(f"parameter {name} is a number of at least {least}, not {text[:40]!r}")
        return min(int(text), largest)


def to_json(value: Any) -> bytes:
    return _encode(value).encode("utf-8", "surrogateescape")


def json_answer(value: Any, status: int = 200, headers: Headers | None = None) -> Answer:
    return Answer(status, [("Content-Type", JSON_TYPE), *(headers or ())], to_json(value))


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target, both still encoded. An absolute target (a proxy's) loses scheme and host."""
    if not target.startswith("/"):
        _, separator, rest = target.partition("://")
        target = "/" + rest.partition("/")[2] if separator else "/" + target
    path, _, query = target.partition("?")
    return path, query


def shown_path(target: str) -> str:
    """The path of a target as logs may show it: without the query, and without the token of a lock."""
    path = split_target(target)[0]
    return f"{LOCK_PREFIX}…" if path.startswith(LOCK_PREFIX) else path


def decode_path(raw: str) -> str:
    """The text that a percent-encoded path stands for. Raises NameIllegal.

    `%2F` is refused rather than guessed about: in a name it is not allowed, and as a separator it is not needed.
    """
    if "%" not in raw and raw.isascii():
        return raw
    if _ESCAPED_SLASH.search(raw) is not None:
        raise NameIllegal("a name in the path has a slash (%2F)")
    if _BAD_ESCAPE.search(raw) is not None:
        raise NameIllegal("the path has a % that is not followed by two hex digits; a percent sign is written %25")
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise NameIllegal("the path is not valid UTF-8") from error


def parse_query(text: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query, each at most once and known to the route. Raises QuerySyntax."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_PARAMETERS_MAX, errors="strict")
    except ValueError as error:
        raise QuerySyntax("the query has too many parameters or is not valid UTF-8") from error
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            known = f"; known here: {', '.join(allowed)}" if allowed else "; there are none here"
            raise QuerySyntax(f"parameter {name[:40]!r} is not known{known}")
        if name in query:
            raise QuerySyntax(f"parameter {name} is given twice")
        query[name] = value
    return query


def _jsonable(value: object) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


# One for all: making an encoder costs as much as a small answer.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_jsonable).encode
