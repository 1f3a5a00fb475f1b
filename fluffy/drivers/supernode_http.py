"""The supernodes that a cluster knows, as its peers ask them for their users: the next one when one does not answer."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Unavailable

_NOBODY = "(supernode)"


class Supernodes:
    """`urls`: of the configuration; may be none. With the users' own credentials: a peer has none for a supernode.

    aiohttp comes with the first question: most gateways never ask, and each would start an eighth slower.
    """

    def __init__(self, urls: Iterable[str], context: ssl.SSLContext | None = None) -> None:
        self.urls = tuple(urls)
        self._context = context
        self._http: Any = None

    async def ask(self, target: str, headers: Mapping[str, str], deadline: Deadline) -> Mapping[str, Any]:
        """GET `target` with these headers. Raises Unavailable when no supernode is known, or none answers."""
        if not self.urls:
            raise Unavailable("this cluster knows no supernode: name one in cluster.supernodes of its config.yaml")

        driver = await asyncio.to_thread(importlib.import_module, "fluffy.drivers.cluster_http")
        if self._http is None:
            self._http = driver.ClusterHttp(_NOBODY, self.urls, lambda: "", self._context)

        async def once(url: str) -> Mapping[str, Any]:
            async with self._http.open(url, "GET", target, deadline, headers=headers, signed=True) as answer:
                document: Mapping[str, Any] = await driver.read_document(answer, driver.SMALL_BYTES_MAX, _NOBODY)
                return document

        found: Mapping[str, Any] = await self._http.try_peers(once, deadline)
        return found

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
