"""The verbs on many clusters: what a supernode knows, and joining one.

The cluster's peers tell which supernodes there are (`cluster.supernodes`); they are asked directly, the next one when
one does not answer. Whoever is somebody in other clusters too gives the tokens of those as `cluster_tokens`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from fluffy.base.errors import AlreadyExists, Conflict, NotFound, Unavailable
from fluffy.base.paths import parse_path
from fluffy.client.pages import Pages
from fluffy.client.peers import PeerList, parse_peer, peers_in_nodes
from fluffy.client.results import Entry, EntryPage, page_of
from fluffy.client.transport import Call, Transport
from fluffy.client.upload import new_request_id
from fluffy.client.verbs.asking import PAGE_ENTRIES, Asking, Moment, given, moment_text, told

SUPERNODE = "supernode"  # the role, and the name of the user that has it


class FederationVerbs(Asking):
    """Clusters, their catalog, searching everywhere."""

    _cluster_tokens: dict[str, str]
    _supernodes: Transport | None

    async def supernodes(self) -> tuple[str, ...]:
        """The addresses of the supernodes that this cluster knows."""
        urls = (await self._read("/v1/status")).get("supernodes")
        return tuple(parse_peer(url) for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()

    async def clusters(self) -> list[Mapping[str, Any]]:
        """The clusters that the supernode has joined: name, state, leader, room, load, peers, who you are there."""
        found = (await self._ask_supernode("/v1/clusters")).get("clusters")
        return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []

    async def mirrors(self) -> list[Mapping[str, Any]]:
        """The buckets that the supernode keeps in another cluster: from, to, state, lag, what fails, what was kept."""
        found = (await self._ask_supernode("/v1/mirrors")).get("mirrors")
        return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []

    async def catalog_page(self, cluster: str, path: str = "/", *, after: str | None = None,
                           limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of a folder of any cluster, as the supernode knows it."""
        url = f"/v1/catalog/{quote(cluster, safe='')}/{quote(parse_path(path).text)}"
        return page_of(await self._ask_supernode(url, after=after, limit=limit), "entries")

    def catalog(self, cluster: str, path: str = "/") -> AsyncIterator[Entry]:
        """A folder of any cluster, page by page. What the lines speak for is in `document['coverage']` of a page."""
        return Pages(lambda after: self.catalog_page(cluster, path, after=after))

    async def search_everywhere_page(self, query: str = "", *, cluster: str | None = None, fresh: bool = False,
                                     bucket: str | None = None, owner: str | None = None, type: str | None = None,
                                     tag: str | None = None, min_size: int | str | None = None,
                                     max_size: int | str | None = None, since: Moment | None = None,
                                     until: Moment | None = None, after: str | None = None,
                                     limit: int = PAGE_ENTRIES) -> Mapping[str, Any]:
        """One page of hits in all clusters, as it came: `hits`, each with its `cluster`, `after`, and `coverage`."""
        return await self._ask_supernode(
            "/v1/search", q=query, cluster=cluster, fresh=fresh, bucket=bucket, owner=owner, type=type, tag=tag,
            min_size=min_size, max_size=max_size, since=moment_text(since), until=moment_text(until), after=after,
            limit=limit)

    def search_everywhere(self, query: str = "", *, cluster: str | None = None, fresh: bool = False,
                          bucket: str | None = None, owner: str | None = None, type: str | None = None,
                          tag: str | None = None, min_size: int | str | None = None,
                          max_size: int | str | None = None, since: Moment | None = None,
                          until: Moment | None = None) -> AsyncIterator[Entry]:
        """Files and folders of all clusters, page by page. The cluster of a hit is in its `document`.

        `cluster`: only there (several joined by commas); `fresh`: ask the clusters themselves.
        """
        page = functools.partial(
            self.search_everywhere_page, query, cluster=cluster, fresh=fresh, bucket=bucket, owner=owner, type=type,
            tag=tag, min_size=min_size, max_size=max_size, since=moment_text(since), until=moment_text(until))

        async def entries(after: str | None) -> EntryPage:
            return page_of(await page(after=after), "hits")
        return Pages(entries)

    async def supernode_token(self, label: str) -> str:
        """A new token for a supernode, of the user `supernode`, which is made when missing. By admins."""
        try:
            await self._write("POST", "/v1/admin/users", document={"name": SUPERNODE, "role": SUPERNODE})
        except AlreadyExists as error:
            if await self._role_of_supernode() != SUPERNODE:
                raise Conflict(f"there is a user or bucket '{SUPERNODE}' already that is no supernode's; rename it"
                               ) from error
        made = await self._write("POST", "/v1/tokens", document=told(label=label, user=SUPERNODE))
        return str(made.get("token", ""))

    async def _role_of_supernode(self) -> str | None:
        try:
            return str((await self._read(f"/v1/admin/users/{SUPERNODE}")).get("role"))
        except NotFound:
            return None

    async def federate(self, supernode: str, operator_token: str, *, name: str | None = None) -> Mapping[str, Any]:
        """Let a supernode join this cluster. By admins; `operator_token`: of whoever runs the supernode.

        Makes a token for it and hands it over with the addresses of all nodes. `name`: by which the supernode shall
        know the cluster; without: its own.
        """
        status = await self._read("/v1/status")
        cluster = status.get("cluster")
        own = str(cluster.get("name")) if isinstance(cluster, dict) else ""
        others = peers_in_nodes(await self._read("/v1/nodes"), self._peers.current)
        peers = dict.fromkeys((self._peers.current, *others))
        token = await self.supernode_token(f"supernode at {supernode}")
        url = parse_peer(supernode)
        call = Call("POST", "/v1/federation/clusters", request_id=new_request_id(),
                    document={"name": name or own, "peers": list(peers), "token": token})
        door = self._transport.to(PeerList([url]), operator_token)
        try:
            return (await door.ask(call)).document
        finally:
            await door.close()

    async def _ask_supernode(self, url: str, **query: object) -> Mapping[str, Any]:
        if self._supernodes is None:
            urls = await self.supernodes()
            if not urls:
                raise Unavailable("this cluster knows no supernode: name one in cluster.supernodes of its config.yaml",
                                  retry="never")
            self._supernodes = self._transport.to(PeerList(urls))
        tokens = ", ".join(f"{name}={token}" for name, token in sorted(self._cluster_tokens.items()))
        headers = {"Fluffy-Tokens": tokens} if tokens else {}
        return (await self._supernodes.ask(Call("GET", url, query=given(**query), headers=headers))).document
