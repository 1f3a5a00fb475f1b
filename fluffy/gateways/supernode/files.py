"""Files of any joined cluster: read by redirect or through here, written to a named cluster or the best, deleted.

    GET    /v1/files/CLUSTER/BUCKET/NAME          307 to a peer, with a signed URL; ?proxy=1 sends the bytes from here
    PUT    /v1/files/@best/BUCKET/NAME?copies=2   to the least used clusters
    DELETE /v1/files/CLUSTER/BUCKET/NAME          the file and all its copies

What was put in several clusters is written and deleted in one and owed to the others (services/federation/owed.py): at
once where they are there, and later where they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fluffy.base.errors import (
    ClusterUnreachable,
    FluffyError,
    NotFound,
    QuerySyntax,
    Unavailable,
)
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.writing import check_framing
from fluffy.gateways.supernode import proxied
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.places import (
    BEST,
    COPIES_MAX,
    COPIES_TAG,
    Place,
    clusters_of,
    find_copies,
    hidden,
    places_to_write,
    split_place,
    unseen,
)
from fluffy.services.federation.owed import Order

# A redirect is followed at once; a slow upload has begun by then.
SIGNED_TTL_S = 300
ALTERNATIVES = 2


async def get_file(desk: SupernodeDesk, call: Call) -> Answer:
    """GET and HEAD /v1/files/{path}: from the named cluster, or from one that has a copy."""
    cluster, path = split_place(call)
    tried: FluffyError | None = None
    if cluster != BEST:
        asker = await desk.asker_in(call, cluster)
        if not asker.sight.sees(path.text):
            raise hidden(cluster, path)
        try:
            return await _read(desk, call, Place(asker, path))
        except Unavailable as error:
            tried = error
    for place, _ in await find_copies(desk, call, path, besides=None if cluster == BEST else cluster):
        if desk.orders.is_owed(place.cluster, path.text):
            continue  # what is there is not the newest
        try:
            answer = await _read(desk, call, place)
        except (Unavailable, NotFound) as error:
            tried = tried or error
            continue
        desk.fallbacks += cluster != BEST
        return answer
    if tried is None:
        raise hidden(cluster, path)
    raise ClusterUnreachable(f"cluster {cluster} does not answer, and no other one that you know of has a copy of "
                             f"{path}", cluster=cluster) from tried


async def _read(desk: SupernodeDesk, call: Call, place: Place) -> Answer:
    if not desk.clusters.is_reachable(place.cluster):
        raise ClusterUnreachable(f"cluster {place.cluster} does not answer now")
    if call.flag("proxy"):
        file = await proxied.look_up(desk, place, call.deadline, call.query.get("generation"))
        return proxied.read_answer(desk, call, file)
    return await _redirect(desk, call, place, "HEAD" if call.method == "HEAD" else "GET")


async def _redirect(desk: SupernodeDesk, call: Call, place: Place, method: str) -> Answer:
    """307 to the best peer, the next ones beside it; the URL is signed by the asker's own right."""
    client = desk.clusters.get(place.cluster).client
    document: dict[str, Any] = {"path": str(place.path), "method": method, "ttl_s": SIGNED_TTL_S}
    if method != "PUT":
        document |= {name: True for name in ("download",) if call.flag(name)}
        document |= {"generation": call.number("generation", 0, 2**62)} if "generation" in call.query else {}
    try:
        signed = await client.ask("POST", "/v1/sign", call.deadline, asker=place.asker.token_hash, document=document)
    except FluffyError as error:
        raise unseen(error, place) from error
    target = str(signed.get("target", ""))
    if not target.startswith("/v1/files/"):
        raise ClusterUnreachable(f"cluster {place.cluster} answers what makes no sense")
    best, *others = client.peers[:1 + ALTERNATIVES]
    headers: Headers = [("Location", best + target), ("Cache-Control", "private, no-store"),
                        ("Fluffy-Cluster", place.cluster)]
    if others:
        headers.append(("Fluffy-Alternatives", ", ".join(peer + target for peer in others)))
    desk.redirects += 1
    return json_answer({"cluster": place.cluster, "url": best + target, "expires": signed.get("expires")}, 307, headers)


async def put_file(desk: SupernodeDesk, call: Call) -> Answer:
    """PUT /v1/files/{path}"""
    cluster, path = split_place(call)
    check_framing(call)
    copies = call.number("copies", 1, COPIES_MAX, least=1)
    if copies > 1 and cluster != BEST:
        raise QuerySyntax("copies is for @best; a named cluster keeps the copies that the file has")
    if COPIES_TAG in dict(parse_qsl(call.headers.get("fluffy-tags", ""), keep_blank_values=True)):
        raise QuerySyntax(f"the tag {COPIES_TAG} is the supernode's: leave it out, and say copies=N for several copies")
    places = await places_to_write(desk, call, cluster, path, copies)
    if len(places) == 1 and copies == 1 and not call.flag("proxy"):
        return await _redirect(desk, call, places[0], "PUT")
    with desk.transfers:
        return await _put_to(desk, call, places, copies)


async def _put_to(desk: SupernodeDesk, call: Call, places: list[Place], copies: int) -> Answer:
    """To the first, and from there to the others."""
    wanted = " ".join(sorted(place.cluster for place in places)) if len(places) > 1 else None
    tags = _tags_with(call.headers.get("fluffy-tags"), wanted)
    async with desk.copier.locked((place.cluster for place in places), places[0].path.text):
        first, stored = await _write_first(desk, call, places, tags)
        orders = _owe(desk, first, [place for place in places if place is not first])
    done, owed = await _make_good(desk, orders)
    # Not by the generation: a file that was purged and is written anew goes on counting.
    status = 201 if stored.get("created") else 200
    missing = max(0, copies - len(places))
    told = {**{name: value for name, value in stored.items() if name != "created"},
            "cluster": first.cluster, "stored": [first.cluster, *done], "owed": owed}
    if missing:
        told["missing"] = missing
    return json_answer(told, status, [("ETag", f'"{stored.get("etag")}"'), ("Fluffy-Cluster", first.cluster)])


async def _write_first(desk: SupernodeDesk, call: Call, places: list[Place], tags: str | None,
                       ) -> tuple[Place, Mapping[str, Any]]:
    """Write to the first place that takes the body; it can be read once only."""
    trouble: FluffyError = ClusterUnreachable()
    for place in places:
        if not desk.clusters.is_reachable(place.cluster):
            continue
        try:
            return place, await proxied.write(desk, call, place, tags)
        except Unavailable as error:
            trouble = error
            if proxied.is_begun(call):
                break
    raise trouble


async def delete_file(desk: SupernodeDesk, call: Call) -> Answer:
    """DELETE /v1/files/{path}: in every cluster that has a copy; where one is away, when it returns."""
    cluster, path = split_place(call)
    if cluster != BEST and not (await desk.asker_in(call, cluster)).sight.sees(path.text):
        raise hidden(cluster, path)
    askers = await desk.askers_of(call)
    places = [Place(askers[name], path) for name in await clusters_of(desk, call, cluster, path)]
    if not places:
        raise hidden(cluster, path)
    reachable = [place for place in places if desk.clusters.is_reachable(place.cluster)]
    if not reachable:
        raise ClusterUnreachable(f"cluster {cluster} does not answer now; nothing was deleted", cluster=cluster)
    async with desk.copier.locked((place.cluster for place in places), path.text):
        deleted = await _delete_first(desk, call, reachable[0])
        orders = _owe(desk, reachable[0], [place for place in places if place is not reachable[0]])
    done, owed = await _make_good(desk, orders)
    return json_answer({**deleted, "path": str(path), "deleted": [reachable[0].cluster, *done], "owed": owed})


async def _delete_first(desk: SupernodeDesk, call: Call, first: Place) -> dict[str, Any]:
    headers = {name: call.headers[name] for name in ("if-match", "fluffy-lock") if name in call.headers}
    query = "?purge=1" if call.flag("purge") else ""
    client = desk.clusters.get(first.cluster).client
    try:
        return dict(await client.ask("DELETE", f"/v1/files{quote(str(first.path))}{query}", call.deadline,
                                     asker=first.asker.token_hash, request_id=call.request_id, headers=headers))
    except FluffyError as error:
        raise unseen(error, first) from error


def _owe(desk: SupernodeDesk, first: Place, rest: list[Place]) -> list[Order]:
    """Write down that the others shall be as the first is now, and that nothing is owed to the first any more."""
    desk.orders.forget(first.cluster, first.path.text)
    now_ms = desk.clock.now_ms()
    return [desk.orders.owe(place.cluster, place.path.text, first.cluster, first.asker.token_hash,
                            place.asker.token_hash, now_ms) for place in rest]


async def _make_good(desk: SupernodeDesk, orders: list[Order]) -> tuple[list[str], list[str]]:
    """Carry out what can be done now: (in which clusters it is done, to which it stays owed)."""
    done: list[str] = []
    owed: list[str] = []
    for order in orders:
        is_there = desk.clusters.is_reachable(order.target)
        (done if is_there and await desk.copier.make_good(order) else owed).append(order.target)
    return done, owed


def _tags_with(header: str | None, copies: str | None) -> str | None:
    """The tags of the request, and the one that says where the copies are."""
    if copies is None:
        return header
    tags = dict(parse_qsl(header or "", keep_blank_values=True))
    return urlencode({**tags, COPIES_TAG: copies})
