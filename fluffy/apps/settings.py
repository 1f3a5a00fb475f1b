"""What an operator may choose, read once from `config.yaml`, checked, and frozen.

The file beside it, `iptable.txt`, wins for hosts and HTTP ports. `FLUFFY_CONFIG` says where the file is; every key may
be said by the environment instead (environment.py), and so may the secret (`FLUFFY_CLUSTER_SECRET`). Nothing below
`apps` sees these values as a whole: services are given the few they need. docs/OPERATIONS.md tells every key; a test
compares.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from fluffy.apps.cluster_secret import given_admin_token, read_secret
from fluffy.apps.config_tree import Consistency, RepairMode, Section, empty_map, nearest, read_config
from fluffy.apps.environment import is_complete, with_environment
from fluffy.apps.mirror_settings import MirrorSettings, read_mirrors
from fluffy.base.errors import ConfigIllegal
from fluffy.base.ids import NodeName
from fluffy.base.units import KIB, MIB, MINUTE_MS, SECOND_MS, TIB
from fluffy.core.health.membership_plan import VOTERS_MAX
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX
from fluffy.wire.iptable import NODE_NAME, PORT_MAX, Address, check_host, format_host, parse_iptable

CONFIG_ENV = "FLUFFY_CONFIG"
CONFIG_NAME = "config.yaml"
# Of a machine that is set up as docs/OPERATIONS.md tells.
MACHINE_CONFIG = Path("/etc/fluffy/config.yaml")
IPTABLE_NAME = "iptable.txt"
REPLICATION_MAX = 5
# An inlined file travels through the log in a command: far below the 1 MiB group, so that one cannot fill it.
INLINE_BYTES_MAX = 64 * KIB
WORKERS_MAX = 64
PEERS_MAX = 64

TOP_KEYS = ("cluster", "nodes", "supernode", "tls")
CLUSTER_KEYS = (
    "name", "replication", "write_quorum", "chunk_size", "inline_max", "consistency", "fsync", "secret_file",
    "admin_token_file", "repair", "scrub_days", "trash_days", "versions_max", "cache_size", "supernodes", "workers",
    "election", "checkpoint", "s3_domain")
REPAIR_KEYS = ("mode", "down_after", "grace")
CHECKPOINT_KEYS = ("entries", "every")
NODE_KEYS = ("host", "http", "raft", "data", "s3", "dir", "zone")
SUPERNODE_KEYS = ("host", "http", "dir", "catalog", "cache_size", "clusters", "mirrors")
SUPERNODE_CLUSTER_KEYS = ("peers", "token_file")
TLS_KEYS = ("cert", "key", "ca")
# All that have a variable of the environment by rule; nodes and a supernode's clusters have one for all.
ENVIRONMENT_KEYS = (
    *(f"cluster.{key}" for key in CLUSTER_KEYS if key not in ("repair", "checkpoint")),
    *(f"cluster.repair.{key}" for key in REPAIR_KEYS), *(f"cluster.checkpoint.{key}" for key in CHECKPOINT_KEYS),
    *(f"supernode.{key}" for key in SUPERNODE_KEYS if key not in ("clusters", "mirrors")),
    *(f"tls.{key}" for key in TLS_KEYS))


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The same on every node of a cluster, except `cache_size` and `workers`, which each machine may choose."""

    name: str
    replication: int  # copies of each chunk
    write_quorum: int  # copies that are on disk before an upload is acknowledged
    chunk_size: int  # bytes
    inline_max: int  # bytes; smaller files live in the metadata
    consistency: Consistency
    fsync: bool
    secret_file: Path
    admin_token_file: Path
    repair_mode: RepairMode
    down_after_ms: int
    grace_ms: int
    scrub_days: int
    trash_days: int
    versions_max: int
    cache_size: int  # bytes, per node
    supernodes: tuple[str, ...]  # URLs
    workers: int  # gateway processes per node
    election_ms: int  # a follower that hears nothing for this long (to twice this long) stands for election
    checkpoint_entries: int  # log entries after which a checkpoint is made
    checkpoint_every_ms: int  # time after which one is made, when anything happened
    s3_domain: str  # lower case: the host BUCKET.s3_domain names a bucket


@dataclass(frozen=True, slots=True)
class NodeSettings:
    name: NodeName
    host: str
    http: int
    raft: int
    data: int
    s3: int | None  # None: this node has no S3 door
    dir: Path
    zone: str
    scheme: Literal["http", "https"]

    @property
    def url(self) -> str:
        return f"{self.scheme}://{format_host(self.host)}:{self.http}"


@dataclass(frozen=True, slots=True)
class FederatedCluster:
    name: str
    peers: tuple[str, ...]
    token_file: Path


@dataclass(frozen=True, slots=True)
class SupernodeSettings:
    host: str
    http: int
    dir: Path
    catalog: str  # "sqlite" or a postgresql:// URL
    cache_size: int  # bytes of files that passed through
    clusters: tuple[FederatedCluster, ...]
    mirrors: tuple[MirrorSettings, ...]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Of the doors that people and programs use. No `cert`: plain HTTP. No `ca`: the system's authorities."""

    cert: Path | None
    key: Path | None
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    path: Path  # the file they were read from, absolute; relative names are relative to its folder
    cluster: ClusterSettings
    nodes: Mapping[NodeName, NodeSettings]  # in the order of the file; empty in a supernode's own config
    supernode: SupernodeSettings | None  # None: this config names no supernode
    tls: TlsSettings
    from_file: bool = True  # False: there is no file, and the environment says all

    def node(self, name: str) -> NodeSettings:
        """The node's part. Raises ConfigIllegal naming the nodes there are."""
        found = self.nodes.get(NodeName(name))
        if found is None:
            raise ConfigIllegal(f"{self.path.name} has no node {name!r}{nearest(name, tuple(self.nodes))}")
        return found

    def secret(self, create: bool = False) -> bytes:
        """The cluster's 32 secret bytes. Raises ConfigIllegal when there are none and `create` is not set."""
        return read_secret(self.cluster.secret_file, create=create)


def find_config(*, of_machine: bool = True) -> Path | None:
    """Where the configuration is when nobody says: FLUFFY_CONFIG, ./config.yaml, the source tree's own, that of the
    machine (if it is wanted, and may be read); else None.

    None, too, when the environment says all that a configuration must say.
    """
    named = os.environ.get(CONFIG_ENV)
    if named:
        return Path(named)
    here = Path(CONFIG_NAME)
    if here.is_file():
        return here
    if is_complete(os.environ):
        return None
    source_tree = Path(__file__).resolve().parents[2] / CONFIG_NAME
    if source_tree.is_file():
        return source_tree
    return MACHINE_CONFIG if of_machine and os.access(MACHINE_CONFIG, os.R_OK) else None


def load(path: Path | None = None) -> Settings:
    """Read and check everything. Raises ConfigIllegal: one sentence, with file and line."""
    path = path or find_config()
    from_file = path is not None
    if path is None:
        if not is_complete(os.environ):
            raise ConfigIllegal("there is no config.yaml here; name one with --config FILE or FLUFFY_CONFIG, or make a "
                                "cluster with: fluffy up --dir DIR")
        path = Path("the environment")
    path = Path(os.path.abspath(path))
    tree = read_config(path) if from_file else empty_map(1)
    top = Section(path, "", with_environment(tree, os.environ, ENVIRONMENT_KEYS), TOP_KEYS)
    if not top.has("cluster"):
        raise ConfigIllegal(f"{path.name}: the section cluster is missing")
    tls = _tls(top, path.parent)
    nodes = _apply_iptable(path.with_name(IPTABLE_NAME), _nodes(top, path.parent, "https" if tls.cert else "http"))
    supernode = _supernode(top, path.parent)
    settings = Settings(path, _cluster(top, path.parent), MappingProxyType(nodes), supernode, tls, from_file)
    _check_relations(settings, top)
    return settings


def check_for_birth(settings: Settings) -> None:
    """Whether a cluster may be born with these nodes. Afterwards a configuration may name fewer or more: members come
    and go, and a machine that joins need know only itself. Raises ConfigIllegal.
    """
    given_admin_token()
    count, wanted, file = len(settings.nodes), settings.cluster.replication, settings.path.name
    if wanted > count:
        raise ConfigIllegal(f"{file}: cluster.replication: {wanted} copies need as many nodes, but there are {count}; "
                            f"add nodes or set replication: {count}; or let this node join a cluster that is there: "
                            "--join HOST:PORT")
    if count > VOTERS_MAX:
        raise ConfigIllegal(f"{file}: {count} nodes; a cluster starts with at most {VOTERS_MAX}, and more can join it")


def _cluster(top: Section, folder: Path) -> ClusterSettings:
    part = top.section("cluster", CLUSTER_KEYS)
    repair = part.section("repair", REPAIR_KEYS)
    checkpoint = part.section("checkpoint", CHECKPOINT_KEYS)
    name = _name(part, part.text("name"), "name")
    secret_file = folder / part.text("secret_file", f"data/{name}.secret")
    token_default = str(secret_file.with_suffix(".admin.token"))
    replication = part.integer("replication", 3, at_least=1, at_most=REPLICATION_MAX)
    return ClusterSettings(
        name=name,
        replication=replication,
        write_quorum=part.integer("write_quorum", replication // 2 + 1, at_least=1, at_most=REPLICATION_MAX),
        chunk_size=part.size("chunk_size", 8 * MIB, at_least=64 * KIB, at_most=CHUNK_PAYLOAD_BYTES_MAX),
        inline_max=part.size("inline_max", 16 * KIB, at_least=0, at_most=INLINE_BYTES_MAX),
        consistency=part.choice("consistency", ("strong", "local"), "strong"),
        fsync=part.flag("fsync", True),
        secret_file=secret_file,
        admin_token_file=folder / part.text("admin_token_file", token_default),
        repair_mode=repair.choice("mode", ("quiet", "balanced", "fast"), "balanced"),
        down_after_ms=repair.duration_ms("down_after", 10 * SECOND_MS, at_least="1s", at_most="1h"),
        grace_ms=repair.duration_ms("grace", 10 * MINUTE_MS, at_least="0s", at_most="30d"),
        scrub_days=part.integer("scrub_days", 14, at_least=1, at_most=3650),
        trash_days=part.integer("trash_days", 7, at_least=0, at_most=3650),
        versions_max=part.integer("versions_max", 100, at_least=1, at_most=100_000),
        cache_size=part.size("cache_size", 128 * MIB, at_least=0, at_most=1 * TIB),
        supernodes=_urls(part, "supernodes"),
        workers=part.integer("workers", max(1, (os.cpu_count() or 1) // 2), at_least=1, at_most=WORKERS_MAX),
        election_ms=part.duration_ms("election", 600, at_least="100ms", at_most="60s"),
        checkpoint_entries=checkpoint.integer("entries", 100_000, at_least=100, at_most=100_000_000),
        checkpoint_every_ms=checkpoint.duration_ms("every", 60 * MINUTE_MS, at_least="1s", at_most="30d"),
        s3_domain=_domain(part, "s3_domain"),
    )


def _domain(part: Section, key: str) -> str:
    text = part.text(key, "localhost").lower().strip(".")
    if not text or any(not label or not label.replace("-", "").isalnum() for label in text.split(".")):
        part.fail(key, f"{text!r} is no name of a domain, like s3.example.org")
    return text


def _nodes(top: Section, folder: Path, scheme: Literal["http", "https"]) -> dict[NodeName, NodeSettings]:
    part = top.section("nodes", None)
    nodes: dict[NodeName, NodeSettings] = {}
    for name in part.keys:
        _name(part, name, name)
        one = part.section(name, NODE_KEYS)
        host = one.text("host")
        check_host(host, one.where("host"))
        nodes[NodeName(name)] = NodeSettings(
            name=NodeName(name),
            host=host,
            http=_port(one, "http"),
            raft=_port(one, "raft"),
            data=_port(one, "data"),
            s3=_port(one, "s3") if one.has("s3") else None,
            dir=folder / one.text("dir", f"data/{name}"),
            zone=one.text("zone", name),
            scheme=scheme,
        )
    return nodes


def _supernode(top: Section, folder: Path) -> SupernodeSettings | None:
    if not top.has("supernode"):
        return None
    part = top.section("supernode", SUPERNODE_KEYS)
    host = part.text("host")
    check_host(host, part.where("host"))
    catalog = part.text("catalog", "sqlite")
    if catalog != "sqlite" and not catalog.startswith("postgresql://"):
        part.fail("catalog", f"{catalog!r} is neither sqlite nor a URL like postgresql://user@host/db")
    federated = part.section("clusters", None)
    clusters = []
    for name in federated.keys:
        one = federated.section(name, SUPERNODE_CLUSTER_KEYS)
        peers = _urls(one, "peers")
        if not peers:
            one.fail("peers", "name at least one peer of the cluster")
        clusters.append(FederatedCluster(name, peers, folder / one.text("token_file")))
    return SupernodeSettings(host, _port(part, "http"), folder / part.text("dir", "data/supernode"), catalog,
                             part.size("cache_size", 128 * MIB, at_least=0, at_most=1 * TIB), tuple(clusters),
                             read_mirrors(part, folder))


def _tls(top: Section, folder: Path) -> TlsSettings:
    part = top.section("tls", TLS_KEYS)
    files = {key: folder / part.text(key) if part.has(key) else None for key in TLS_KEYS}
    for key, file in files.items():
        if file is not None and not file.is_file():
            part.fail(key, f"the file {file} does not exist")
    if (files["cert"] is None) != (files["key"] is None):
        part.fail(None, "cert and key go together: name both, or neither")
    return TlsSettings(files["cert"], files["key"], files["ca"])


def _apply_iptable(path: Path, nodes: dict[NodeName, NodeSettings]) -> dict[NodeName, NodeSettings]:
    """Hosts and HTTP ports from iptable.txt: by name; lines without a name fit the remaining nodes in order."""
    if not nodes or not path.is_file():
        return nodes
    try:
        addresses = parse_iptable(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigIllegal(f"{path} cannot be read: {error}") from error
    taken: dict[NodeName, Address] = {}
    for address in addresses:
        if address.name is not None:
            if address.name not in nodes:
                raise ConfigIllegal(f"{path.name} line {address.line}: the configuration has no node "
                                    f"{address.name!r}{nearest(address.name, tuple(nodes))}")
            taken[NodeName(address.name)] = address
    unnamed = [address for address in addresses if address.name is None]
    taken.update(_match_unnamed(path, unnamed, [node for node in nodes.values() if node.name not in taken]))
    return {name: replace(node, host=taken[name].host, http=taken[name].port) if name in taken else node
            for name, node in nodes.items()}


def _match_unnamed(path: Path, unnamed: list[Address], free: list[NodeSettings]) -> dict[NodeName, Address]:
    by_address = {(node.host, node.http): node.name for node in free}
    matched = {by_address[(a.host, a.port)]: a for a in unnamed if (a.host, a.port) in by_address}
    rest = [a for a in unnamed if (a.host, a.port) not in by_address]
    left = [node.name for node in free if node.name not in matched]
    if rest and len(rest) != len(left):
        raise ConfigIllegal(
            f"{path.name} line {rest[0].line}: it is not clear which node has this address, because {len(rest)} "
            f"addresses without a name are left for {len(left)} nodes; write NAME HOST:PORT")
    matched.update(zip(left, rest, strict=False))
    return matched


def _check_relations(settings: Settings, top: Section) -> None:
    cluster, part = settings.cluster, top.section("cluster", CLUSTER_KEYS)
    if cluster.write_quorum > cluster.replication:
        part.fail("write_quorum", f"{cluster.write_quorum} copies cannot be waited for when replication makes only "
                                  f"{cluster.replication}")
    if cluster.chunk_size % (4 * KIB):
        part.fail("chunk_size", "must be a multiple of 4KiB, the block that disks write at once")
    if cluster.inline_max >= cluster.chunk_size:
        part.fail("inline_max", "must be smaller than chunk_size: a body that fills the first chunk goes on")
    if cluster.cache_size and cluster.cache_size < cluster.chunk_size:
        part.fail("cache_size", "is smaller than one chunk (chunk_size), so nothing would ever fit; use 0 for none")
    if not settings.nodes and settings.supernode is None:
        top.fail(None, "names neither nodes nor a supernode")
    _check_ports(settings, top)
    _check_folders(settings, top)


def _check_ports(settings: Settings, top: Section) -> None:
    seen: dict[tuple[str, int], str] = {}
    doors = [(f"nodes.{node.name}.{door}", node.host, port)
             for node in settings.nodes.values()
             for door, port in (("http", node.http), ("raft", node.raft), ("data", node.data), ("s3", node.s3))
             if port is not None]
    if settings.supernode is not None:
        doors.append(("supernode.http", settings.supernode.host, settings.supernode.http))
    for said, host, port in doors:
        key = ("127.0.0.1" if host == "localhost" else host, port)
        if key in seen:
            raise ConfigIllegal(f"{top.source.name}: {said} and {seen[key]} are both "
                                f"{format_host(host)}:{port}; every door needs its own port")
        seen[key] = said


def _check_folders(settings: Settings, top: Section) -> None:
    folders = [(f"nodes.{node.name}.dir", Path(os.path.normpath(node.dir))) for node in settings.nodes.values()]
    if settings.supernode is not None:
        folders.append(("supernode.dir", Path(os.path.normpath(settings.supernode.dir))))
    for index, (said, folder) in enumerate(folders):
        for other_said, other in folders[:index]:
            if folder == other or folder in other.parents or other in folder.parents:
                raise ConfigIllegal(f"{top.source.name}: {said} ({folder}) and {other_said} ({other}) overlap; "
                                    "every node needs a folder of its own")


def _port(part: Section, key: str) -> int:
    return part.integer(key, at_least=1, at_most=PORT_MAX)


def _name(part: Section, name: str, key: str) -> str:
    if not NODE_NAME.match(name):
        part.fail(key, f"{name!r} is not a name: use up to 63 letters, digits, - and _, with a letter or digit first")
    return name


def _urls(part: Section, key: str) -> tuple[str, ...]:
    urls = part.texts(key)
    if len(urls) > PEERS_MAX:
        part.fail(key, f"{len(urls)} addresses; at most {PEERS_MAX} are used")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            part.fail(key, f"{url!r} is not a URL: write http://HOST:PORT")
    return tuple(url.rstrip("/") for url in urls)


