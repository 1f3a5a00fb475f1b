"""CORS: which pages of other sites may have a browser use a bucket.

A bucket keeps a list of rules. A browser asks first (OPTIONS) whether a page may do what it is about to; and it reads
an answer to a page only when the answer says that the page may. Nothing here gives anybody a right: requests need
their signatures all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_objects
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.s3.answers import empty_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import XML_TYPE
from fluffy.gateways.s3.tagging import set_document
from fluffy.wire.s3_documents import SMALL_BYTES_MAX
from fluffy.wire.s3_errors import MalformedXml, S3Error
from fluffy.wire.s3_xml import Element, Node, parse_xml, render

CORS = "cors"
RULES_MAX = 100
TEXT_CHARS_MAX = 1_024
METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`origins`, `headers`: with at most one `*` each; headers in lower case."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_s: int | None
    name: str | None

    def fits(self, origin: str, method: str, headers: Iterable[str]) -> bool:
        return (method in self.methods and any(_is_like(origin, pattern) for pattern in self.origins)
                and all(any(_is_like(name.lower(), pattern) for pattern in self.headers) for name in headers))


async def get_cors(door: S3Door, call: S3Call) -> Answer:
    """GET ?cors"""
    door.allow(call, Act.READ)
    document = _document(door, call.bucket)
    if document is None:
        raise S3Error("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist", BucketName=call.bucket)
    return Answer(200, [("Content-Type", XML_TYPE)], document)


async def put_cors(door: S3Door, call: S3Call) -> Answer:
    """PUT ?cors"""
    door.allow(call, Act.ADMINISTER)
    rules = parse_cors(await door.read_body(call, SMALL_BYTES_MAX))
    return await set_document(door, call, CORS, rendered(rules), 200)


async def delete_cors(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?cors"""
    door.allow(call, Act.ADMINISTER)
    return await set_document(door, call, CORS, None, 204)


async def preflight(door: S3Door, call: S3Call) -> Answer:
    """OPTIONS: may a page do this?"""
    origin, method = call.headers.get("origin"), call.headers.get("access-control-request-method")
    if origin is None:
        raise S3Error("BadRequest", 400, "Insufficient information. Origin request header needed.")
    if method is None or method not in METHODS:
        raise S3Error("BadRequest", 400, "Invalid Access-Control-Request-Method: " + (method or "null")[:20])
    wanted = [name.strip() for name in call.headers.get("access-control-request-headers", "").split(",")
              if name.strip()]
    rule = _rule_for(door, call.bucket, origin, method, wanted)
    if rule is None:
        raise S3Error("AccessForbidden", 403, "CORSResponse: This CORS request is not allowed. This is usually because"
                                              " the evalution of Origin, request method / Access-Control-Request-Method"
                                              " or Access-Control-Request-Headers are not whitelisted by the resource's"
                                              " CORS spec.", Method=method, ResourceType="OBJECT")
    headers = _headers(rule, origin)
    if wanted:
        headers.append(("Access-Control-Allow-Headers", ", ".join(name.lower() for name in wanted)))
    if rule.max_age_s is not None:
        headers.append(("Access-Control-Max-Age", str(rule.max_age_s)))
    return empty_answer(200, headers)


def answer_headers(door: S3Door, call: S3Call) -> Headers:
    """What an answer says to a browser that asks for a page of another site; nothing without such a page."""
    origin = call.headers.get("origin")
    if origin is None or not call.bucket or call.method == "OPTIONS":
        return []
    rule = _rule_for(door, call.bucket, origin, call.method, ())
    return [] if rule is None else _headers(rule, origin)


def _headers(rule: Rule, origin: str) -> Headers:
    is_open = "*" in rule.origins
    headers: Headers = [("Access-Control-Allow-Origin", "*" if is_open else origin),
                        ("Access-Control-Allow-Methods", ", ".join(rule.methods))]
    if rule.exposed:
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if not is_open:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return [*headers, ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")]


def _rule_for(door: S3Door, bucket: str, origin: str, method: str, headers: Iterable[str]) -> Rule | None:
    document = _document(door, bucket)
    rules = () if document is None else _rules_of(document)
    return next((rule for rule in rules if rule.fits(origin, method, headers)), None)


def _document(door: S3Door, bucket: str) -> bytes | None:
    return door.desk.reader.read(lambda db: queries_objects.bucket_document(db, bucket, CORS))


@lru_cache(maxsize=256)
def _rules_of(document: bytes) -> tuple[Rule, ...]:
    return parse_cors(document)


def parse_cors(data: bytes) -> tuple[Rule, ...]:
    """Raises S3Error."""
    root = parse_xml(data, "CORSConfiguration", bytes_max=SMALL_BYTES_MAX)
    rules = tuple(_rule(element) for element in root.all("CORSRule"))
    if not 0 < len(rules) <= RULES_MAX:
        raise MalformedXml
    return rules


def _rule(element: Element) -> Rule:
    origins, methods = _texts(element, "AllowedOrigin"), _texts(element, "AllowedMethod")
    headers = tuple(name.lower() for name in _texts(element, "AllowedHeader"))
    if not origins or not methods:
        raise MalformedXml
    for method in methods:
        if method not in METHODS:
            raise S3Error("InvalidRequest", 400, "Found unsupported HTTP method in CORS config. Unsupported method is"
                                                 f" {method[:20]}")
    for pattern in (*origins, *headers):
        if pattern.count("*") > 1:
            raise S3Error("InvalidRequest", 400, f'"{pattern[:100]}" can not have more than one wildcard.')
    age = element.leaf("MaxAgeSeconds")
    if age is not None and not (age.isascii() and age.isdigit() and len(age) <= 9):
        raise MalformedXml
    return Rule(origins, methods, headers, _texts(element, "ExposeHeader"), None if age is None else int(age),
                element.leaf("ID"))


def _texts(element: Element, name: str) -> tuple[str, ...]:
    texts = tuple(child.text for child in element.all(name))
    if any(not 0 < len(text) <= TEXT_CHARS_MAX or not text.isprintable() or not text.isascii() for text in texts):
        raise MalformedXml
    return texts


def rendered(rules: tuple[Rule, ...]) -> bytes:
    def nodes(rule: Rule) -> list[Node]:
        return [("ID", rule.name), *(("AllowedOrigin", text) for text in rule.origins),
                *(("AllowedMethod", text) for text in rule.methods),
                *(("AllowedHeader", text) for text in rule.headers),
                *(("ExposeHeader", text) for text in rule.exposed), ("MaxAgeSeconds", rule.max_age_s)]

    return render("CORSConfiguration", [("CORSRule", nodes(rule)) for rule in rules])


def _is_like(text: str, pattern: str) -> bool:
    """Only `*` means something."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
