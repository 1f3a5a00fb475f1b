"""POST policies: what a page may have its visitors upload (browser forms, without a secret in the page).

A policy is JSON in base64, signed as it is. It says until when it counts and what the form's fields and the file's
size must be; every field of the form but a few must be spoken of.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fluffy.base.units import KIB
from fluffy.wire.s3_errors import S3Error

POLICY_CHARS_MAX = 32 * KIB
CONDITIONS_MAX = 200
SIZE_MAX = 1 << 53
# Fields that carry the policy and its signature, and the file; others are spoken of in the policy.
_FREE_FIELDS = frozenset({"policy", "x-amz-signature", "signature", "awsaccesskeyid", "file"})
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Policy:
    """`exact`, `prefixes`: by field in lower case. `size_min`, `size_max`: of the file."""

    expires_ms: int
    exact: tuple[tuple[str, str], ...]
    prefixes: tuple[tuple[str, str], ...]
    size_min: int
    size_max: int

    def check(self, fields: Mapping[str, str], now_ms: int) -> None:
        """Raise S3Error unless the form's fields (names in lower case) are as the policy demands."""
        if now_ms >= self.expires_ms:
            raise S3Error("AccessDenied", 403, "Invalid according to Policy: Policy expired.")
        for name, value in self.exact:
            if fields.get(name, "") != value:
                raise _failed(f'["eq", "${name}", "{value}"]')
        for name, prefix in self.prefixes:
            if not fields.get(name, "").startswith(prefix):
                raise _failed(f'["starts-with", "${name}", "{prefix}"]')
        spoken_of = {name for name, _ in self.exact} | {name for name, _ in self.prefixes}
        for name in fields:
            if name not in spoken_of and name not in _FREE_FIELDS and not name.startswith("x-ignore-"):
                raise S3Error("AccessDenied", 403, f"Invalid according to Policy: Extra input fields: {name[:100]}")

    def check_size(self, size: int) -> None:
        """Raises S3Error."""
        if size > self.size_max:
            raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                          ProposedSize=size, MaxSizeAllowed=self.size_max)
        if size < self.size_min:
            raise S3Error("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size",
                          ProposedSize=size, MinSizeAllowed=self.size_min)


def parse_policy(text: str) -> Policy:
    """Of the form's field. Raises S3Error."""
    if not 0 < len(text) <= POLICY_CHARS_MAX:
        raise _invalid("it is empty or too long")
    try:
        document = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _invalid("it is no JSON in base64") from error
    if not isinstance(document, dict) or not isinstance(document.get("conditions"), list):
        raise _invalid("it has an expiration and a list of conditions")
    conditions = document["conditions"]
    if len(conditions) > CONDITIONS_MAX:
        raise _invalid(f"it has at most {CONDITIONS_MAX} conditions")
    exact: list[tuple[str, str]] = []
    prefixes: list[tuple[str, str]] = []
    sizes = (0, SIZE_MAX)
    for condition in conditions:
        if isinstance(condition, dict):
            if not condition:
                raise _invalid("a condition names a field")
            exact += [(_field(name), _text(value)) for name, value in condition.items()]
        elif isinstance(condition, list) and len(condition) == 3:
            sizes = _add_condition(condition, exact, prefixes) or sizes
        else:
            raise _invalid("a condition is an object, or a list of three")
    return Policy(_expiration(document.get("expiration")), tuple(exact), tuple(prefixes), *sizes)


def _add_condition(condition: list[Any], exact: list[tuple[str, str]],
                   prefixes: list[tuple[str, str]]) -> tuple[int, int] | None:
    """Sort one in; returns the bounds of the size, if it is about that."""
    kind = condition[0].lower() if isinstance(condition[0], str) else ""
    match [kind, *condition[1:]]:
        case ["content-length-range", first, last]:
            return _size(first), _size(last)
        case ["eq", str(name), value] if name.startswith("$"):
            exact.append((_field(name[1:]), _text(value)))
        case ["starts-with", str(name), value] if name.startswith("$"):
            prefixes.append((_field(name[1:]), _text(value)))
        case _:
            raise _invalid("a condition in a list is eq, starts-with or content-length-range")
    return None


def _expiration(value: Any) -> int:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        raise _invalid("its expiration is like 2030-01-01T12:00:00.000Z")
    try:
        moment = datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise _invalid("its expiration is no time") from error
    return int(moment.timestamp()) * 1000


def _field(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise _invalid("a condition names a field")
    return name.lower()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _invalid("a condition's value is text")
    return value


def _size(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SIZE_MAX:
        raise _invalid("content-length-range has two sizes in bytes")
    return value


def _failed(condition: str) -> S3Error:
    return S3Error("AccessDenied", 403, f"Invalid according to Policy: Policy Condition failed: {condition[:300]}")


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", 400, "The content of the form does not meet the conditions specified in the"
                                                 f" policy document: {why}")
