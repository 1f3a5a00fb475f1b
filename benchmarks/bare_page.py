"""Reference for searches: a bare aiohttp handler on uvloop that looks up nothing and answers so many bytes of JSON.

    python -m benchmarks.bare_page HOST PORT
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web


async def page(request: web.Request) -> web.Response:
    return web.json_response({"hits": ["x" * int(request.query["bytes"])]})


def main() -> None:
    app = web.Application()
    app.router.add_get("/page", page)
    uvloop.install()
    web.run_app(app, host=sys.argv[1], port=int(sys.argv[2]), access_log=None, print=None)


if __name__ == "__main__":
    main()
