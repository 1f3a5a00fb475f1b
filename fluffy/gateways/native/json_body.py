"""The JSON object that a request brings: read within a bound, its fields known, their types checked.

A wrong field is refused by name, as an unknown query parameter is: a misspelt one must not look obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluffy.base.errors import BodyIncomplete, QuerySyntax, TooLarge
from fluffy.base.units import KIB
from fluffy.gateways.native.exchange import Call

# The largest that is wanted are a list of 10,000 parts and 8 KiB of metadata with room to escape every byte.
JSON_BYTES_MAX = 1024 * KIB
# A body of unknown length is read in such pieces.
PIECE_BYTES = 16 * KIB
NUMBER_MAX = 2**62


async def read_json(call: Call, *known: str, bytes_max: int = JSON_BYTES_MAX) -> Fields:
    """The body's fields; no body is an object without fields. Raises QuerySyntax, TooLarge, BodyIncomplete."""
    value = await read_object(call, bytes_max)
    for name in value:
        if name not in known:
            raise QuerySyntax(f"field {name[:40]!r} is not known; known here: {', '.join(known) or 'none'}")
    return Fields(value)


async def read_bytes(call: Call, bytes_max: int) -> bytes:
    """The body as it is, when it is short enough to be held. Raises TooLarge, BodyIncomplete."""
    return await _read(call, bytes_max)


async def read_object(call: Call, bytes_max: int = JSON_BYTES_MAX, *, needed: bool = False) -> dict[str, Any]:
    """The body's fields, whatever their names. `needed`: a forgotten body is not an object without fields."""
    data = await _read(call, bytes_max)
    if not data and needed:
        raise QuerySyntax("the body is missing: a JSON object, {} for an empty one")
    if not data:
        return {}
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise QuerySyntax("the body is not a JSON object in UTF-8") from error
    if not isinstance(value, dict):
        raise QuerySyntax("the body is not a JSON object")
    return value


def _no_constant(text: str) -> None:
    raise ValueError(text)


async def _read(call: Call, bytes_max: int) -> bytes:
    length = call.body.length
    if length is not None and length > bytes_max:
        raise TooLarge(f"the body has at most {bytes_max:,} bytes", size_max=bytes_max)
    data = bytearray()
    while len(data) <= bytes_max:
        piece = bytearray(PIECE_BYTES if length is None else length - len(data))
        count = await call.body.fill(memoryview(piece))
        data += piece[:count]
        if count < len(piece) or length is not None:
            if length is not None and len(data) < length:
                raise BodyIncomplete
            return bytes(data)
    raise TooLarge(f"the body has at most {bytes_max:,} bytes", size_max=bytes_max)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a body. Each method raises QuerySyntax, naming the field, when its value does not fit.

    Null is the same as absent, but for `has`.
    """

    values: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Whether the field was sent, be it as null."""
        return name in self.values

    def text(self, name: str) -> str:
        value = self.text_or_none(name)
        if value is None:
            raise QuerySyntax(f"field {name} is missing")
        return value

    def text_or_none(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise QuerySyntax(f"field {name} is a text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise QuerySyntax(f"field {name} is not valid UTF-8") from error
        return value

    def number(self, name: str, default: int) -> int:
        value = self.number_or_none(name)
        return default if value is None else value

    def number_or_none(self, name: str) -> int | None:
        """A whole number of at least 0."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAX:
            raise QuerySyntax(f"field {name} is a whole number of at least 0")
        return value

    def seconds_ms(self, name: str, default_ms: int | None = None) -> int:
        """A time in seconds, be it with a fraction, as milliseconds."""
        value = self.values.get(name)
        if value is None and default_ms is not None:
            return default_ms
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAX / 1000:
            raise QuerySyntax(f"field {name} is a number of seconds")
        return round(value * 1000)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.flag_or_none(name)
        return default if value is None else value

    def flag_or_none(self, name: str) -> bool | None:
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise QuerySyntax(f"field {name} is true or false")

    def texts_or_none(self, name: str) -> dict[str, str] | None:
        """An object whose values are texts."""
        value = self.values.get(name)
        return None if value is None else _texts(value, f"field {name} is an object whose values are texts")

    def all_texts(self) -> dict[str, str]:
        """The whole body as such an object."""
        return _texts(self.values, "the body is an object whose values are texts")


def _texts(value: Any, sentence: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise QuerySyntax(sentence)
    try:
        for key, text in value.items():
            (key + text).encode()
    except UnicodeEncodeError as error:
        raise QuerySyntax(f"{sentence}, in valid UTF-8") from error
    return dict(value)
