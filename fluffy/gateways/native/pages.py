"""The dashboard's page and files, for strangers too: there is nothing of the cluster in them."""

from __future__ import annotations

from fluffy.gateways.dashboard import assets
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call


async def get_page(desk: Desk, call: Call) -> Answer:
    """GET /"""
    return assets.page("Fluffy", "app.js", call.headers.get("if-none-match"))


async def get_asset(desk: Desk, call: Call) -> Answer:
    """GET /dashboard/{version}/{name}"""
    return assets.asset(call.params["version"], call.params["name"], call.headers.get("if-none-match"))
