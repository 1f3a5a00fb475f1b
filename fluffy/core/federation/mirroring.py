"""What is to be done about one file of a mirror: a value from two looks, at the source and at the target.

A mirrored file carries a mark among its metadata: where it came from, what it was made of, and a print of all that is
told of it. So the target itself says which of its files came by the mirror and were not touched since, whatever a
supernode forgot, and to any number of supernodes. What came otherwise, or was touched, is never overwritten or removed:
it is set aside under another name where the source has something else, and otherwise left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from blake3 import blake3

MARK = "fluffy-mirror"
# Clusters that a file went through; a chain of more is refused as a circle.
ORIGINS_MAX = 8
_HEX = re.compile(r"[0-9a-f]{32}\Z")
_MODEL = re.compile(r"[!-~]{1,200}\Z")
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """What a cluster tells of a file, as far as it can be told to another one. `blake3` None: it is not known."""

    generation: int
    size: int
    etag: str
    blake3: str | None
    content_type: str
    tags: Mapping[str, str]
    meta: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, str]:
        """The metadata without the mark."""
        return {key: text for key, text in self.meta.items() if key != MARK}

    @property
    def mark(self) -> Mark | None:
        return parse_mark(self.meta.get(MARK, ""))

    @property
    def content(self) -> str:
        """Equal where the bytes are equal, in one cluster; in all of them when the hash is known."""
        return self.blake3 or f"etag:{self.etag}"


@dataclass(frozen=True, slots=True)
class Mark:
    """`prints`: of the states that the mirror itself made; `model`: the source's content; `origins`: oldest first."""

    prints: tuple[str, ...]
    model: str
    origins: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join((_VERSION, ",".join(self.prints), self.model, ",".join(self.origins)))


class Act(Enum):
    """What to do at the target."""

    NOTHING = "nothing"
    CREATE = "write what is not there"
    REPLACE = "write over what came by the mirror"
    RELABEL = "change type, tags and metadata only"
    ASIDE = "set aside what came otherwise, then write"
    DELETE = "remove what came by the mirror"
    KEEP = "leave what was touched at the target, though the source has none any more"
    CIRCLE = "refuse: it came from the target"


def origin_of(epoch: str, bucket: str) -> str:
    """A bucket of a cluster, whatever the cluster is called."""
    return blake3(f"{epoch}/{bucket}".encode()).hexdigest()[:32]


def parse_mark(text: str) -> Mark | None:
    """None: this is no mark."""
    words = text.split(" ")
    if len(words) != 4 or words[0] != _VERSION:
        return None
    prints, origins = tuple(words[1].split(",")), tuple(words[3].split(","))
    if not all(map(_HEX.match, prints + origins)) or not _MODEL.match(words[2]) or len(origins) > ORIGINS_MAX:
        return None
    return Mark(prints, words[2], origins)


def print_of(content: str, content_type: str, tags: Mapping[str, str], said: Mapping[str, str]) -> str:
    """Of all that is told of a file, without the mark."""
    packed = json.dumps([content, content_type, sorted(tags.items()), sorted(said.items())], ensure_ascii=True)
    return blake3(packed.encode()).hexdigest()[:32]


def unhashed(size: int) -> str:
    """The content in a print of a file that nobody had hashed before it was sent."""
    return f"size:{size}"


def decide(model: MirrorFile | None, copy: MirrorFile | None, source: str, target: str) -> Act:
    """`source`, `target`: the two origins. None: there is no such file."""
    mark = None if copy is None else copy.mark
    is_ours = copy is not None and mark is not None and mark.origins[-1] == source and _is_untouched(copy, mark)
    if model is None:
        if copy is None:
            return Act.NOTHING
        if is_ours:
            return Act.DELETE
        return Act.KEEP if mark is not None and mark.origins[-1] == source else Act.NOTHING
    before = model.mark
    if before is not None and (target in before.origins or len(before.origins) >= ORIGINS_MAX):
        return Act.CIRCLE
    if copy is None:
        return Act.CREATE
    is_labelled = _labels(copy) == _labels(model)
    if is_ours and mark is not None:
        if mark.model == model.content or (model.blake3 is not None and model.blake3 == copy.blake3):
            return Act.NOTHING if is_labelled else Act.RELABEL
        return Act.REPLACE
    is_same = is_labelled and model.blake3 is not None and model.blake3 == copy.blake3
    return Act.NOTHING if is_same else Act.ASIDE


def mark_for(model: MirrorFile, source: str, content: str | None, *, sent: Mapping[str, str] | None = None,
             old_tags: Mapping[str, str] | None = None) -> Mark:
    """The mark of a copy of the model whose bytes have that content (None: nobody has told it yet).

    For a moment, until the rest is changed, the copy has only the metadata `sent`, or still the tags `old_tags`.
    """
    content = content or model.blake3 or unhashed(model.size)
    states: list[tuple[Mapping[str, str], Mapping[str, str]]] = [(model.tags, model.said)]
    states += [] if sent is None or sent == model.said else [(model.tags, sent)]
    states += [] if old_tags is None or old_tags == model.tags else [(old_tags, model.said)]
    prints = tuple(print_of(content, model.content_type, tags, said) for tags, said in states)
    before = model.mark
    return Mark(prints, model.content, ((*before.origins, source) if before is not None else (source,)))


def kept_name(path: str, copy: MirrorFile) -> str:
    """Where a file that came otherwise is set aside: the same for whoever does it."""
    return f"{path}.kept-{copy.generation}-{copy.etag[:8]}"


def _labels(file: MirrorFile) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    return file.content_type, dict(file.tags), file.said


def _is_untouched(copy: MirrorFile, mark: Mark) -> bool:
    """Whether the copy is as the mirror left it."""
    contents = [copy.content] if copy.blake3 is None else [copy.content, unhashed(copy.size)]
    return any(print_of(content, copy.content_type, copy.tags, copy.said) in mark.prints for content in contents)
