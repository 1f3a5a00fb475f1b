"""The supernodes that a cluster knows, as its peers ask them for their users: the next one when one does not answer."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Unavailable
from fluffy.drivers.cluster_http import SMALL_BYTES_MAX, ClusterHttp, read_document

_NOBODY = "(supernode)"


class Supernodes:
    """`urls`: of the configuration; may be none. With the users' own credentials: a peer has none for a supernode."""

    def __init__(self, urls: Iterable[str], context: ssl.SSLContext | None = None) -> None:
        self.urls = tuple(urls)
        self._http = ClusterHttp(_NOBODY, self.urls, lambda: "", context)

    async def ask(self, target: str, headers: Mapping[str, str], deadline: Deadline) -> Mapping[str, Any]:
        """GET `target` with these headers. Raises Unavailable when no supernode is known, or none answers."""
        if not self.urls:
            raise Unavailable("this cluster knows no supernode: name one in cluster.supernodes of its config.yaml")

        async def once(url: str) -> Mapping[str, Any]:
            async with self._http.open(url, "GET", target, deadline, headers=headers, signed=True) as answer:
                return await read_document(answer, SMALL_BYTES_MAX, _NOBODY)

        return await self._http.try_peers(once, deadline)

    async def close(self) -> None:
        await self._http.close()
