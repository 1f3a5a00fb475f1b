"""A peer in memory that can be told to fail: cut connections, answer 503, lose answers, send wrong bytes.

It speaks the file part of docs/API.md section 2 over real HTTP. The tests of the real gateway live elsewhere; this is
for what a
healthy gateway never does.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from blake3 import blake3


@dataclass
class Faults:
    """What goes wrong next. Numbers of bytes after which a connection is cut; counts of requests that are refused."""

    cut_uploads_after: list[int] = field(default_factory=list)
    cut_downloads_after: list[int] = field(default_factory=list)
    refuse: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    lose_answers: int = 0
    damage_downloads: int = 0
    stall_downloads_s: float = 0.0
    say_hash: bool = True


class FaultyPeer:
    """`files`: path -> bytes. `seen`: requests by method. `request_ids`: those of PUT requests, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.generations: Counter[str] = Counter()
        self.answers: dict[str, dict[str, Any]] = {}
        self.faults = Faults()
        self.seen: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.request_ids: list[str] = []
        self.others: list[FaultyPeer] = []
        self.url = ""
        self.port = 0
        self.stale_s: int | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/v1/nodes"):
            return web.json_response({"nodes": [
                {"name": str(peer.port), "host": "127.0.0.1", "http": peer.port} for peer in [self, *self.others]]})
        self.seen[request.method] += 1
        if request.headers.get("Authorization") != "Bearer good-token":
            return _error(401, "Unauthenticated")
        if self.faults.refuse:
            status, error, headers = self.faults.refuse.pop(0)
            return web.json_response({"error": error}, status=status, headers=headers)
        if request.path.startswith("/v1/files/"):
            path = request.path.removeprefix("/v1/files")
            return await (self.put(request, path) if request.method == "PUT" else self.get(request, path))
        return await self.other(request)

    async def put(self, request: web.Request, path: str) -> web.StreamResponse:
        request_id = request.headers["Fluffy-Request-Id"]
        self.request_ids.append(request_id)
        cut = self.faults.cut_uploads_after.pop(0) if self.faults.cut_uploads_after else None
        body = bytearray()
        async for block in request.content.iter_any():
            body += block
            if cut is not None and len(body) >= cut:
                return await _cut(request)
        if request_id not in self.answers:
            self.files[path] = bytes(body)
            self.generations[path] += 1
            self.answers[request_id] = {
                "path": path, "generation": self.generations[path], "size": len(body), "chunks": 1,
                "etag": blake3(body).hexdigest()[:32], "blake3": blake3(body).hexdigest(),
                "modified": "2024-01-01T00:00:00Z"}
        if self.faults.lose_answers:
            self.faults.lose_answers -= 1
            return await _cut(request)
        return web.json_response(self.answers[request_id], status=201)

    async def get(self, request: web.Request, path: str) -> web.StreamResponse:
        data = self.files.get(path)
        if data is None:
            return _error(404, "FileNotFound", f"there is no file at {path}")
        digest = blake3(data).hexdigest()
        headers = {"ETag": f'"{digest[:32]}"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
                   "Fluffy-Generation": str(self.generations[path] or 1)}
        if self.faults.say_hash:
            headers["Fluffy-Blake3"] = digest
        if self.stale_s is not None:
            headers.update({"Fluffy-Stale": "true", "Age": str(self.stale_s)})
        start, status = 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            self.ranges.append(request.headers["Range"])
            start, status = int(wanted[1]), 206
            last = min(int(wanted[2]) if wanted[2] else len(data) - 1, len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
            data = data[:last + 1]
        return await self.send(request, data[start:], status, headers)

    async def send(self, request: web.Request, data: bytes, status: int,
                   headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(data))})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if self.faults.damage_downloads and data:
            self.faults.damage_downloads -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        cut = self.faults.cut_downloads_after.pop(0) if self.faults.cut_downloads_after else None
        await response.write(data if cut is None else data[:cut])
        if cut is not None:
            return await _cut(request)
        if self.faults.stall_downloads_s:
            await asyncio.sleep(self.faults.stall_downloads_s)
        return response

    async def other(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/v1/info/"):
            path = request.path.removeprefix("/v1/info")
            if path not in self.files:
                return _error(404, "FileNotFound")
            digest = blake3(self.files[path]).hexdigest()
            return web.json_response({"path": path, "kind": "file", "size": len(self.files[path]), "generation": 1,
                                      "etag": digest[:32], "blake3": digest})
        if request.path == "/v1/status":
            return web.json_response({"cluster": {"name": "alpha"}, "user": {"name": "admin"}, "node": "one"})
        if request.path.startswith("/v1/dirs/") and request.method == "PUT":
            return web.json_response({"path": request.path, "created": True}, status=201)
        return _error(404, "NotFound")


async def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    await asyncio.sleep(0.01)
    request.transport.abort()
    return web.Response()


def _error(status: int, code: str, message: str = "no") -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "retry": "never"}}, status=status)


@asynccontextmanager
async def serving(peer: FaultyPeer) -> AsyncIterator[FaultyPeer]:
    """`peer` on a free port of the loopback."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", peer.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        peer.port = runner.addresses[0][1]
        peer.url = f"http://127.0.0.1:{peer.port}"
        yield peer
    finally:
        await runner.cleanup()


def refusal(code: str, retry: str, **facts: Any) -> dict[str, Any]:
    return {"code": code, "message": f"{code} on purpose", "retry": retry, **facts}
