"""What stands in the way of a change beside the tree itself, in the model: locks, and quotas of buckets and users."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.tree_model import Content, File, Folder, TreeModel

LENGTH = 1_000  # of every chunk
Limits = tuple[int | None, int | None]  # files, bytes


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else LENGTH * len(content)


def usage(node: File | Folder) -> tuple[int, int]:
    """Current files and their bytes, of all below."""
    if isinstance(node, File):
        return 1, size_of(node.content)
    below = [usage(child) for child in (*node.files.values(), *node.folders.values())]
    return sum(files for files, _ in below), sum(size for _, size in below)


@dataclass(frozen=True)
class Growth:
    """`files` more files of together `size` more bytes. `bucket` None: one that will be made. `payer`: its owner."""

    bucket: Folder | None
    payer: int
    files: int
    size: int
    leaving: Folder | None = None


@dataclass
class HeldLock:
    path: str
    mode: str
    holder: int
    expires_ms: int


@dataclass
class Guards:
    """`locks`: by token, ended ones too."""

    model: TreeModel
    locks: dict[bytes, HeldLock] = field(default_factory=dict)
    limits: dict[int, Limits] = field(default_factory=dict)  # of users

    # -- locks

    def living(self, clock_ms: int) -> dict[bytes, HeldLock]:
        return {token: held for token, held in self.locks.items() if held.expires_ms > clock_ms}

    def own(self, token: bytes, asker: int, clock_ms: int) -> HeldLock | None:
        held = self.living(clock_ms).get(token)
        return held if held is not None and held.holder == asker else None

    def locked(self, asker: int, token: bytes, paths: tuple[str, ...], clock_ms: int, *, below: bool) -> set[str]:
        """Refusals of a change at `paths` by who brings `token` (empty: none)."""
        own = self.own(token, asker, clock_ms) if token else None
        met = [held for held in self.living(clock_ms).values()
               if any(covers(held.path, path) or (below and covers(path, held.path)) for path in paths)]
        refusals = {"FileLocked"} if any(held is not own for held in met) else set()
        if token and not any(held is own for held in met):
            refusals.add("LockLost")
        return refusals

    def in_the_way(self, path: str, mode: str, clock_ms: int) -> bool:
        """Whether a new lock would meet another one."""
        return any((covers(held.path, path) or covers(path, held.path)) and "exclusive" in (mode, held.mode)
                   for held in self.living(clock_ms).values())

    # -- quotas

    def owned(self, user: int) -> tuple[int, int]:
        """What the buckets of a user hold."""
        held = [usage(bucket) for bucket in self.model.root.folders.values() if bucket.owner == user]
        return sum(files for files, _ in held), sum(size for _, size in held)

    def full(self, growth: Growth | None, bucket_holds: int = 0, payer_holds: int = 0) -> set[str]:
        """Refusals of more files. `..._holds`: bytes that unfinished uploads hold beside."""
        if growth is None or (growth.files <= 0 and growth.size <= 0):
            return set()
        bucket = growth.bucket
        used = (0, 0) if bucket is None or bucket.deleted else usage(bucket)  # in the trash it uses nothing
        fits = bucket is None or _fits(growth, used, bucket.limits, bucket_holds)
        if growth.leaving is None or growth.leaving.owner != growth.payer:
            limits = self.limits.get(growth.payer, (None, None))
            fits = fits and _fits(growth, self.owned(growth.payer), limits, payer_holds)
        return set() if fits else {"QuotaExceeded"}


def covers(locked: str, path: str) -> bool:
    return locked == path or path.startswith(locked + "/")


def _fits(growth: Growth, used: tuple[int, int], limits: Limits, holds: int) -> bool:
    files_max, bytes_max = limits
    if growth.files > 0 and files_max is not None and used[0] + growth.files > files_max:
        return False
    return growth.size <= 0 or bytes_max is None or used[1] + holds + growth.size <= bytes_max
