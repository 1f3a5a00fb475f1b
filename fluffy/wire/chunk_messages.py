"""What is said on the data port: one frame asks, one frame answers, in any order, joined by a number.

    put   {op: "put",  i, c: chunk id, x: xxh3}              payload: the chunk     -> {i}
    get   {op: "get",  i, c: chunk id, o: offset, n: bytes, b?: urgency}            -> {i, x: xxh3} payload: the bytes
    has   {op: "has",  i, c: chunk id}                                              -> {i, h: 0 | 1}
    ping  {op: "ping", i}                                                           -> {i, f: free bytes, v: level}
    about {op: "about", i}                                                          -> {i, b: {name: number or text}}
    an error answers any of them:                                                   -> {i, e: code, m: message}

Every request may carry `q`, the id of the user's request that it is for, and `p`, its traceparent; they are for logs
and traces only (base/tracing.py).

A get is for a user unless `b` says otherwise: 1 background work, 2 the same for a chunk with one copy left; those wait
at the node's gate for background bytes. Programs of level 2 do not know `b` and answer as to users.

Everything is checked here; a frame that is not exactly one of these raises FrameCorrupt and ends its connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fluffy.base.errors import FluffyError, FrameCorrupt, error_for
from fluffy.base.hashing import XXH3_BYTES
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId
from fluffy.base.tracing import NO_TRACE, Trace, to_wire
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX, encode_head

# Chunk id, hash, numbers and an error sentence, with room for what later versions add.
CHUNK_HEADER_BYTES_MAX = 2048
_MESSAGE_CHARS_MAX = 500
# What a node tells of itself: more than this version tells, so that a newer one may tell more.
ABOUT_FACTS_MAX = 32
ABOUT_TEXT_CHARS_MAX = 64
_NUMBER_MAX = 1 << 53


class Urgency(IntEnum):
    """Whom a get is for. The numbers are on the wire."""

    USER = 0
    BACKGROUND = 1
    ENDANGERED = 2


@dataclass(frozen=True, slots=True)
class PutChunk:
    number: int
    chunk_id: ChunkId
    xxh3: bytes


@dataclass(frozen=True, slots=True)
class GetChunk:
    number: int
    chunk_id: ChunkId
    offset: int
    length: int
    urgency: Urgency = Urgency.USER


@dataclass(frozen=True, slots=True)
class HasChunk:
    number: int
    chunk_id: ChunkId


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class About:
    """What does the node say of itself? Programs below feature level 3 do not know it and hang up."""

    number: int


Request = PutChunk | GetChunk | HasChunk | Ping | About
AboutFacts = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`error` is already ours (translated), not raised yet. The fields that the request did not ask for are None."""

    number: int
    error: FluffyError | None = None
    xxh3: bytes | None = None
    has: bool | None = None
    free_bytes: int | None = None
    level: int | None = None  # the newest feature level that the program knows; programs of level 1 do not tell
    about: AboutFacts | None = None


def encode_request(request: Request, payload_bytes: int = 0, trace: Trace = NO_TRACE) -> bytes:
    """Prefix and header; the caller sends a put's payload next. `trace`: for whom it is asked."""
    match request:
        case PutChunk(number, chunk_id, xxh3):
            header: dict[str, Any] = {"op": "put", "i": number, "c": chunk_id, "x": xxh3}
        case GetChunk(number, chunk_id, offset, length, urgency):
            header = {"op": "get", "i": number, "c": chunk_id, "o": offset, "n": length}
            if urgency is not Urgency.USER:
                header["b"] = int(urgency)
        case HasChunk(number, chunk_id):
            header = {"op": "has", "i": number, "c": chunk_id}
        case Ping(number):
            header = {"op": "ping", "i": number}
        case About(number):
            header = {"op": "about", "i": number}
    return encode_head({**header, **to_wire(trace)}, payload_bytes)


def decode_request(header: dict[str, Any], payload_bytes: int) -> Request:
    """The request of a frame that announces `payload_bytes`. Raises FrameCorrupt."""
    operation = header.get("op")
    number = _number(header, "i")
    if (operation == "put") != (payload_bytes > 0):
        raise FrameCorrupt("a put, and nothing else, carries a chunk")
    match operation:
        case "put":
            return PutChunk(number, _chunk_id(header), _bytes(header, "x", XXH3_BYTES))
        case "get":
            length = _number(header, "n")
            if not 0 < length <= CHUNK_PAYLOAD_BYTES_MAX:
                raise FrameCorrupt("a get asks for an impossible number of bytes")
            return GetChunk(number, _chunk_id(header), _number(header, "o"), length, _urgency(header))
        case "has":
            return HasChunk(number, _chunk_id(header))
        case "ping":
            return Ping(number)
        case "about":
            return About(number)
    raise FrameCorrupt("an unknown request on the data port")


def encode_answer(answer: Answer, payload_bytes: int = 0) -> bytes:
    header: dict[str, Any] = {"i": answer.number}
    if answer.error is not None:
        header |= {"e": answer.error.code(), "m": answer.error.message[:_MESSAGE_CHARS_MAX]}
    if answer.xxh3 is not None:
        header["x"] = answer.xxh3
    if answer.has is not None:
        header["h"] = int(answer.has)
    if answer.free_bytes is not None:
        header["f"] = answer.free_bytes
    if answer.level is not None:
        header["v"] = answer.level
    if answer.about is not None:
        header["b"] = answer.about
    return encode_head(header, payload_bytes)


def decode_answer(header: dict[str, Any], payload_bytes: int) -> Answer:
    number = _number(header, "i")
    if (payload_bytes > 0) != ("x" in header):
        raise FrameCorrupt("an answer with bytes, and no other, carries their hash")
    if "e" in header:
        code, message = header["e"], header.get("m")
        if not isinstance(code, str) or not isinstance(message, str) or payload_bytes:
            raise FrameCorrupt("an error answer is not one")
        return Answer(number, error=error_for(code, message[:_MESSAGE_CHARS_MAX]))
    return Answer(number, None,
                  _bytes(header, "x", XXH3_BYTES) if "x" in header else None,
                  _number(header, "h") == 1 if "h" in header else None,
                  _number(header, "f") if "f" in header else None,
                  _number(header, "v") if "v" in header else None,
                  _about(header["b"]) if "b" in header else None)


def _about(facts: object) -> AboutFacts:
    if not isinstance(facts, dict) or len(facts) > ABOUT_FACTS_MAX:
        raise FrameCorrupt("what a node tells of itself is a small map")
    for name, value in facts.items():
        is_number = type(value) is int and abs(value) < _NUMBER_MAX
        is_text = isinstance(value, str) and len(value) <= ABOUT_TEXT_CHARS_MAX
        if not (isinstance(name, str) and len(name) <= ABOUT_TEXT_CHARS_MAX and (is_number or is_text)):
            raise FrameCorrupt("what a node tells of itself are numbers and short texts")
    return facts


def _number(header: dict[str, Any], key: str) -> int:
    value = header.get(key)
    if type(value) is not int or not 0 <= value < _NUMBER_MAX:
        raise FrameCorrupt(f"a frame on the data port has no proper {key!r}")
    return value


def _urgency(header: dict[str, Any]) -> Urgency:
    number = _number(header, "b") if "b" in header else 0
    if number > max(Urgency):
        raise FrameCorrupt("a get of an unknown urgency")
    return Urgency(number)


def _bytes(header: dict[str, Any], key: str, size: int) -> bytes:
    value = header.get(key)
    if not isinstance(value, bytes) or len(value) != size:
        raise FrameCorrupt(f"a frame on the data port has no proper {key!r}")
    return value


def _chunk_id(header: dict[str, Any]) -> ChunkId:
    return ChunkId(_bytes(header, "c", CHUNK_ID_BYTES))
