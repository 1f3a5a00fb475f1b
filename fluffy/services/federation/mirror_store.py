"""What a mirror must remember: how far it has followed, what is still to do, which files of others it set aside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

# Of the target's feed, in what an earlier version wrote.
UNKNOWN_SEQ = -1


@dataclass(frozen=True, slots=True)
class Cursor:
    """`level_ms`: when the target was as the source; 0: never. `compared_ms` 0: a comparison of all is going on.

    `seq` is a position of the source's feed, `target_seq` of the target's (UNKNOWN_SEQ: not followed yet).
    """

    epoch: str
    target_epoch: str
    seq: int
    level_ms: int
    compared_ms: int
    target_seq: int


@dataclass(frozen=True, slots=True)
class Todo:
    """Make the target's `file`, or folder with all below it (`tree`), as the source's is now.

    `path`: in the bucket, '' the bucket itself. `came_from`: the file, or folder (`move`), was moved from here, which
    is to be made alike, too; '': it was not moved.
    """

    kind: str
    path: str
    came_from: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A Todo that is stored. `no` grows when it is renewed, so that one that was is not taken for done."""

    no: int
    kind: str
    path: str
    came_from: str
    after: str
    made_ms: int
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the target that came otherwise, or was touched, and where it is now."""

    path: str
    kept_as: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sending:
    """An upload in parts at the target. `print`: of the file and all that is told of it; another one begins anew."""

    upload_id: str
    print: str


class MirrorStore(Protocol):
    """Durable, one row for each (mirror, kind, path). Calls block briefly."""

    def forget_others(self, mirrors: Collection[str]) -> None: ...
    def cursor(self, mirror: str) -> Cursor | None: ...

    def begin(self, mirror: str, epoch: str, target_epoch: str, seq: int, target_seq: int, now_ms: int) -> None:
        """Follow from `seq`, the target's feed from `target_seq`, and compare everything."""

    def compare(self, mirror: str, now_ms: int) -> None:
        """Compare everything once more."""

    def take(self, mirror: str, seq: int, todos: Iterable[Todo], now_ms: int) -> None:
        """The feed was read up to `seq`: remember both, or neither."""

    def take_target(self, mirror: str, since: Cursor, seq: int, todos: Iterable[tuple[Todo, int]], now_ms: int) -> None:
        """The target's feed was read up to `seq`; each Todo with the time when it is due. Nothing when the cursor of
        that feed is not that of `since` any more.
        """

    def is_level(self, mirror: str, at_ms: int) -> None: ...
    def due(self, mirror: str, kind: str, now_ms: int, limit: int) -> list[Work]: ...
    def failed(self, mirror: str, limit: int) -> list[Work]: ...
    def count(self, mirror: str, kind: str | None = None) -> int: ...
    def oldest_ms(self, mirror: str) -> int | None: ...

    def done(self, mirror: str, work: Work, more: Iterable[Todo], now_ms: int) -> None:
        """`more`: what is to be done then."""

    def go_on(self, mirror: str, work: Work, after: str, more: Iterable[Todo], now_ms: int) -> None:
        """A part of a tree is done."""

    def later(self, work: Work, until_ms: int, error: str) -> None: ...
    def know_folder(self, mirror: str, path: str) -> None: ...
    def knows_folder(self, mirror: str, path: str) -> bool: ...
    def forget_folder(self, mirror: str, path: str) -> None: ...
    def keep(self, mirror: str, kept: Kept) -> None: ...
    def asides(self, mirror: str, path: str, since_ms: int) -> int:
        """How often a file at that place was set aside since then."""

    def sending(self, mirror: str, path: str) -> Sending | None: ...
    def begin_sending(self, mirror: str, path: str, sending: Sending) -> None: ...
    def end_sending(self, mirror: str, path: str) -> None: ...
    def kept(self, mirror: str, limit: int) -> list[Kept]: ...
    def kept_count(self, mirror: str) -> int: ...
