"""What `fluffy://` leads to in fsspec: the file system, which finds the cluster and the token as the shell does.

    pandas.read_csv("fluffy://admin/table.csv")
    pandas.read_csv("fluffy://admin/table.csv", storage_options={"peers": "10.0.0.7:7101", "token": "…"})

Peers come from `peers`, `FLUFFY_PEERS`, `config.yaml` with its `iptable.txt`; the token from `token`, `FLUFFY_TOKEN`,
a login, the local cluster's own token. `config` names another configuration file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fluffy.apps.connecting import connect
from fluffy.client.filesystem import FluffyFileSystem as FoundFileSystem
from fluffy.client.os_errors import as_os_errors
from fluffy.client.shell.session import ConnectOptions


class FluffyFileSystem(FoundFileSystem):
    """See `fluffy.client.filesystem`; every storage option may be left out."""

    @classmethod
    def place_of(cls, peers: str | Iterable[str] | None, token: str | None, ca_file: str | None,
                 config: str | None) -> tuple[tuple[str, ...], str | None, Path | None]:
        given = () if not peers else (peers,) if isinstance(peers, str) else tuple(peers)
        if given and token and config is None:
            return given, token, None if ca_file is None else Path(ca_file)
        with as_os_errors():
            file = None if config is None else Path(config)
            found = connect(ConnectOptions(given[0] if given else None, token, file))
        return (tuple(dict.fromkeys((*given, *found.peers))), found.token,
                found.ca_file if ca_file is None else Path(ca_file))
