"""The configuration that `fluffy up` writes for a cluster on this machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fluffy.apps.settings import CONFIG_NAME, IPTABLE_NAME, Settings, find_config, load
from fluffy.base.checks import invariant
from fluffy.base.errors import ConfigIllegal
from fluffy.core.health.membership_plan import VOTERS_MAX
from fluffy.wire.iptable import NODE_NAME

# The first are there at the birth and vote; those behind join it. One machine does not serve more.
NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
invariant(len(NAMES) >= VOTERS_MAX, "every voter that a cluster may have is named")
BASE_PORT = 7000
NODES = 3
CLUSTER = "alpha"
HOST = "127.0.0.1"
# The doors of all nodes stand a hundred apart.
PORTS_PER_DOOR = 100

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
_NODE = ("  {name}: {{host: {host}, http: {http}, raft: {raft}, data: {data}, s3: {s3}, dir: {dir}, zone: {zone}}}")
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

    A new one has at most as many nodes as a cluster may be born with; `add_node` writes the others when it runs.
    Raises ConfigIllegal when an existing one says otherwise.
    """
    found = find_config(of_machine=False) if folder is None else folder / CONFIG_NAME
    if found is not None and found.is_file():
        _check_fits(load(found), wanted)
        return found
    folder = folder or Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG_NAME
    count, base = min(wanted.nodes or NODES, VOTERS_MAX), wanted.base_port or BASE_PORT
    addresses = "".join(f"{NAMES[index]:<8}{HOST}:{base + 101 + index}\n" for index in range(count))
    path.with_name(IPTABLE_NAME).write_text(
        f"# The members of the cluster {wanted.name or CLUSTER}: NAME HOST:HTTP_PORT\n{addresses}", encoding="utf-8")
    _write_checked(path, _config_text(count, base, wanted.name or CLUSTER, wanted.with_supernode))
    return path


def add_node(path: Path, name: str) -> Path:
    """Write one more node into a configuration that `fluffy up` made, and into the address list beside it.

    Its ports follow those of the first node. Raises ConfigIllegal when the file is not such a one.
    """
    settings = load(path)
    if not NODE_NAME.match(name):
        raise ConfigIllegal(f"{name!r} is not a name: use up to 63 letters, digits, - and _, with a letter or "
                            "digit first")
    if name in settings.nodes:
        raise ConfigIllegal(f"{path} has a node {name} already; start it with: fluffy up --node {name}")
    used = {node.http for node in settings.nodes.values()}
    base = next(iter(settings.nodes.values())).http - 101
    index = next(index for index in range(PORTS_PER_DOOR) if base + 101 + index not in used)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    is_node = re.compile(rf"  (?:{'|'.join(map(re.escape, settings.nodes))}):\s*\{{")
    last = max((at for at, line in enumerate(lines) if is_node.match(line)), default=None)
    if last is None:
        raise ConfigIllegal(f"{path} was not written by `fluffy up`: write the line of node {name} into it "
                            f"yourself, then: fluffy up --node {name} --join HOST:PORT")
    folder = os.path.relpath(next(iter(settings.nodes.values())).dir.parent / name, path.parent)
    lines.insert(last + 1, _node_line(name, index, base, folder) + "\n")
    _write_checked(path, "".join(lines))
    iptable = path.with_name(IPTABLE_NAME)
    if iptable.is_file():
        with iptable.open("a", encoding="utf-8") as file:
            file.write(f"{name:<8}{HOST}:{base + 101 + index}\n")
    return path


def _node_line(name: str, index: int, base: int, folder: str | None = None) -> str:
    zone = chr(ord("a") + index) if index < 26 else name
    return _NODE.format(name=name, host=HOST, zone=zone, dir=folder or name, http=base + 101 + index,
                        raft=base + 201 + index, data=base + 301 + index, s3=base + 401 + index)


def _write_checked(path: Path, text: str) -> None:
    """Replace a configuration by one that can be read."""
    draft = path.with_suffix(".yaml.tmp")
    draft.write_text(text, encoding="utf-8")
    try:
        load(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


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
    nodes = "\n".join(_node_line(NAMES[index], index, base) for index in range(count))
    replication = min(3, count)
    peers = ", ".join(f"http://{HOST}:{base + 101 + index}" for index in range(count))
    return _CONFIG.format(
        count=count, name=name, replication=replication, write_quorum=replication // 2 + 1, nodes=nodes,
        # The nodes share this machine's cores.
        workers=max(1, (os.cpu_count() or 1) // 2 // count),
        supernodes=f"http://{HOST}:{base}" if with_supernode else "",
        supernode=_SUPERNODE.format(host=HOST, port=base, name=name, peers=peers) if with_supernode else "")
