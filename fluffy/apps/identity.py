"""Who a node's folder belongs to: `node.json`.

A disk remembers what its node has voted and acknowledged, so it must never be taken for another's: a folder under the
wrong name, of another cluster, or an emptied one under an old name could make two leaders or lose acknowledged files.
The file is made at the first start and names the node, its disk (a UUID made then), the cluster (null until the cluster
is born) and a check value of the cluster's secret, from which the secret cannot be found.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from fluffy.apps.cluster_secret import sync_folder
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import IdentityMismatch
from fluffy.base.ids import ClusterUuid, DiskUuid, NodeName, new_disk_uuid

IDENTITY_NAME = "node.json"
FORMAT = 1
_FILE_BYTES_MAX = 64 * 1024
_CHECK_CONTEXT = "fluffy node.json secret_check 1"
_CHECK_BYTES = 16
# What only a node that has lived can have left in its folder.
_TRACES_OF_LIFE = ("log", "meta.db", "chunks", "checkpoints")


@dataclass(frozen=True, slots=True)
class Identity:
    name: NodeName
    disk_uuid: DiskUuid
    cluster_uuid: ClusterUuid | None  # None: the cluster is not born yet, as far as this disk knows
    has_log: bool = False  # a log was begun here, in which this node may have voted


def load_or_create_identity(settings: Settings, node: NodeSettings, *, joins: bool = False) -> Identity:
    """The identity in the node's folder; a new one in a folder that never held a node.

    `joins`: the node is to become a member of a cluster that exists, whose secret must be here already.

    Called by the supervisor under the folder's lock; its children call it too and then only read. Raises
    IdentityMismatch for another node's folder, another cluster's secret or name, or a folder that lost its node.json.
    """
    path = node.dir / IDENTITY_NAME
    newborn = not path.exists()
    if newborn:
        _refuse_orphaned_folder(node.dir)
    # Only a newborn node may make the secret: an old one without it has lost it, and a new one would not help.
    check = secret_check(settings.secret(create=newborn and not joins))
    if newborn:
        node.dir.mkdir(parents=True, exist_ok=True)
        _write_newcomer(settings, node, check)
    found = _read(path)
    if found["name"] != node.name:
        raise IdentityMismatch(
            f"the folder {node.dir} belongs to node {found['name']!r}, not to {node.name!r}; correct `dir` in "
            f"{settings.path.name}, or start: server.py {found['name']}", folder=str(node.dir))
    if found["cluster"] != settings.cluster.name:
        raise IdentityMismatch(
            f"the folder {node.dir} belongs to the cluster {found['cluster']!r}, but {settings.path.name} says "
            f"{settings.cluster.name!r}; correct cluster.name or `dir`", folder=str(node.dir))
    if found["secret_check"] != check:
        raise IdentityMismatch(
            f"the folder {node.dir} was made with another cluster secret; put the secret of its cluster into "
            f"{settings.cluster.secret_file} (or FLUFFY_CLUSTER_SECRET), or give this node an empty folder",
            folder=str(node.dir))
    if found.get("removed"):
        raise IdentityMismatch(str(found["removed"]), folder=str(node.dir))
    cluster_uuid = found["cluster_uuid"]
    return Identity(node.name, DiskUuid(found["disk_uuid"]), ClusterUuid(cluster_uuid) if cluster_uuid else None,
                    found.get("has_log") is True)


def refuse_lost_log(node_dir: Path, identity: Identity) -> None:
    """Raises IdentityMismatch for a node whose log was in its folder and is not any more: it has forgotten its votes.

    A machine that was just admitted belongs to a cluster and has no log yet.
    """
    if identity.has_log and not any((node_dir / "log").glob("*.seg")):
        name = identity.name
        raise IdentityMismatch(
            f"the log of node {name} is gone from {node_dir}, and with it what the node has voted; it must not go on "
            f"as the same member. Its chunks are still good. Say 'fluffy admin reset-node {name}'; then, while other "
            f"nodes live, 'recover {name}' and 'server.py {name} --join HOST:PORT'; when all nodes have lost their "
            f"logs, reset all, start them, and say 'fluffy admin restore --from-storage' or "
            f"'fluffy admin restore FILE'",
            folder=str(node_dir))


def record_log(node_dir: Path, identity: Identity) -> None:
    """Note that a log was begun, before anything is promised in it."""
    if not identity.has_log:
        path = node_dir / IDENTITY_NAME
        _write(path, _read(path) | {"has_log": True})


def forget_cluster(settings: Settings, node: NodeSettings, secret: bytes) -> None:
    """Make the folder that of a newcomer: a new disk UUID, no cluster. What it holds stays."""
    _write_newcomer(settings, node, secret_check(secret))


def rebind(node_dir: Path, cluster_uuid: ClusterUuid) -> None:
    """The cluster has another UUID from now on: its members of before are strangers."""
    path = node_dir / IDENTITY_NAME
    _write(path, _read(path) | {"cluster_uuid": cluster_uuid})


def _write_newcomer(settings: Settings, node: NodeSettings, check: str) -> None:
    _write(node.dir / IDENTITY_NAME, {
        "format": FORMAT, "name": node.name, "disk_uuid": new_disk_uuid(), "cluster_uuid": None,
        "cluster": settings.cluster.name, "secret_check": check})


def record_cluster_uuid(node_dir: Path, cluster_uuid: ClusterUuid) -> None:
    """Bind the folder to its cluster for good; called by the log process once genesis is applied.

    Repeating is harmless. Raises IdentityMismatch when the folder is already bound to another cluster.
    """
    path = node_dir / IDENTITY_NAME
    found = _read(path)
    if found["cluster_uuid"] == cluster_uuid:
        return
    if found["cluster_uuid"] is not None:
        raise IdentityMismatch(
            f"the folder {node_dir} belongs to the cluster with UUID {found['cluster_uuid']}, but the log here says "
            f"{cluster_uuid}; give this node its own folder, or an empty one and admit it again", folder=str(node_dir))
    _write(path, found | {"cluster_uuid": cluster_uuid})


def record_removal(node_dir: Path, reason: str) -> None:
    """The cluster has let this disk go for good: it does not start again. `reason` is the sentence that says so."""
    path = node_dir / IDENTITY_NAME
    _write(path, _read(path) | {"removed": reason})


def read_disk_uuid(node_dir: Path) -> DiskUuid:
    """Of a folder whose identity was checked before."""
    return DiskUuid(_read(node_dir / IDENTITY_NAME)["disk_uuid"])


def secret_check(secret: bytes) -> str:
    """Tells two secrets apart without telling either: a keyed one-way value of 256 random bits."""
    return blake3(secret, derive_key_context=_CHECK_CONTEXT).hexdigest(_CHECK_BYTES)


def _refuse_orphaned_folder(folder: Path) -> None:
    left = [trace for trace in _TRACES_OF_LIFE if os.path.lexists(folder / trace)]
    if left:
        raise IdentityMismatch(
            f"the folder {folder} holds a node's data ({', '.join(left)}) but no {IDENTITY_NAME}, so nobody knows "
            f"whose it is; bring {IDENTITY_NAME} back, or move the folder away and start with an empty one, or let it "
            f"be a newcomer's that keeps its chunks: fluffy admin reset-node NAME", folder=str(folder))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_FILE_BYTES_MAX))
    except OSError as error:
        raise IdentityMismatch(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise IdentityMismatch(_damaged(path)) from error
    if not isinstance(found, dict):
        raise IdentityMismatch(_damaged(path))
    if isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise IdentityMismatch(f"{path} was written by a newer version of Fluffy (format {found['format']}; this one "
                               f"reads up to {FORMAT}); install that version")
    texts = ("name", "disk_uuid", "cluster", "secret_check")
    if found.get("format") != FORMAT or not all(isinstance(found.get(key), str) for key in texts) \
            or not isinstance(found.get("cluster_uuid"), str | None):
        raise IdentityMismatch(_damaged(path))
    return found


def _damaged(path: Path) -> str:
    return (f"{path} is damaged; bring it back from a copy, or move the node's folder away and start with an empty one "
            f"(which is then a new member)")


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".json.tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(path.parent)
