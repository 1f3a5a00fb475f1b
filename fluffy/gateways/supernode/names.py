"""Names across clusters: search, lists, and what an answer speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fluffy.base.errors import CatalogFailed, FluffyError, FolderNotFound, QuerySyntax
from fluffy.base.paths import parse_path
from fluffy.core.federation.coverage import ClusterState, Coverage
from fluffy.core.federation.paging import CatalogPage
from fluffy.core.federation.ranking import plain_word, step_of
from fluffy.core.federation.tree import CatalogHit, Sight
from fluffy.core.metadata.model import Entry
from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.core.search.query import SearchQuery
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.folders import page_of
from fluffy.gateways.native.search import query_of
from fluffy.gateways.native.shapes import entry_json
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.joined import coverage_json
from fluffy.ports_federation import CatalogCluster
from fluffy.services.federation.askers import Asker

# The clusters' own answers are waited for this long, all at once.
FRESH_DEADLINE_S = 3.0
NAMES_ONLY = ("q", "bucket", "owner", "type", "tag", "min_size", "max_size", "since", "until")


async def search(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/search?q=&cluster=&fresh="""
    query = query_of(call, desk.clock.now_ms())
    limit, after = page_of(call)
    after = desk.cursors.open(after)
    wanted = _wanted(desk, call)
    askers = await desk.askers_of(call)
    if call.flag("fresh"):
        if after is not None:
            raise QuerySyntax("fresh answers have one page; narrow the search down, or leave out fresh")
        return await _fresh(desk, call, query, {name: askers[name] for name in wanted if name in askers}, wanted, limit)
    try:
        page, known, covered = await _find(desk, call, query, askers, wanted, after, limit)
    except CatalogFailed:  # a cluster was begun anew between two looks: now it is known as such
        page, known, covered = await _find(desk, call, query, askers, wanted, after, limit)
    names = {one.number: one.name for one in known.values()}
    return json_answer({"q": call.query.get("q", ""), "after": desk.cursors.seal(page.after), "coverage": covered,
                        "hits": [_hit_json(names[hit.cluster_no], hit) for hit in page.hits]})


async def _find(desk: SupernodeDesk, call: Call, query: SearchQuery, askers: Mapping[str, Asker], wanted: list[str],
                after: str | None, limit: int) -> tuple[CatalogPage, dict[str, CatalogCluster], list[dict[str, Any]]]:
    known = {one.name: one for one in await desk.catalog.clusters()}
    # Said of the state before the search, so that it never speaks for more than was looked through.
    covered = [coverage_json(_covered(desk, name, askers, known)) for name in wanted]
    scope = {known[name].number: askers[name].sight for name in wanted if name in known and name in askers}
    return await desk.catalog.search(query, scope, after, limit, call.deadline), known, covered


def _covered(desk: SupernodeDesk, name: str, askers: Mapping[str, Asker],
             known: Mapping[str, CatalogCluster]) -> Coverage:
    coverage = desk.clusters.coverage(name)
    if name not in askers:
        reason = ("the cluster does not know you" if desk.clusters.is_reachable(name)
                  else "the cluster cannot be asked whether it knows you")
        return Coverage(name, ClusterState.CLOSED, None, 0, reason)
    cluster = known.get(name)
    if cluster is None or cluster.building is not None:
        return Coverage(name, ClusterState.REBUILDING, None, coverage.lag, coverage.reason)
    return coverage


def _wanted(desk: SupernodeDesk, call: Call) -> list[str]:
    """The clusters that are asked for: those of `cluster` (several joined by commas), or all."""
    text = call.query.get("cluster")
    names = sorted(desk.clusters.by_name) if not text else [part.strip() for part in text.split(",")]
    return [desk.clusters.get(name).name for name in dict.fromkeys(names)]


async def _fresh(desk: SupernodeDesk, call: Call, query: SearchQuery, askers: Mapping[str, Asker], wanted: list[str],
                 limit: int) -> Answer:
    """Ask the clusters themselves, all at once; whoever does not answer in time is not in the answer."""
    deadline = call.deadline.at_most(FRESH_DEADLINE_S)
    told: dict[str, Mapping[str, Any] | FluffyError] = {}
    text = urlencode({name: call.query[name] for name in NAMES_ONLY if name in call.query} | {"limit": str(limit)})

    async def ask(asker: Asker) -> None:
        try:
            told[asker.cluster] = await desk.clusters.get(asker.cluster).client.ask(
                "GET", f"/v1/search?{text}", deadline, asker=asker.token_hash)
        except FluffyError as error:
            told[asker.cluster] = error

    async with asyncio.TaskGroup() as group:
        for asker in askers.values():
            if desk.clusters.followers[asker.cluster].breaker.may_try(desk.clock.monotonic_s()):
                group.create_task(ask(asker))
    hits: list[dict[str, Any]] = []
    for name in wanted:
        answer = told.get(name)
        if isinstance(answer, Mapping):
            hits += [{**hit, "cluster": name} for hit in answer.get("hits", ()) if isinstance(hit, dict)]
    word = plain_word(query)
    hits.sort(key=lambda hit: (step_of(word, str(hit.get("name", ""))), hit["cluster"]))
    return json_answer({"q": call.query.get("q", ""), "after": None, "hits": hits[:limit],
                        "coverage": [_fresh_coverage(desk, name, askers, told) for name in wanted]})


def _fresh_coverage(desk: SupernodeDesk, name: str, askers: Mapping[str, Asker],
                    told: Mapping[str, Mapping[str, Any] | FluffyError]) -> dict[str, Any]:
    if name not in askers:
        return coverage_json(_covered(desk, name, askers, {}))
    answer = told.get(name)
    if isinstance(answer, Mapping):
        return coverage_json(Coverage(name, ClusterState.FRESH, desk.clock.now_ms(), 0))
    reason = answer.message if isinstance(answer, FluffyError) else desk.clusters.coverage(name).reason
    return coverage_json(Coverage(name, ClusterState.STALE, None, 0, reason or "the cluster does not answer"))


async def list_folder(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/catalog/{path}: CLUSTER/PATH of a folder."""
    name, _, text = call.tail.partition("/")
    path = parse_path(text)
    asker = await desk.asker_in(call, name)
    limit, after = page_of(call)
    known = next((one for one in await desk.catalog.clusters() if one.name == name), None)
    covered = coverage_json(_covered(desk, name, {name: asker}, {} if known is None else {name: known}))
    rows: list[CatalogRow] = []
    end: str | None = None
    if known is not None and (path.is_root or asker.sight.sees(path.text)):
        found = await _children(desk, known.number, path.text, after or "", limit, asker.sight)
        if found is None and known.building is None:
            raise FolderNotFound(f"there is no folder {name}:{path} that you may see", cluster=name)
        rows, end = found or ([], None)
    elif known is not None and known.building is None:
        raise FolderNotFound(f"there is no folder {name}:{path} that you may see", cluster=name)
    prefix = "" if path.is_root else path.text + "/"
    return json_answer({"cluster": name, "path": str(path), "after": end, "coverage": [covered], "entries": [
        {**entry_json(_entry(row, prefix + row.name), long=True), "cluster": name} for row in rows]})


async def _children(desk: SupernodeDesk, number: int, path: str, after: str, limit: int,
                    sight: Sight) -> tuple[list[CatalogRow], str | None] | None:
    """A page of a folder, of what may be seen, and the key after which the next one begins."""
    seen: list[CatalogRow] = []
    while True:
        found = await desk.catalog.list_folder(number, path, after, limit)
        if found is None:
            return None
        seen += [row for row in found if path or sight.sees(row.name)]
        if len(found) < limit:
            return seen, None
        if seen:
            return seen, seen[-1].key  # not the last that was looked at: that one may be hidden
        after = found[-1].key


async def list_clusters_of_catalog(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/catalog: the clusters as folders."""
    askers = await desk.askers_of(call)
    return json_answer({"entries": [{"name": name, "path": f"{name}:/", "kind": "cluster", "cluster": name}
                                    for name in sorted(askers)]})


def _hit_json(cluster: str, hit: CatalogHit) -> dict[str, Any]:
    return {**entry_json(hit.found.entry, long=True), "cluster": cluster}


def _entry(row: CatalogRow, path: str) -> Entry:
    return Entry(row.name, path, "folder" if row.is_folder else "file", max(row.size, 0), row.generation, row.etag,
                 row.content_type, row.owner, row.modified_ms)

