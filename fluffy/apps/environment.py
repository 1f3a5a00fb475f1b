"""The configuration as environment variables, for containers: every key of config.yaml has a name, made by one rule.

`cluster.repair.mode` is FLUFFY_CLUSTER_REPAIR_MODE: section and keys, in capitals, joined by `_`. So for `cluster`,
`supernode` and `tls`; the environment wins over the file. The nodes, whose names no variable can have, stand in one:

    FLUFFY_NODES="one=10.0.0.1 two=10.0.0.2 three=10.0.0.3"      NAME=HOST[:HTTP[:RAFT[:DATA[:S3]]]][@ZONE]

and the clusters of a supernode in FLUFFY_SUPERNODE_CLUSTERS="alpha=http://10.0.0.1:7101,http://10.0.0.2:7101". With
FLUFFY_NODES or FLUFFY_SUPERNODE_HTTP no file is needed at all. The values become a tree as a file would, so they are
checked and refused alike, by the name of their variable; a variable under one of these names that means nothing too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import yaml

from fluffy.apps.config_tree import nearest
from fluffy.base.errors import ConfigIllegal

NODES = "FLUFFY_NODES"
CLUSTERS = "FLUFFY_SUPERNODE_CLUSTERS"
# One node for each machine or container: the ports of the first node of a local cluster.
PORTS = (("http", "7101"), ("raft", "7201"), ("data", "7301"), ("s3", "7401"))
# Secrets, which are no keys of the configuration but begin like one.
SECRETS = ("FLUFFY_CLUSTER_SECRET",)
_PREFIXES = ("FLUFFY_CLUSTER_", "FLUFFY_SUPERNODE_", "FLUFFY_TLS_")
_OTHERS = (*SECRETS, "FLUFFY_SUPERNODE_TOKEN", CLUSTERS)
_LISTS = ("supernodes", "peers")

Tree = dict[str, "str | Tree"]


def is_complete(environ: Mapping[str, str]) -> bool:
    """Whether the environment names nodes or a supernode, so that no file is needed."""
    return bool(environ.get(NODES) or environ.get("FLUFFY_SUPERNODE_HTTP"))


def variable_of(path: str) -> str:
    """The variable of a key: `cluster.repair.mode` -> FLUFFY_CLUSTER_REPAIR_MODE."""
    return "FLUFFY_" + path.replace(".", "_").upper()


def with_environment(root: yaml.MappingNode, environ: Mapping[str, str], keys: Iterable[str]) -> yaml.MappingNode:
    """The tree of a file with what the environment says laid over it. `keys`: all that have a variable.

    Raises ConfigIllegal for a variable that looks like one and is none.
    """
    known = {variable_of(key): key for key in keys}
    for name in sorted(environ):
        if name.startswith(_PREFIXES) and name not in known and name not in _OTHERS:
            hint = nearest(name, tuple(known))
            raise ConfigIllegal(f"{name} in the environment is no key of the configuration{hint}")
    for name, key in known.items():
        if environ.get(name):
            _lay(root, name, key.split("."), _value(name, key, environ[name]))
    if environ.get(NODES):
        for name, part in _nodes(environ[NODES]).items():
            for key, text in part.items():
                _lay(root, NODES, ["nodes", name, key], _scalar(NODES, text))
    if environ.get(CLUSTERS):
        for name, peers in _pairs(CLUSTERS, environ[CLUSTERS], "NAME=URL,URL").items():
            _lay(root, CLUSTERS, ["supernode", "clusters", name, "peers"], _list(CLUSTERS, peers))
            if not _has(root, ["supernode", "clusters", name, "token_file"]):
                _lay(root, CLUSTERS, ["supernode", "clusters", name, "token_file"],
                     _scalar(CLUSTERS, f"data/{name}.supernode.token"))
    return root


def _nodes(text: str) -> dict[str, dict[str, str]]:
    nodes = {}
    for name, where in _pairs(NODES, text, "NAME=HOST[:HTTP[:RAFT[:DATA[:S3]]]][@ZONE]").items():
        address, _, zone = where.partition("@")
        host, ports = _host_and_ports(address)
        if len(ports) > len(PORTS):
            raise ConfigIllegal(f"{NODES}: {where!r} of node {name} has more than four ports")
        part = {"host": host} | {door: port for (door, default), port in zip(
            PORTS, [*ports, *(default for _, default in PORTS[len(ports):])], strict=True)}
        nodes[name] = part | ({"zone": zone} if zone else {})
    return nodes


def _host_and_ports(address: str) -> tuple[str, list[str]]:
    """`[::1]:7101` has its host in brackets."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, [port for port in rest.split(":") if port]
    host, *ports = address.split(":")
    return host, ports


def _pairs(name: str, text: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise ConfigIllegal(f"{name}: {word[:80]!r} is not like {form}; several stand apart by spaces")
        if key in pairs:
            raise ConfigIllegal(f"{name}: {key} stands there twice")
        pairs[key] = value
    return pairs


def _value(name: str, key: str, text: str) -> yaml.Node:
    return _list(name, text) if key.rpartition(".")[2] in _LISTS else _scalar(name, text)


def _list(name: str, text: str) -> yaml.Node:
    items = [_text(name, item) for item in text.replace(",", " ").split()]
    return yaml.SequenceNode("tag:yaml.org,2002:seq", items, *_marks(name))


def _scalar(name: str, text: str) -> yaml.Node:
    """A value as YAML understands it, so that `true`, `3` and `null` are what they are in the file."""
    tag: str = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return yaml.ScalarNode(tag, text, *_marks(name))


def _text(name: str, text: str) -> yaml.Node:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, *_marks(name))


def _marks(name: str) -> tuple[yaml.Mark, yaml.Mark]:
    """Where it stands, for complaints: the name of the variable."""
    mark = yaml.Mark(name, 0, 0, 0, None, 0)
    return mark, mark


def _lay(root: yaml.MappingNode, name: str, path: list[str], value: yaml.Node) -> None:
    """Put a value into the tree, instead of what is there."""
    for key in path[:-1]:
        below = _find(root, key)
        if not isinstance(below, yaml.MappingNode):
            fresh = yaml.MappingNode("tag:yaml.org,2002:map", [], *_marks(name))
            _set(root, name, key, fresh)
            below = fresh
        root = below
    _set(root, name, path[-1], value)


def _find(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if getattr(name, "value", None) == key), None)


def _has(root: yaml.MappingNode, path: list[str]) -> bool:
    node: yaml.Node | None = root
    for key in path:
        node = _find(node, key) if isinstance(node, yaml.MappingNode) else None
    return node is not None


def _set(node: yaml.MappingNode, name: str, key: str, value: yaml.Node) -> None:
    rest = [pair for pair in node.value if getattr(pair[0], "value", None) != key]
    node.value = [*rest, (_text(name, key), value)]
