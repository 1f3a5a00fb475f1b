"""The configuration that `fluffy up` writes for a cluster on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fluffy.apps.settings import CONFIG_NAME, IPTABLE_NAME, Settings, find_config, load
from fluffy.base.checks import invariant
from fluffy.base.errors import ConfigIllegal
from fluffy.core.health.membership_plan import VOTERS_MAX

NAMES = ("one", "two", "three", "four", "five", "six", "seven")
invariant(len(NAMES) == VOTERS_MAX, "every voter that a cluster may have is named")
BASE_PORT = 7000
NODES = 3
CLUSTER = "alpha"
HOST = "127.0.0.1"

_CONFIG = """\
# Written by `fluffy up`: {count} nodes on this machine. Edit it as you like; `fluffy up` does not write it again.
# Every key is explained in docs/OPERATIONS.md.
cluster:
  name: {name}
  replication: {replication}
  write_quorum: {write_quorum}
  chunk_size: 8MiB
  inline_max: 16KiB
  consistency: strong
  fsync: true
  secret_file: {name}.secret
  admin_token_file: admin.token
  repair: {{mode: balanced, down_after: 10s, grace: 10m}}
  scrub_days: 14
  trash_days: 7
  versions_max: 100
  cache_size: 128MiB
  supernodes: [{supernodes}]
  workers: {workers}
nodes:
{nodes}
{supernode}tls: {{cert: null, key: null, ca: null}}
"""
_NODE = ("  {name}: {{host: {host}, http: {http}, raft: {raft}, data: {data}, s3: {s3}, dir: {name}, zone: {zone}}}")
_SUPERNODE = """\
supernode:
  host: {host}
  http: {port}
  dir: supernode
  catalog: sqlite
  clusters:
    {name}: {{peers: [{peers}], token_file: supernode.token}}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. None: whatever is there, else the default."""

    nodes: int | None
    base_port: int | None
    name: str | None
    with_supernode: bool


def prepare_config(folder: Path | None, wanted: Wanted) -> Path:
    """The configuration to start: an existing one that fits what is wanted, else a new one.

    Raises ConfigIllegal when an existing one says otherwise.
    """
    found = find_config() if folder is None else folder / CONFIG_NAME
    if found is not None and found.is_file():
        _check_fits(load(found), wanted)
        return found
    folder = folder or Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG_NAME
    count, base = wanted.nodes or NODES, wanted.base_port or BASE_PORT
    addresses = "".join(f"{NAMES[index]:<8}{HOST}:{base + 101 + index}\n" for index in range(count))
    path.with_name(IPTABLE_NAME).write_text(
        f"# The members of the cluster {wanted.name or CLUSTER}: NAME HOST:HTTP_PORT\n{addresses}", encoding="utf-8")
    draft = path.with_suffix(".yaml.tmp")
    draft.write_text(_config_text(count, base, wanted.name or CLUSTER, wanted.with_supernode), encoding="utf-8")
    try:
        load(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _check_fits(settings: Settings, wanted: Wanted) -> None:
    file = settings.path
    hint = "; use another --dir for another cluster"
    if wanted.nodes is not None and wanted.nodes != len(settings.nodes):
        raise ConfigIllegal(f"{file} has {len(settings.nodes)} nodes, not {wanted.nodes}{hint}")
    if wanted.name is not None and wanted.name != settings.cluster.name:
        raise ConfigIllegal(f"{file} is the cluster {settings.cluster.name}, not {wanted.name}{hint}")
    first = next(iter(settings.nodes.values()), None)
    if wanted.base_port is not None and first is not None and first.http != wanted.base_port + 101:
        raise ConfigIllegal(f"{file} has its first node on port {first.http}, not {wanted.base_port + 101}{hint}")


def _config_text(count: int, base: int, name: str, with_supernode: bool) -> str:
    nodes = "\n".join(
        _NODE.format(name=NAMES[index], host=HOST, zone=chr(ord("a") + index), http=base + 101 + index,
                     raft=base + 201 + index, data=base + 301 + index, s3=base + 401 + index)
        for index in range(count))
    replication = min(3, count)
    peers = ", ".join(f"http://{HOST}:{base + 101 + index}" for index in range(count))
    return _CONFIG.format(
        count=count, name=name, replication=replication, write_quorum=replication // 2 + 1, nodes=nodes,
        # The nodes share this machine's cores.
        workers=max(1, (os.cpu_count() or 1) // 2 // count),
        supernodes=f"http://{HOST}:{base}" if with_supernode else "",
        supernode=_SUPERNODE.format(host=HOST, port=base, name=name, peers=peers) if with_supernode else "")
