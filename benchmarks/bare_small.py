"""Reference for small requests: a bare aiohttp handler on uvloop that stores nothing.

    python -m benchmarks.bare_small HOST PORT
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

BODY = bytes(4096)


async def put(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"size": len(body)}, status=201)


async def get(_: web.Request) -> web.Response:
    return web.Response(body=BODY)


def main() -> None:
    app = web.Application(client_max_size=1 << 20)
    app.router.add_put("/v1/files/{path:.*}", put)
    app.router.add_get("/v1/files/{path:.*}", get)
    uvloop.install()
    web.run_app(app, host=sys.argv[1], port=int(sys.argv[2]), access_log=None, print=None)


if __name__ == "__main__":
    main()
