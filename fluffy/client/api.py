"""The SDK: `AsyncFluffy`, a cluster as an object.

    async with AsyncFluffy(["127.0.0.1:7101"], token) as fluffy:
        await fluffy.put("/admin/notes.txt", b"hello")
        assert await fluffy.get("/admin/notes.txt") == b"hello"

Any peer will do: the client goes on with another one when one dies, asks again when the cluster is busy or choosing a
leader (`patience_s`), and repeats writes under one request id, so they happen once. What cannot be done is raised as a
class of `fluffy.base.errors`, with a sentence for people and facts for programs.

The verbs stand in `fluffy.client.verbs`, by subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from fluffy.client.credentials import user_state_folder
from fluffy.client.peers import PeerList, parse_peer
from fluffy.client.transport import Observer, Transport
from fluffy.client.verbs.asking import PAGE_ENTRIES
from fluffy.client.verbs.cluster import ClusterVerbs
from fluffy.client.verbs.disaster import DisasterVerbs
from fluffy.client.verbs.federation import FederationVerbs
from fluffy.client.verbs.files import FileVerbs
from fluffy.client.verbs.folders import FolderVerbs
from fluffy.client.verbs.history import HistoryVerbs
from fluffy.client.verbs.locks import LockVerbs
from fluffy.client.verbs.opening import OpeningVerbs
from fluffy.client.verbs.people import PeopleVerbs

__all__ = ["PAGE_ENTRIES", "PATIENCE_S", "AsyncFluffy"]

# A leader's loss is over in 2 s, a node's restart in 10 s.
PATIENCE_S = 30.0


class AsyncFluffy(FileVerbs, OpeningVerbs, FolderVerbs, HistoryVerbs, LockVerbs, PeopleVerbs, ClusterVerbs,
                  FederationVerbs, DisasterVerbs):
    """One user's access to one cluster. For one event loop; many calls may run at once.

    `peers`: addresses (`HOST:PORT` or URLs) of one or more nodes; the others are learned from them. `patience_s`: how
    long a call that gets nowhere is tried again; `reach_s`: the same while no peer can be reached at all (default: the
    same). `consistency`: `strong` (default of the cluster) or `local`, for reads. `state_folder`: where unfinished
    uploads are remembered, by default `~/.local/state/fluffy`. `cluster_tokens`: who the user is in other clusters, by
    their names, for what goes through a supernode.
    """

    def __init__(self, peers: str | Iterable[str], token: str | None = None, *, patience_s: float = PATIENCE_S,
                 reach_s: float | None = None, consistency: str | None = None, ca_file: Path | None = None,
                 observer: Observer | None = None, state_folder: Path | None = None,
                 cluster_tokens: Mapping[str, str] | None = None) -> None:
        listed = (peers,) if isinstance(peers, str) else tuple(peers)
        self._peers = PeerList(parse_peer(peer) for peer in listed)
        self._transport = Transport(
            self._peers, token, patience_s=patience_s, reach_s=patience_s if reach_s is None else reach_s,
            consistency=consistency, ca_file=ca_file, observer=observer)
        self._state_folder = state_folder or user_state_folder({})
        self._cluster_tokens = dict(cluster_tokens or {})
        self._supernodes: Transport | None = None

    async def __aenter__(self) -> AsyncFluffy:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client may be used again afterwards; it then opens new ones."""
        await self._transport.close()
        supernodes, self._supernodes = self._supernodes, None
        if supernodes is not None:
            await supernodes.close()

    @property
    def peers(self) -> tuple[str, ...]:
        """The known peers, as URLs."""
        return self._peers.urls

    @property
    def peer(self) -> str:
        """The peer that is asked first."""
        return self._peers.current

    def use_peer(self, peer: str) -> None:
        """Ask this peer first from now on."""
        self._peers.prefer(parse_peer(peer))
