"""What gateways and the keeper learn from the catalog about nodes: who they are, and where the others are."""

from __future__ import annotations

import asyncio

from fluffy.apps.identity import read_disk_uuid
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import NotReady, PeerUnreachable
from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import ClusterState
from fluffy.drivers.meta_reader import MetaReader

# A small read of a small table; whoever starts a node waits for it.
BIRTH_POLL_S = 0.05


async def wait_for_birth(reader: MetaReader, node: NodeSettings) -> tuple[ClusterState, NodeNo]:
    """The cluster's state and this node's number, once both exist: for a machine that joins, once it has caught up.

    A node is known by its disk: under its name an older one may stand in a catalog that is still catching up.
    """
    while True:
        try:
            state = reader.read(queries.cluster_state)
            records = reader.read(queries.node_records)
        except NotReady:
            state, records = None, ()
        if state is not None:
            disk_uuid = read_disk_uuid(node.dir)
            for record in records:
                if record.disk_uuid == disk_uuid:
                    return state, record.node_no
        await asyncio.sleep(BIRTH_POLL_S)


class NodeAddresses:
    """Where the other nodes are: as the configuration says, else as the log knows them."""

    def __init__(self, settings: Settings, reader: MetaReader) -> None:
        self._settings = settings
        self._reader = reader

    def address_of(self, node_no: NodeNo) -> tuple[str, int]:
        name, host, port = self._record(node_no)
        configured = next((one for one in self._settings.nodes.values() if one.name == name), None)
        return (host, port) if configured is None else (configured.host, configured.data)

    def name_of(self, node_no: NodeNo) -> str:
        return self._record(node_no)[0]

    def _record(self, node_no: NodeNo) -> tuple[str, str, int]:
        for record in self._reader.read(queries.node_records):
            if record.node_no == node_no:
                return record.name, record.host, record.data
        raise PeerUnreachable("the catalog does not know that node", node_no=node_no)
