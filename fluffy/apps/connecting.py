"""Where the client finds its peers and its token.

Peers come from the first of these that says anything: `--peer`, `FLUFFY_PEERS`, `config.yaml` with the `iptable.txt`
beside it, an `iptable.txt` alone. The local cluster's admin token is used for the local cluster only: a peer that the
configuration does not know gets the user's own token, never that one. A login that is stored for the cluster goes
before all token files.
"""

from __future__ import annotations

import os
from pathlib import Path

from fluffy.apps.environment import is_complete
from fluffy.apps.local_clusters import local_settings, operators, other_clusters
from fluffy.apps.settings import CONFIG_ENV, CONFIG_NAME, IPTABLE_NAME, Settings, find_config, load
from fluffy.base.errors import ConfigIllegal
from fluffy.client.credentials import PEERS_VARIABLE, TOKEN_VARIABLE, find_token, user_config_folder
from fluffy.client.keepsakes import Logins
from fluffy.client.peers import parse_peer, parse_peers
from fluffy.client.shell.session import Connection, ConnectOptions, OtherCluster
from fluffy.wire.iptable import parse_iptable


def connect(options: ConnectOptions) -> Connection:
    """Find peers and token. Raises ConfigIllegal, QuerySyntax, LocalFileFailed."""
    given = (parse_peer(options.peer),) if options.peer else parse_peers(os.environ.get(PEERS_VARIABLE, ""))
    settings = _settings(options.config, needed=not given)
    known = tuple(node.url for node in settings.nodes.values()) if settings is not None else _iptable_peers()
    is_local = not given or {_same_host(peer) for peer in given} <= {_same_host(peer) for peer in known}
    files: tuple[Path, ...] = ()
    if settings is not None and (is_local or options.config is not None):
        files = (settings.cluster.admin_token_file, settings.path.parent / "admin.token")
    peers = tuple(dict.fromkeys((*given, *known))) if is_local else given
    places = ("--token", TOKEN_VARIABLE, *dict.fromkeys(map(str, files)), str(user_config_folder(os.environ) / "token"))
    login = None if options.token or os.environ.get(TOKEN_VARIABLE) else Logins(os.environ).for_peers(peers)
    token = login.token if login is not None else find_token(options.token, os.environ, files)
    own = settings.cluster.name if settings is not None and is_local else ""
    nearby = local_settings(os.environ)
    stored = {one.cluster_name: OtherCluster(one.peers, one.token) for one in Logins(os.environ).all()
              if one.cluster_name != own and one != login}
    return Connection(peers, token, settings.tls.ca if settings is not None else None, places,
                      login_user=login.user if login is not None else None,
                      others={**other_clusters(nearby, besides=own), **stored},
                      operators=operators([*nearby, *([settings] if settings is not None else [])]))


def _same_host(peer: str) -> str:
    """People write `localhost` for what the configuration calls 127.0.0.1."""
    return peer.replace("//localhost:", "//127.0.0.1:")


def _settings(path: Path | None, *, needed: bool) -> Settings | None:
    """The configuration; None when there is none, or one that nobody needs and nobody can read."""
    if path is None and (find_config() is None or _is_of_iptable_alone()) and not is_complete(os.environ):
        return None
    try:
        return load(path)
    except ConfigIllegal:
        if path is not None or needed:
            raise
        return None


def _is_of_iptable_alone() -> bool:
    """Whether this folder says by an address list alone which cluster is meant; the source tree's own is another."""
    return not os.environ.get(CONFIG_ENV) and not Path(CONFIG_NAME).is_file() and Path(IPTABLE_NAME).is_file()


def _iptable_peers() -> tuple[str, ...]:
    try:
        text = Path(IPTABLE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigIllegal(f"{IPTABLE_NAME} cannot be read: {error}") from error
    return tuple(address.url for address in parse_iptable(text))
