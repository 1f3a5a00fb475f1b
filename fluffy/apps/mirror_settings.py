"""`supernode.mirrors` of the configuration: buckets that are kept in another cluster. Circles are refused here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fluffy.apps.config_tree import Section
from fluffy.base.errors import NameIllegal
from fluffy.base.paths import parse_path
from fluffy.wire.iptable import NODE_NAME

MIRROR_KEYS = ("from", "to", "from_token_file", "to_token_file")


@dataclass(frozen=True, slots=True)
class MirrorPlace:
    cluster: str
    bucket: str

    def __str__(self) -> str:
        return f"{self.cluster}:/{self.bucket}"


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The tokens are of a user who may read the one bucket, and of one who may write the other."""

    name: str
    source: MirrorPlace
    target: MirrorPlace
    source_token_file: Path
    target_token_file: Path


def read_mirrors(part: Section, folder: Path) -> tuple[MirrorSettings, ...]:
    """Raises ConfigIllegal."""
    section = part.section("mirrors", None)
    mirrors: list[MirrorSettings] = []
    for name in section.keys:
        if NODE_NAME.match(name) is None:
            section.fail(name, f"{name!r} is not a name: use up to 63 letters, digits, - and _")
        one = section.section(name, MIRROR_KEYS)
        mirror = MirrorSettings(name, _place(one, "from"), _place(one, "to"), folder / one.text("from_token_file"),
                                folder / one.text("to_token_file"))
        if mirror.source.cluster == mirror.target.cluster:
            one.fail("to", f"{mirror.target} is in the same cluster; a mirror is kept in another one")
        other = next((other for other in mirrors if other.target == mirror.target), None)
        if other is not None:
            one.fail("to", f"{mirror.target} is the target of mirror {other.name} already; take another bucket")
        circle = _way(mirrors, mirror.target, mirror.source)
        if circle is not None:
            one.fail("to", "this closes a circle: " + " -> ".join(map(str, (mirror.source, *circle)))
                     + "; a bucket that is a mirror is changed at its source only")
        mirrors.append(mirror)
    return tuple(mirrors)


def _way(mirrors: Iterable[MirrorSettings], start: MirrorPlace, end: MirrorPlace) -> tuple[MirrorPlace, ...] | None:
    """From mirror to mirror, both ends named; None: there is none. The mirrors so far have no circle."""
    if start == end:
        return (start,)
    ways = (_way(mirrors, mirror.target, end) for mirror in mirrors if mirror.source == start)
    return next(((start, *way) for way in ways if way is not None), None)


def _place(one: Section, key: str) -> MirrorPlace:
    text = one.text(key)
    cluster, colon, path = text.partition(":/")
    try:
        bucket = parse_path(path)
    except NameIllegal as error:
        one.fail(key, error.message)
    if not colon or NODE_NAME.match(cluster) is None or not bucket.is_bucket:
        one.fail(key, f"{text!r} is no bucket of a cluster: write CLUSTER:/BUCKET")
    return MirrorPlace(cluster, bucket.text)
