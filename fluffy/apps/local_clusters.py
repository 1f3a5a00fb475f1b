"""The clusters that this user started on this machine with `fluffy up`: who is admin of one is admin of the others.

A file in the user's state folder lists their configurations. What it leads to is read with the user's own rights each
time: the admin's token of a cluster is found only by who may read its file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from fluffy.apps.local_supernode import supernode_pid
from fluffy.apps.settings import Settings, load
from fluffy.apps.supernode_folder import OPERATOR_NAME, keep_folder
from fluffy.base.errors import ConfigIllegal
from fluffy.client.credentials import user_state_folder
from fluffy.client.shell.session import OtherCluster
from fluffy.wire.iptable import format_host

FILE_NAME = "clusters.json"
# More than a machine holds; beyond it the oldest go.
CLUSTERS_MAX = 50


def note_cluster(environ: Mapping[str, str], config: Path) -> None:
    """Remember that this configuration's cluster was started here; where that cannot be written, nothing is."""
    path = user_state_folder(environ) / FILE_NAME
    lines = [str(config), *(line for line in _read(path) if line != str(config))][:CLUSTERS_MAX]
    if lines == _read(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        draft.write_text(json.dumps(lines, indent=1), encoding="utf-8")
        os.replace(draft, path)
    except OSError:
        return


def local_settings(environ: Mapping[str, str]) -> list[Settings]:
    """The configurations that are still there and can be read."""
    found = []
    for line in _read(user_state_folder(environ) / FILE_NAME):
        try:
            if Path(line).is_file():
                found.append(load(Path(line)))
        except (ConfigIllegal, OSError):
            continue
    return found


def other_clusters(clusters: list[Settings], *, besides: str) -> dict[str, OtherCluster]:
    """Of these the ones whose admin's token may be read, by name."""
    found: dict[str, OtherCluster] = {}
    for settings in clusters:
        token = _token(settings.cluster.admin_token_file)
        if token and settings.cluster.name != besides:
            found.setdefault(settings.cluster.name, OtherCluster(
                tuple(node.url for node in settings.nodes.values()), token, settings.tls.ca))
    return found


def operators(clusters: list[Settings]) -> dict[str, str]:
    """The supernodes of these, by URL, with the tokens of their operators; of several at one URL the one that runs."""
    having = [(settings, settings.supernode, token) for settings in clusters if settings.supernode is not None
              and (token := _token(keep_folder(settings.supernode) / OPERATOR_NAME))]
    found: dict[str, str] = {}
    for settings, supernode, token in sorted(having, key=lambda one: supernode_pid(one[1]) is None):
        scheme = "http" if settings.tls.cert is None else "https"
        found.setdefault(f"{scheme}://{format_host(supernode.host)}:{supernode.http}", token)
    return found


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _read(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [line for line in found if isinstance(line, str)] if isinstance(found, list) else []
