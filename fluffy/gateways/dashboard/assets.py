"""The files of the dashboard: read once, named by a hash over all of them, served with what keeps browsers careful.

The page is asked for each time (it is small); everything else has the hash in its address and is kept for ever. Modules
name each other relatively, so one page never mixes files of two versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from blake3 import blake3

from fluffy.base.errors import FileNotFound
from fluffy.gateways.http.exchange import Answer, Headers

TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
         "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8"}
PAGE = "page.html"
# Nothing from elsewhere, nothing inline. Bootstrap's pictures are data:, previews of PDF and pictures are blob:.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
          "connect-src 'self'; frame-src blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
          "require-trusted-types-for 'script'; trusted-types 'none'")
CAREFUL: Headers = [
    ("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", POLICY), ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin")]
KEPT_S = 365 * 24 * 3600


@cache
def assets() -> Mapping[str, bytes]:
    """All files by name."""
    folder = files("fluffy.gateways.dashboard") / "static"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)
            if file.name.rpartition(".")[2] in TYPES}


@cache
def version() -> str:
    """Changes with any byte of any file."""
    hasher = blake3()
    for name, data in assets().items():
        hasher.update(f"{name} {len(data)}\n".encode() + data)
    return hasher.hexdigest()[:16]


def page(title: str, module: str, if_none_match: str | None) -> Answer:
    """The page of a dashboard that begins with `module`. The links to its files have the version in them."""
    data = assets()[PAGE]
    for mark, text in (("version", version()), ("title", title), ("module", module)):
        data = data.replace(b"{%b}" % mark.encode(), text.encode())
    return _answer(PAGE, data, if_none_match, "no-cache")


def asset(wanted: str, name: str, if_none_match: str | None) -> Answer:
    """A file. Raises FileNotFound. Of another version (while nodes are upgraded) it is ours, and not to be kept."""
    data = assets().get(name)
    if data is None or name.endswith(".html"):
        raise FileNotFound("the dashboard has no such file")
    is_current = wanted == version()
    return _answer(name, data, if_none_match, f"public, max-age={KEPT_S}, immutable" if is_current else "no-cache")


def _answer(name: str, data: bytes, if_none_match: str | None, keep: str) -> Answer:
    tag = f'"{blake3(data).hexdigest()[:24]}"'
    headers: Headers = [("ETag", tag), ("Cache-Control", keep), *CAREFUL]
    if if_none_match is not None and tag in (part.strip() for part in if_none_match.split(",")):
        return Answer(304, headers)
    return Answer(200, [("Content-Type", TYPES[name.rpartition(".")[2]]), *headers], data)
