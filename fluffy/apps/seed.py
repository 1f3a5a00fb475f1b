"""What a machine that joined was told of the others: `seed.json`, its address book until its own state has caught up.

Written once, when the cluster has admitted this disk. It decides nothing about majorities: who votes is in the log.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from fluffy.apps.cluster_secret import sync_folder
from fluffy.base.errors import IdentityMismatch

SEED_NAME = "seed.json"
_FILE_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class SeedNode:
    name: str
    disk_uuid: str
    host: str
    raft: int


@dataclass(frozen=True, slots=True)
class Seed:
    """`voters`: name -> disk UUID, as the member that was asked had them; `nodes`: all members."""

    voters: dict[str, str]
    nodes: tuple[SeedNode, ...]


def write_seed(node_dir: Path, seed: Seed) -> None:
    path = node_dir / SEED_NAME
    draft = path.with_suffix(".json.tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"voters": seed.voters, "nodes": [asdict(node) for node in seed.nodes]}, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(node_dir)


def read_seed(node_dir: Path) -> Seed | None:
    """None: this node was there from the birth of its cluster. Raises IdentityMismatch for a damaged file."""
    path = node_dir / SEED_NAME
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_FILE_BYTES_MAX))
        nodes = tuple(SeedNode(str(node["name"]), str(node["disk_uuid"]), str(node["host"]), int(node["raft"]))
                      for node in found["nodes"])
        return Seed({str(name): str(disk) for name, disk in found["voters"].items()}, nodes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise IdentityMismatch(f"{path} is damaged; bring it back from a copy, or empty the folder of this node and "
                               "let it join again as a new disk") from error
