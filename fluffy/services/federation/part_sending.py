"""Sending a file to a cluster in parts, so that one that was cut goes on with the part in which it was.

The upload and its parts live in the target's log (docs/decisions/015); which upload it was is remembered by whoever
sends. Every part is hashed on its way and compared with what the cluster stored; the whole is compared as well when all
of it went through here at one go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    AccessDenied,
    ClusterUnreachable,
    PartsMissing,
    TransferCorrupt,
    UploadFinished,
    UploadNotFound,
)
from fluffy.base.units import MIB

# Repeated after a cut: half of it on average. A multiple of every chunk size, so parts of equal files are shared.
PART_BYTES = 32 * MIB
# An upload has at most so many parts (core/metadata/upload_table.py).
PARTS_MAX = 10_000

Read = Callable[[int, int], AsyncIterator[bytes]]
"""Bytes of the source: where they begin, and how many."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All that is told of the file. `blake3` None: nobody has hashed it. `if_match` None: it must not be there yet."""

    size: int
    blake3: str | None
    content_type: str
    tags: Mapping[str, str]
    meta: Mapping[str, str]
    if_match: str | None

    def document(self, path: str) -> dict[str, Any]:
        condition = {"create_only": True} if self.if_match is None else {"if_match": f'"{self.if_match}"'}
        return {"path": f"/{path}", "size": self.size, "part_size": part_bytes_of(self.size),
                "content_type": self.content_type, "tags": dict(self.tags), "meta": dict(self.meta), **condition}


class PartTarget(Protocol):
    """The cluster that gets the file, as somebody who may write it."""

    async def ask(self, method: str, target: str, *, document: Mapping[str, Any] | None = None,
                  ) -> Mapping[str, Any]: ...
    async def put(self, target: str, body: AsyncIterator[bytes], headers: Mapping[str, str], deadline: Deadline,
                  ) -> Mapping[str, Any]: ...


class Memo(Protocol):
    """Remembers the upload of this very file and shape, durably or not."""

    def known(self) -> str | None: ...
    def begun(self, upload_id: str) -> None: ...
    def ended(self) -> None: ...


def part_bytes_of(size: int) -> int:
    """All parts but the last have so many bytes."""
    return PART_BYTES * max(1, -(-size // (PART_BYTES * PARTS_MAX)))


async def send_in_parts(target: PartTarget, read: Read, path: str, shape: Shape, memo: Memo, deadline: Deadline,
                        ) -> Mapping[str, Any]:
    """What the cluster says of the file that it has then. Raises like ClusterClient, and TransferCorrupt."""
    try:
        return await _send(target, read, path, shape, memo, deadline)
    except (UploadNotFound, UploadFinished, PartsMissing, AccessDenied):
        memo.ended()  # it is gone, or somebody else's by now: the next try begins anew
        raise


async def _send(target: PartTarget, read: Read, path: str, shape: Shape, memo: Memo, deadline: Deadline,
                ) -> Mapping[str, Any]:
    upload_id, stored = memo.known(), dict[int, int]()
    if upload_id is not None:
        found = await target.ask("GET", f"/v1/uploads/{upload_id}")
        if found.get("state") == "complete":  # and its answer was lost
            memo.ended()
            return _object(found.get("file"))
        stored = _parts(found)
    else:
        begun = await target.ask("POST", "/v1/uploads", document=shape.document(path))
        upload_id = _upload_id(begun)
        memo.begun(upload_id)
    whole = None if stored else blake3()
    for number, start, count in _spans(shape.size):
        if stored.get(number) != count:
            await _send_part(target, read, f"/v1/uploads/{upload_id}/parts/{number}", start, count, whole, deadline)
    digest = shape.blake3 or (None if whole is None else whole.hexdigest())
    if whole is not None and whole.hexdigest() != digest:
        memo.ended()
        await target.ask("DELETE", f"/v1/uploads/{upload_id}")
        raise TransferCorrupt(f"the bytes of /{path} that came do not have the hash that their cluster tells")
    said = await target.ask("POST", f"/v1/uploads/{upload_id}/complete", document={
        "size": shape.size, **({} if digest is None else {"blake3": digest})})
    memo.ended()
    return said


async def _send_part(target: PartTarget, read: Read, address: str, start: int, count: int, whole: Any,
                     deadline: Deadline) -> None:
    digest, came = blake3(), 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal came
        async for block in read(start, count) if count else _nothing():
            came += len(block)
            if came > count:
                break
            digest.update(block)
            if whole is not None:
                whole.update(block)
            yield block
        if came != count:
            raise ClusterUnreachable(f"the source sent {came} bytes of {count}")

    said = await target.put(address, body(), {"Content-Length": str(count)}, deadline)
    if said.get("blake3") != digest.hexdigest() or said.get("size") != count:
        raise TransferCorrupt("what the target stored is not what was sent")


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for block in none:
        yield block


def _spans(size: int) -> Iterator[tuple[int, int, int]]:
    """(part, its first byte, how many bytes); an empty file has one empty part."""
    step = part_bytes_of(size)
    for number, start in enumerate(range(0, max(size, 1), step), 1):
        yield number, start, min(step, size - start)


def _upload_id(found: Mapping[str, Any]) -> str:
    text = found.get("id")
    if not isinstance(text, str) or not text.isascii() or not text.isalnum():
        raise ClusterUnreachable("the cluster tells of an upload what makes no sense")
    return text


def _parts(found: Mapping[str, Any]) -> dict[int, int]:
    """The sizes of what is stored already, by number."""
    lines = found.get("parts")
    if not isinstance(lines, list):
        raise ClusterUnreachable("the cluster tells of an upload what makes no sense")
    return {line["n"]: line["size"] for line in lines if isinstance(line, dict) and isinstance(line.get("n"), int)
            and isinstance(line.get("size"), int)}


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ClusterUnreachable("the cluster tells of an upload what makes no sense")
    return value
