"""Which peers of the cluster a client knows, and in which order it asks them.

Any peer serves any request, so a client keeps talking to one (`current`) while that one answers, and goes to the
next when it does not. A peer that failed is asked last for a while, not never: it may be the only one left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fluffy.base.errors import QuerySyntax
from fluffy.wire.iptable import format_host

# A dead peer costs every request a failed connection: longer than a user's burst of commands, shorter than a restart.
DOWN_FOR_S = 5.0
# More peers than a cluster has machines that serve users; a bound for what a peer may teach us.
PEERS_MAX = 64


def parse_peer(text: str) -> str:
    """`127.0.0.1:7101` or `https://host:7101/` -> `http://127.0.0.1:7101`. Raises QuerySyntax with what is wrong."""
    stripped = text.strip().rstrip("/")
    url = stripped if "://" in stripped else f"http://{stripped}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise QuerySyntax(f"{text!r} is not the address of a peer: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or parts.path or parts.query:
        raise QuerySyntax(f"{text!r} is not the address of a peer: write HOST:PORT or http://HOST:PORT")
    if parts.username or parts.password:
        raise QuerySyntax("the address of a peer carries no user name or password; the token is given apart")
    return url


def parse_peers(text: str) -> tuple[str, ...]:
    """The value of FLUFFY_PEERS: addresses separated by commas or spaces."""
    return tuple(parse_peer(word) for word in text.replace(",", " ").split())


def peers_in_nodes(document: Mapping[str, Any], like: str) -> tuple[str, ...]:
    """The addresses in an answer of `/v1/nodes`, with the scheme of the peer (`like`) that gave it.

    Lines that name no usable address are left out: they are another machine's words.
    """
    scheme = urlsplit(like).scheme
    found: list[str] = []
    nodes = document.get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        if not isinstance(node, dict):
            continue
        host, port = node.get("host"), node.get("http")
        if isinstance(host, str) and host and isinstance(port, int) and 0 < port < 65536:
            found.append(f"{scheme}://{format_host(host)}:{port}")
    return tuple(found[:PEERS_MAX])


class PeerList:
    """The known peers of one client. Not for several threads: lives on the client's loop."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls: list[str] = []
        self._down_until: dict[str, float] = {}
        self._current = ""
        self.learn(urls)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._urls)

    @property
    def current(self) -> str:
        """The peer that is asked first; empty when none is known."""
        return self._current

    def learn(self, urls: Iterable[str]) -> None:
        """Add peers at the end of the list; the ones the user gave stay in front."""
        for url in urls:
            if url not in self._urls and len(self._urls) < PEERS_MAX:
                self._urls.append(url)
        if self._urls and not self._current:
            self._current = self._urls[0]

    def prefer(self, url: str) -> None:
        """Ask `url` first from now on."""
        self.learn((url,))
        self._current = url
        self._down_until.pop(url, None)

    def failed(self, url: str, now_s: float) -> None:
        self._down_until[url] = now_s + DOWN_FOR_S

    def answered(self, url: str) -> None:
        self._down_until.pop(url, None)
        self._current = url

    def order(self, now_s: float) -> list[str]:
        """All peers, best first: the current one, the others as listed, then those that failed lately."""
        start = self._urls.index(self._current) if self._current in self._urls else 0
        turned = self._urls[start:] + self._urls[:start]
        return sorted(turned, key=lambda url: self._down_until.get(url, 0.0) > now_s)
