"""Headers of HTTP that are kept with a file: Cache-Control and its like, said when it was put, said again to readers.

They come as `Fluffy-Header-NAME`, because what a request says of itself under the plain names (a browser's
`Cache-Control: no-cache`) is not about the file. The S3 door takes the plain names, as S3 does, and keeps them alike.

Who reads here has shown a credential, so no cache that many people share may keep the answer, whatever was said. A
file that was put packed (`Content-Encoding: gzip`) is told to be so only to readers who say that they unpack it: to
others it is the bytes that were put, and every hash speaks of those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fluffy.base.errors import QuerySyntax, TooLarge
from fluffy.core.metadata.own_meta import KEPT_BYTES_MAX, KEPT_HEADERS, OWN, headers
from fluffy.gateways.http.exchange import Headers

PREFIX = "fluffy-header-"
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NAMES = ", ".join(KEPT_HEADERS)


def kept_of(call_headers: Mapping[str, str]) -> dict[str, str]:
    """What a put says in headers, as a version's metadata keeps it. Raises QuerySyntax, TooLarge."""
    return checked_headers({name[len(PREFIX):]: text for name, text in call_headers.items() if name.startswith(PREFIX)})


def checked_headers(said: Mapping[str, str]) -> dict[str, str]:
    """The same of JSON. Raises QuerySyntax, TooLarge."""
    kept: dict[str, str] = {}
    for name, text in said.items():
        key = name.lower()
        if key not in KEPT_HEADERS or OWN + key in kept:
            raise QuerySyntax(f"the header {name[:60]!r} is not kept with a file; these are, each once: {_NAMES}")
        if _CONTROLS.search(text) is not None:
            raise QuerySyntax(f"the header {name[:60]} has a control character")
        if text.strip():
            kept[OWN + key] = text.strip()
    try:
        size = sum(len(text.encode()) for text in kept.values())
    except UnicodeEncodeError as error:
        raise QuerySyntax("a header that is to be kept is not valid UTF-8") from error
    if size > KEPT_BYTES_MAX:
        raise TooLarge(f"the headers that are kept with a file have at most {KEPT_BYTES_MAX} bytes together",
                       bytes_max=KEPT_BYTES_MAX)
    return kept


def shown_to_all(meta: dict[str, str]) -> Headers:
    """Those that every answer about the version has."""
    said = headers(meta)
    shown: Headers = []
    if "cache-control" in said or "expires" in said:
        shown.append(("Cache-Control", private_cache(said.get("cache-control", ""))))
    if "expires" in said:
        shown.append(("Expires", said["expires"]))
    if "content-language" in said:
        shown.append(("Content-Language", said["content-language"]))
    if "content-encoding" in said:
        shown.append(("Vary", "Accept-Encoding"))
    return shown


def shown_to(meta: dict[str, str], accepted: str) -> Headers:
    """Those that depend on who asks. `accepted`: the Accept-Encoding header; empty: there is none."""
    said = headers(meta)
    shown: Headers = []
    if "content-disposition" in said:
        shown.append(("Content-Disposition", said["content-disposition"]))
    if "content-encoding" in said and accepted and _unpacks(accepted, said["content-encoding"]):
        shown.append(("Content-Encoding", said["content-encoding"]))
    return shown


def private_cache(text: str) -> str:
    """A Cache-Control that lets nobody but the reader's own cache keep the answer."""
    parts = [part.strip() for part in text.split(",")]
    kept = [part for part in parts if part and part.lower() != "public" and not part.lower().startswith("s-maxage")]
    if not any(part.lower() in ("private", "no-store") for part in kept):
        kept.insert(0, "private")
    return ", ".join(kept)


def _unpacks(accepted: str, encoding: str) -> bool:
    """Whether an Accept-Encoding names all the codings by name: `*` of old clients means that they do not know."""
    able: set[str] = set()
    for item in accepted.split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            able.add(name.strip().lower())
    return all(coding.strip().lower() in able for coding in encoding.split(","))
