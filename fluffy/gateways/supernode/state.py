"""The supernode's own state: clusters, what is owed, what was set aside, health, metrics; joining and leaving."""

from __future__ import annotations

from typing import Any

from fluffy import __version__
from fluffy.base.errors import NotReady, QuerySyntax
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.cluster import METRICS_TYPE
from fluffy.gateways.native.errors import answer_of
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import read_json
from fluffy.gateways.native.openapi import openapi_document
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.joined import cluster_json
from fluffy.gateways.supernode.mirrors import mirror_details, mirror_json, visible_mirrors
from fluffy.services.federation.owed import Order
from fluffy.wire.conditions import rfc3339
from fluffy.wire.iptable import NODE_NAME

LISTED_MAX = 1000
PEERS_MAX = 64
TOKEN_CHARS_MAX = 512


async def healthz(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /healthz: this process is alive."""
    return json_answer({"status": "alive", "node": "supernode"})


async def readyz(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /readyz: 200 when the catalog is open; clusters may be away."""
    if desk.is_closing:
        return answer_of(NotReady("this supernode is stopping"), call.request_id)
    known = await desk.catalog.clusters()
    return json_answer({"status": "ready", "node": "supernode", "clusters": len(desk.clusters.by_name),
                        "built": sum(1 for one in known if one.building is None)})


async def list_clusters(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/clusters"""
    return json_answer({"clusters": await _clusters(desk, call)})


async def _clusters(desk: SupernodeDesk, call: Call) -> list[dict[str, Any]]:
    askers = await desk.askers_of(call)
    known = {one.name: one for one in await desk.catalog.clusters()}
    return [cluster_json(one, desk.clusters.coverage(name), known.get(name),
                         askers[name].user if name in askers else None,
                         counts=name in askers or desk.is_operator(call))
            for name, one in sorted(desk.clusters.by_name.items())]


async def get_status(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/status"""
    return json_answer({
        "node": "supernode", "version": __version__, "owed": desk.orders.count(), "owed_aside": desk.copier.aside(),
        "cache": {"bytes": desk.cache.kept_bytes, "hits": desk.cache.hits, "misses": desk.cache.misses},
        "clusters": await _clusters(desk, call),
        "mirrors": [mirror_json(mirror) for mirror in await visible_mirrors(desk, call)]})


async def get_metrics(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /metrics"""
    return Answer(200, [("Content-Type", METRICS_TYPE)], await desk.metrics.text())


async def get_openapi(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/openapi.json"""
    return json_answer(openapi_document(desk.table.routes, __version__))


async def list_owed(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/owed: one's own orders, and those that were given up; the operator sees all."""
    mine = {asker.token_hash for asker in (await desk.askers_of(call)).values()}
    askers = mine or None
    return json_answer({"owed": [_order_json(desk, order) for order in desk.orders.listed(LISTED_MAX, askers)],
                        "given_up": [_ended_json(ended) for ended in desk.orders.given_up(LISTED_MAX, askers)]})


async def list_mirrors(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/mirrors"""
    return json_answer({"mirrors": [{**mirror_json(mirror), **mirror_details(mirror)}
                                    for mirror in await visible_mirrors(desk, call)]})


async def list_dead_letters(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/federation/dead-letters"""
    letters = await desk.catalog.dead_letters(call.number("limit", 100, LISTED_MAX, least=1))
    return json_answer({"dead_letters": [
        {"cluster": one.cluster, "seq": one.seq, "at": rfc3339(one.at_ms), "reason": one.reason, "row": one.text}
        for one in letters]})


async def join(desk: SupernodeDesk, call: Call) -> Answer:
    """POST /v1/federation/clusters {name, peers, token}"""
    fields = await read_json(call, "name", "peers", "token")
    name, token, peers = fields.text("name"), fields.text("token"), fields.values.get("peers")
    if NODE_NAME.match(name) is None:
        raise QuerySyntax("field name has up to 63 letters, digits, - and _")
    if not isinstance(peers, list) or not 0 < len(peers) <= PEERS_MAX or not all(
            isinstance(peer, str) and peer.startswith(("http://", "https://")) for peer in peers):
        raise QuerySyntax("field peers is a list of URLs like http://HOST:PORT")
    if not (0 < len(token) <= TOKEN_CHARS_MAX and token.isascii() and token.isprintable()):
        raise QuerySyntax("field token is the token of a user with the role supernode")
    await desk.joining.join(name, [peer.rstrip("/") for peer in peers], token)
    return json_answer({"cluster": name, "joined": True}, 201)


async def leave(desk: SupernodeDesk, call: Call) -> Answer:
    """DELETE /v1/federation/clusters/{name}"""
    name = call.params["name"]
    await desk.joining.leave(name)
    return json_answer({"cluster": name, "joined": False})


def _order_json(desk: SupernodeDesk, order: Order) -> dict[str, Any]:
    line = {"to": f"{order.target}:/{order.path}", "from": f"{order.source}:/{order.path}",
            "since": rfc3339(order.made_ms), "attempts": order.attempts, "error": order.error or None}
    gone = next((name for name in (order.target, order.source) if name not in desk.clusters.by_name), None)
    return line if gone is None else line | {"aside": gone}


def _ended_json(ended: dict[str, Any]) -> dict[str, Any]:
    return {"to": f"{ended['target']}:/{ended['path']}", "from": f"{ended['source']}:/{ended['path']}",
            "at": rfc3339(ended["at_ms"]), "error": ended["error"]}
