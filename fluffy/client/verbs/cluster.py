"""The verbs on the cluster itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluffy.client.verbs.asking import Asking

# A million files are copied and synced in 10 s; the server's own deadline is 60 s.
CHECKPOINT_S = 65.0


class ClusterVerbs(Asking):
    """Its state, for people and programs that run it."""

    async def status(self) -> Mapping[str, Any]:
        """The cluster as the answering peer sees it."""
        return await self._read("/v1/status")

    async def nodes(self) -> Mapping[str, Any]:
        """`nodes`: each node with its address, state and space."""
        return await self._read("/v1/nodes")

    async def checkpoint(self) -> Mapping[str, Any]:
        """Make a checkpoint of the metadata now."""
        return await self._write("POST", "/v1/admin/checkpoint", answer_s=CHECKPOINT_S)
