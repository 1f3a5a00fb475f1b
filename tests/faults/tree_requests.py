"""The calls of a small tree (support/small_tree.py) as requests to a node, and its answers as values to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

from tests.support.small_tree import Answer, Call, Done, File, Piece, Refused

LOCK_TTL_S = 3_600
RETRIED = frozenset({429, 503})
QUOTA_EXCEEDED = 507


class Unreadable(Exception):
    """An answer that no order of operations could explain: bytes that nobody wrote, a status that must not be."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What came back. Names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


class TreeDoor:
    """One bucket. Remembers what answers tell that later requests need: tokens of locks, entity tags of bodies."""

    def __init__(self, bucket: str, piece_bytes: int) -> None:
        self.bucket = bucket
        self.piece_bytes = piece_bytes
        self._tokens: dict[int, str] = {}
        self._etags: dict[tuple[Piece, ...], str] = {}

    # -- bodies

    def body_of(self, pieces: tuple[Piece, ...]) -> bytes:
        return b"".join(self._piece(piece) for piece in pieces)

    def _piece(self, piece: Piece) -> bytes:
        number, at = piece
        head = f"{self.bucket}#{number}#{at}#".encode()
        filler = f"{(number * 31 + at) * 2654435761 % 2**32:08x}".encode() * (self.piece_bytes // 8 + 1)
        return (head + filler)[:self.piece_bytes]

    def pieces_of(self, body: bytes) -> tuple[Piece, ...]:
        """Raises Unreadable for bytes that are not whole pieces of this tree."""
        pieces = []
        for start in range(0, len(body), self.piece_bytes):
            part = body[start:start + self.piece_bytes]
            try:
                _, number, at, _ = part.split(b"#", 3)
                piece = (int(number), int(at))
            except ValueError:
                raise Unreadable(f"bytes that nobody wrote: {part[:80]!r}") from None
            if part != self._piece(piece):
                raise Unreadable(f"a piece is not whole: {part[:80]!r}")
            pieces.append(piece)
        return tuple(pieces)

    def _count(self, size: int) -> int:
        """Pieces in so many bytes."""
        if size % self.piece_bytes:
            raise Unreadable(f"{size} bytes are no whole pieces")
        return size // self.piece_bytes

    # -- asking

    def request(self, call: Call) -> Request:
        headers = {} if call.lock is None or call.kind == "unlock" else {"Fluffy-Lock": self._tokens[call.lock]}
        place = f"{self.bucket}/{call.path}".rstrip("/")
        file, folder = f"/v1/files/{place}", f"/v1/dirs/{place}"
        match call.kind:
            case "put":
                if call.flag:
                    headers["If-None-Match"] = "*"
                if call.expected is not None:
                    headers["If-Match"] = self._etags[call.expected]
                return Request("PUT", file, self.body_of(call.pieces), headers)
            case "append":
                return Request("POST", f"{file}?append", self.body_of(call.pieces), headers)
            case "patch":
                first, size = call.at * self.piece_bytes, len(call.pieces) * self.piece_bytes
                headers["Content-Range"] = f"bytes {first}-{first + size - 1}/*"
                return Request("PATCH", file, self.body_of(call.pieces), headers)
            case "delete":
                return Request("DELETE", file, None, headers)
            case "read":
                return Request("GET", file)
            case "mkdir":
                return Request("PUT", f"{folder}?parents=1", None, headers)
            case "rmdir":
                return Request("DELETE", folder, None, headers)
            case "rmtree":
                return Request("DELETE", f"{folder}?recursive=1", None, headers)
            case "list":
                return Request("GET", folder)
            case "sums":
                return Request("GET", f"/v1/info/{place}")
            case "unlock":
                assert call.lock is not None
                return Request("DELETE", f"/v1/locks/{quote(self._tokens[call.lock], safe='')}")
            case "break_lock":
                return Request("DELETE", f"/v1/locks?path={place}")
        return self._json_request(call, place, headers)

    def _json_request(self, call: Call, place: str, headers: Mapping[str, str]) -> Request:
        target, value = {
            "undelete": ("undelete", {"path": place}),
            "restore": ("restore", {"path": place, "generation": call.at}),
            "move": ("move", {"src": place, "dst": f"{self.bucket}/{call.dst}", "overwrite": call.flag}),
            "copy": ("copy", {"src": place, "dst": f"{self.bucket}/{call.dst}", "overwrite": call.flag}),
            "tag": (f"tags/{place}", {"t": call.tag}),
            "lock": ("locks", {"path": place, "mode": "exclusive", "ttl_s": LOCK_TTL_S}),
            "quota": ("admin/quotas", {"subject": "bucket", "name": self.bucket, "files_max": call.limits[0],
                                       "bytes_max": call.limits[1]}),
        }[call.kind]
        method = "PUT" if call.kind in ("tag", "quota") else "POST"
        return Request(method, f"/v1/{target}", json.dumps(value).encode(),
                       {"Content-Type": "application/json", **headers})

    # -- hearing

    def answer(self, call: Call, found: Found) -> Answer | None:
        """What the answer says; None: it says nothing about the tree, ask again. Raises Unreadable."""
        if found.status in RETRIED:
            return None
        if found.status >= 500 and found.status != QUOTA_EXCEEDED:
            raise Unreadable(f"status {found.status}: {found.body[:300]!r}")
        if found.status >= 400:
            code = found.json["error"]["code"]
            return None if code == "DiskFull" else Refused(code)  # of a node's disk, and no answer of the tree
        return Done(self._detail(call, found))

    def _detail(self, call: Call, found: Found) -> object:
        match call.kind:
            case "put":
                return found.status == 201
            case "append":
                return self._count(found.json["offset"])
            case "undelete":
                return found.json["kind"]
            case "restore":
                return found.json["restored"]
            case "mkdir":
                return found.json["created"]
            case "rmtree":
                return found.json["files"]
            case "move":
                return (found.json["kind"], found.json["files"], found.json["replaced"])
            case "copy":
                is_file = found.json["kind"] == "file"
                return (found.json["kind"], 1 if is_file else found.json["files"], found.status == 201)
            case "lock":
                self._tokens[call.number] = found.json["token"]
                return None
            case "read":
                pieces = self.pieces_of(found.body)
                self._etags[pieces] = found.headers["etag"]
                return File(pieces, parse_qs(found.headers.get("fluffy-tags", "")).get("t", [""])[0])
            case "list":
                return tuple(sorted(
                    (line["name"] + "/", 0) if line["kind"] == "folder" else (line["name"], self._count(line["size"]))
                    for line in found.json["entries"]))
            case "sums":
                if found.json["kind"] == "file":
                    return ("file", 1, self._count(found.json["size"]))
                return ("folder", found.json["files"], self._count(found.json["bytes"]))
        return None
