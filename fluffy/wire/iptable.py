"""The address list of a cluster: `iptable.txt`.

One member a line, `HOST:HTTP_PORT` or `NAME HOST:HTTP_PORT`; `#` starts a comment, empty lines count for nothing. It is
what a client or a new machine needs to find a cluster: one living member tells the rest. IPv6 hosts stand in brackets,
as in a URL. Every complaint names the line, because such files are edited by hand and in a hurry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fluffy.base.errors import ConfigIllegal

# A cluster has at most a few dozen members; far more lines than that is some other file.
LINES_MAX = 1000
PORT_MAX = 65_535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})\Z", re.ASCII)
_HOST_IPV6 = re.compile(r"[0-9A-Fa-f:.%A-Za-z_-]{2,64}\Z", re.ASCII)
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """One line. `name` is None when the line gives an address only. `host` is without brackets."""

    name: str | None
    host: str
    port: int
    line: int

    @property
    def url(self) -> str:
        return f"http://{format_host(self.host)}:{self.port}"


def parse_iptable(text: str, source: str = "iptable.txt") -> tuple[Address, ...]:
    """All addresses, in the order of the file. Raises ConfigIllegal naming `source` and the line."""
    lines = text.removeprefix("\ufeff").splitlines()
    if len(lines) > LINES_MAX:
        raise ConfigIllegal(f"{source} has {len(lines)} lines; at most {LINES_MAX} are read. Is it the right file?")
    found: list[Address] = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if words:
            found.append(_parse_line(words, f"{source} line {number}", number))
    _check_distinct(found, source)
    return tuple(found)


def parse_address(text: str, where: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT` or `[IPV6]:PORT`. Raises ConfigIllegal beginning with `where`."""
    host, colon, port_text = text.rpartition(":")
    if not colon or not host:
        raise ConfigIllegal(f"{where}: {text!r} is not an address: write HOST:PORT, like 127.0.0.1:7101")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigIllegal(f"{where}: {text!r} is not an address: an IPv6 host stands in brackets, like [::1]:7101")
    check_host(host, where)
    if not port_text.isascii() or not port_text.isdigit() or not 1 <= int(port_text[:6]) <= PORT_MAX:
        raise ConfigIllegal(f"{where}: {port_text!r} is not a port: write a number from 1 to {PORT_MAX}")
    return host, int(port_text)


def check_host(host: str, where: str) -> None:
    """Raises ConfigIllegal unless `host` is a name, an IPv4 or an IPv6 address (without brackets)."""
    good = _HOST_IPV6.match(host) if ":" in host else _HOST.match(host)
    if not good:
        raise ConfigIllegal(f"{where}: {host!r} is not a host: write a name or an IP address, like 127.0.0.1")


def format_host(host: str) -> str:
    """The host as it stands in a URL or before `:PORT`."""
    return f"[{host}]" if ":" in host else host


def _parse_line(words: list[str], where: str, number: int) -> Address:
    if len(words) > 2:
        raise ConfigIllegal(f"{where}: too many words: write HOST:PORT or NAME HOST:PORT")
    name = words[0] if len(words) == 2 else None
    if name is not None and not NODE_NAME.match(name):
        raise ConfigIllegal(f"{where}: {name!r} is not a node name: use letters, digits, - and _")
    host, port = parse_address(words[-1], where)
    return Address(name, host, port, number)


def _check_distinct(addresses: list[Address], source: str) -> None:
    seen: dict[object, int] = {}
    for address in addresses:
        keys: list[object] = [(address.host, address.port)]
        if address.name is not None:
            keys.append(address.name)
        for key in keys:
            if key in seen:
                what = f"the name {key}" if isinstance(key, str) else f"{format_host(address.host)}:{address.port}"
                raise ConfigIllegal(f"{source} line {address.line}: {what} already stands in line {seen[key]}")
            seen[key] = address.line
