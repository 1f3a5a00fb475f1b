"""Reading what a cluster tells of a file: it may be hostile or broken, and what it says is told to another cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fluffy.base.errors import FluffyError, RequestError

REASON_CHARS_MAX = 500
_META_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def whole_of(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise nonsense(name)
    return value


def line_of(value: Any, name: str) -> str:
    """A text that can be a header: no control characters, nothing that is no Unicode."""
    if not isinstance(value, str) or _CONTROL.search(value) or not _is_unicode(value):
        raise nonsense(name)
    return value


def texts_of(found: Mapping[str, Any], name: str) -> dict[str, str]:
    value = found.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
            isinstance(text, str) and _is_unicode(key) and _is_unicode(text) for key, text in value.items()):
        raise nonsense(name)
    return value


def meta_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Without what the cluster keeps for itself."""
    told = {key: line_of(text, "meta") for key, text in texts_of(found, "meta").items() if not key.startswith("@")}
    if not all(_META_NAME.match(key) for key in told):
        raise nonsense("meta")
    return told


def headers_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Headers that are kept with the file, as far as they can be told on. Older clusters tell of none."""
    return {key: text for key, text in texts_of(found, "headers").items()
            if _META_NAME.match(key) and not _CONTROL.search(text)}


def _is_unicode(text: str) -> bool:
    """No half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def nonsense(name: str) -> RequestError:
    return RequestError(f"a cluster tells of the file what makes no sense (field {name})")


def reason_of(error: FluffyError) -> str:
    """A cluster's words, fit to be kept."""
    return error.message[:REASON_CHARS_MAX].encode(errors="replace").decode()
