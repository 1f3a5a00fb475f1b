"""Lifecycles: rules of a bucket that end objects, older versions, lonely delete markers and forgotten uploads by age.

Read from XML and written as XML; and what a rule says of one object, as plain functions of times. As in S3, an age in
days counts from the midnight (UTC) after it is reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fluffy.base.units import DAY_MS, KIB
from fluffy.wire.s3_documents import checked_tags
from fluffy.wire.s3_errors import MalformedXml, S3Error
from fluffy.wire.s3_xml import Element, Node, parse_xml, render

LIFECYCLE_BYTES_MAX = 60 * KIB
RULES_MAX = 1_000
DAYS_MAX = 100_000
ID_CHARS_MAX = 255
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|\Z)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """None: the rule does not say. `date_ms`: from then on objects are over. `newer_kept`: so many older versions stay.

    `is_old_form`: its prefix stands beside the filter, as it used to.
    """

    name: str | None
    is_enabled: bool
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    size_above: int | None = None
    size_below: int | None = None
    days: int | None = None
    date_ms: int | None = None
    ends_markers: bool = False
    noncurrent_days: int | None = None
    newer_kept: int = 0
    abort_days: int | None = None
    is_old_form: bool = False

    def fits(self, key: str, size: int, tags: Mapping[str, str]) -> bool:
        return (self.is_enabled and key.startswith(self.prefix)
                and all(tags.get(name) == value for name, value in self.tags)
                and (self.size_above is None or size > self.size_above)
                and (self.size_below is None or size < self.size_below))

    @property
    def is_about_all(self) -> bool:
        """Whether it asks for nothing but a prefix: markers and uploads have neither tags nor sizes."""
        return not self.tags and self.size_above is None and self.size_below is None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of one object, as a lifecycle looks at it. `since_ms`: when it was replaced; None: it is the newest."""

    version_no: int
    size: int
    tags: Mapping[str, str]
    modified_ms: int
    since_ms: int | None
    is_marker: bool


def is_due(since_ms: int, days: int, now_ms: int) -> bool:
    """Whether so many days are over, and the day in which they ended."""
    return now_ms >= midnight_after(since_ms + days * DAY_MS)


def midnight_after(at_ms: int) -> int:
    return -(-at_ms // DAY_MS) * DAY_MS


def ended(rules: Sequence[Rule], key: str, versions: Sequence[Version], now_ms: int) -> list[int]:
    """The numbers of those versions of an object, newest first, that a rule ends now."""
    found: list[int] = []
    newest = versions[0]
    for at, version in enumerate(versions):
        for rule in rules:
            if not rule.fits(key, version.size, version.tags) or (version.is_marker and not rule.is_about_all):
                continue
            if version is newest and version.since_ms is None:
                is_over = _is_over(rule, version, is_alone=len(versions) == 1, now_ms=now_ms)
            else:
                is_over = (rule.noncurrent_days is not None and version.since_ms is not None and at > rule.newer_kept
                           and is_due(version.since_ms, rule.noncurrent_days, now_ms))
            if is_over:
                found.append(version.version_no)
                break
    return found


def _is_over(rule: Rule, version: Version, *, is_alone: bool, now_ms: int) -> bool:
    if version.is_marker:
        return is_alone and (rule.ends_markers or (rule.days is not None
                                                   and is_due(version.modified_ms, rule.days, now_ms)))
    if rule.days is not None:
        return is_due(version.modified_ms, rule.days, now_ms)
    return rule.date_ms is not None and now_ms >= rule.date_ms


def parse_lifecycle(data: bytes) -> tuple[Rule, ...]:
    """Raises S3Error."""
    root = parse_xml(data, "LifecycleConfiguration", bytes_max=LIFECYCLE_BYTES_MAX)
    rules = tuple(_rule(element) for element in root.all("Rule"))
    if not 0 < len(rules) <= RULES_MAX:
        raise MalformedXml
    names = [rule.name for rule in rules if rule.name]
    if len(set(names)) != len(names):
        raise S3Error("InvalidArgument", 400, "Rule ID must be unique. Found same ID for more than one rule")
    return rules


def _rule(element: Element) -> Rule:
    for transition in ("Transition", "NoncurrentVersionTransition"):
        if any(element.all(transition)):
            raise S3Error("NotImplemented", 501, f"{transition} is not supported: there is one storage class")
    name, status = element.leaf("ID"), element.leaf("Status")
    if status not in ("Enabled", "Disabled"):
        raise MalformedXml
    if name is not None and len(name) > ID_CHARS_MAX:
        raise S3Error("InvalidArgument", 400, f"ID length should not exceed allowed limit of {ID_CHARS_MAX}")
    prefix, tags, above, below, is_old_form = _filter(element)
    days, date_ms, ends_markers = _expiration(element.one("Expiration"))
    noncurrent, abort = element.one("NoncurrentVersionExpiration"), element.one("AbortIncompleteMultipartUpload")
    noncurrent_days = None if noncurrent is None else _days(noncurrent, "NoncurrentDays")
    newer = "0" if noncurrent is None else noncurrent.leaf("NewerNoncurrentVersions") or "0"
    abort_days = None if abort is None else _days(abort, "DaysAfterInitiation")
    if days is None and date_ms is None and not ends_markers and noncurrent_days is None and abort_days is None:
        raise S3Error("InvalidRequest", 400, "At least one action needs to be specified in a rule")
    if (tags or above is not None or below is not None) and (abort_days is not None or ends_markers):
        raise S3Error("InvalidRequest", 400, "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker cannot be"
                                             " specified with Tags or sizes")
    return Rule(name, status == "Enabled", prefix, tags, above, below, days, date_ms, ends_markers, noncurrent_days,
                _number(newer, 100), abort_days, is_old_form)


def _filter(element: Element) -> tuple[str, tuple[tuple[str, str], ...], int | None, int | None, bool]:
    old, found = element.leaf("Prefix"), element.one("Filter")
    if (old is None) == (found is None):
        raise MalformedXml
    if found is None:
        return old or "", (), None, None, True
    inner = found.one("And") or found
    if inner is found and len(found.children) > 1:
        raise MalformedXml
    inner.allow("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
    tags = checked_tags([(tag.needed("Key"), tag.needed("Value")) for tag in inner.all("Tag")], tags_max=10)
    above, below = inner.leaf("ObjectSizeGreaterThan"), inner.leaf("ObjectSizeLessThan")
    return (inner.leaf("Prefix") or "", tuple(sorted(tags.items())),
            None if above is None else _number(above, 1 << 50), None if below is None else _number(below, 1 << 50),
            False)


def _expiration(element: Element | None) -> tuple[int | None, int | None, bool]:
    if element is None:
        return None, None, False
    days, date, marker = element.leaf("Days"), element.leaf("Date"), element.leaf("ExpiredObjectDeleteMarker")
    if sum(text is not None for text in (days, date, marker)) != 1:
        raise MalformedXml
    if date is not None:
        return None, _date(date), False
    return None if days is None else _days(element, "Days"), None, marker == "true"


def _date(text: str) -> int:
    """Midnight, UTC."""
    if _DATE.match(text.strip()) is None:
        raise MalformedXml
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        at_ms = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise MalformedXml from error
    if at_ms % DAY_MS or at_ms < 0:
        raise S3Error("InvalidArgument", 400, "'Date' must be at midnight GMT")
    return at_ms


def _days(element: Element, name: str) -> int:
    days = _number(element.needed(name), DAYS_MAX)
    if days < 1:
        raise S3Error("InvalidArgument", 400, f"'{name}' for Expiration action must be a positive integer")
    return days


def _number(text: str, largest: int) -> int:
    text = text.strip()
    if text.startswith("-") and text[1:].isdigit():
        raise S3Error("InvalidArgument", 400, "a lifecycle's numbers are positive integers")
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= largest):
        raise MalformedXml
    return int(text)


def named(rules: Sequence[Rule], new_name: Callable[[], str]) -> tuple[Rule, ...]:
    """The rules, each with a name: S3 gives one to those that have none."""
    return tuple(rule if rule.name else replace(rule, name=new_name()) for rule in rules)


def expiry(rules: Sequence[Rule], key: str, size: int, tags: Mapping[str, str],
           since_ms: int) -> tuple[int, str] | None:
    """When the newest version of an object will be over, and by which rule; None: no rule ends it."""
    found = [(midnight_after(since_ms + rule.days * DAY_MS) if rule.days is not None else rule.date_ms or 0,
              rule.name or "")
             for rule in rules
             if (rule.days is not None or rule.date_ms is not None) and rule.fits(key, size, tags)]
    return min(found, default=None)


def abort(rules: Sequence[Rule], key: str, begun_ms: int) -> tuple[int, str] | None:
    """The same of an upload in parts."""
    found = [(midnight_after(begun_ms + rule.abort_days * DAY_MS), rule.name or "") for rule in rules
             if rule.abort_days is not None and rule.fits(key, 0, {})]
    return min(found, default=None)


def rendered(rules: Sequence[Rule]) -> bytes:
    return render("LifecycleConfiguration", [("Rule", _nodes(rule)) for rule in rules])


def _nodes(rule: Rule) -> list[Node]:
    date = None if rule.date_ms is None else f"{datetime.fromtimestamp(rule.date_ms // 1000, UTC).isoformat()[:19]}Z"
    parts: list[Node] = [
        ("Prefix", rule.prefix if rule.prefix else None),
        *(("Tag", [("Key", name), ("Value", value)]) for name, value in rule.tags),
        ("ObjectSizeGreaterThan", rule.size_above), ("ObjectSizeLessThan", rule.size_below)]
    said = [part for part in parts if part[1] is not None]
    where: Node = ("Filter", [("And", said)] if len(said) > 1 else said or [("Prefix", "")])
    return [
        ("ID", rule.name), ("Prefix", rule.prefix) if rule.is_old_form else where,
        ("Status", "Enabled" if rule.is_enabled else "Disabled"),
        ("Expiration", [("Days", rule.days), ("Date", date), ("ExpiredObjectDeleteMarker", rule.ends_markers or None)]
         if rule.days is not None or date is not None or rule.ends_markers else None),
        ("NoncurrentVersionExpiration", [("NoncurrentDays", rule.noncurrent_days),
                                         ("NewerNoncurrentVersions", rule.newer_kept or None)]
         if rule.noncurrent_days is not None else None),
        ("AbortIncompleteMultipartUpload", [("DaysAfterInitiation", rule.abort_days)]
         if rule.abort_days is not None else None)]
