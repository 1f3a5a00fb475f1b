"""Making a stopped node's folder that of a newcomer, with its chunks: after its log is lost, or all logs are.

A node whose log is gone has forgotten what it voted and acknowledged, so under its old identity it must never talk to
its cluster again (promise P11). Its chunks and manifests are as good as before. This sets aside what is left of log and
database, and gives the folder a new disk UUID; then the node is admitted again (`--join`), or, when all nodes were
reset, a new cluster is born on the old chunks and `restore --from-storage` fills it.
"""

from __future__ import annotations

import time
from pathlib import Path

from fluffy.apps.folder_owner import as_owner_of
from fluffy.apps.identity import forget_cluster
from fluffy.apps.node_lock import node_lock
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import StartRefused

# What a node remembers of its cluster. Chunks, quarantine and manifests stay.
_MEMORY = ("log", "meta.db", "checkpoints", "search.db", "node.json", "seed.json", "scrub.json")
_PATTERNS = ("meta.*.db*", "search.*.db*")


def reset_node(settings: Settings, node: NodeSettings) -> tuple[Path, list[str]]:
    """(where the old things are now, their names). Raises StartRefused when the node runs or there is no folder."""
    if not node.dir.is_dir():
        raise StartRefused(f"there is no folder {node.dir} of node {node.name} on this machine")
    secret = settings.secret(create=True)  # root may read the file that it named; the folder's owner perhaps not
    with as_owner_of(node.dir):
        return _reset(settings, node, secret)


def _reset(settings: Settings, node: NodeSettings, secret: bytes) -> tuple[Path, list[str]]:
    (node.dir / "run").mkdir(mode=0o700, exist_ok=True)
    with node_lock(node.dir, node.name):
        aside = node.dir / f"set-aside-{time.strftime('%Y%m%d-%H%M%S')}"
        aside.mkdir(mode=0o700)
        moved = []
        for pattern in (*_MEMORY, *_PATTERNS):
            for path in sorted(node.dir.glob(pattern)):
                path.rename(aside / path.name)
                moved.append(path.name)
        forget_cluster(settings, node, secret)
    return aside, moved
