"""What joining a cluster at run time needs of the process: implemented in `apps/supernode_clusters.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Joining(Protocol):
    """`operator_token`: of whoever runs this supernode."""

    operator_token: str

    async def join(self, name: str, peers: Sequence[str], token: str) -> None:
        """Keep the cluster, durably, and follow it; of one of the configuration only the token is kept."""

    async def leave(self, name: str) -> None:
        """Forget a cluster that was joined so. Raises ClusterNotFound, Conflict."""
