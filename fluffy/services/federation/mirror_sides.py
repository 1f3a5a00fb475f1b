"""The two ends of a mirror: a bucket of a cluster, as whoever owns the token that the configuration names there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ClusterUnreachable, FluffyError, NotFound
from fluffy.core.federation.mirroring import MirrorFile
from fluffy.ports_federation import ChangesAnswer
from fluffy.services.federation.owed import FileMover
from fluffy.services.federation.told import headers_of, line_of, meta_of, nonsense, reason_of, texts_of, whole_of

ASK_S = 8.0
PAGE_S = 20.0
PAGE_ENTRIES = 200
# Beyond every position: asked for what comes behind it, a cluster tells where it is.
_NOWHERE = 10**17


class MirrorMember(FileMover, Protocol):
    """A cluster, as a mirror asks it. Raises like ClusterClient."""

    async def changes(self, since: int, wait_s: int, deadline: Deadline, *, asker: str) -> ChangesAnswer: ...


class MirrorClusters(Protocol):
    def mover(self, name: str) -> MirrorMember | None: ...
    def is_reachable(self, name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Child:
    """What a listing tells. `file` None: a folder, or a file whose labels came with another generation."""

    key: str
    is_folder: bool
    file: MirrorFile | None

    @property
    def name(self) -> str:
        return self.key.removesuffix("/")


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of a folder in the order of keys; `after`: the last one when there is more."""

    children: tuple[Child, ...]
    after: str | None


class Side:
    """Paths are in the bucket, '' is the bucket. `asker`: the hash of the token, in hex; may raise ClusterUnreachable.

    `min_seq`: nothing older than this position is taken for an answer, from whichever peer.
    """

    def __init__(self, clusters: MirrorClusters, cluster: str, bucket: str, asker: Callable[[], str]) -> None:
        self.cluster = cluster
        self.bucket = bucket
        self.min_seq = 0
        self._clusters = clusters
        self._asker = asker

    def __str__(self) -> str:
        return f"{self.cluster}:/{self.bucket}"

    @property
    def is_reachable(self) -> bool:
        return self._clusters.is_reachable(self.cluster)

    def path(self, inside: str) -> str:
        return f"{self.bucket}/{inside}" if inside else self.bucket

    async def changes(self, since: int, wait_s: int) -> ChangesAnswer:
        return await self._member().changes(since, wait_s, Deadline.after(ASK_S + wait_s), asker=self._asker())

    async def position(self) -> ChangesAnswer:
        """Where the feed is now."""
        return await self.changes(_NOWHERE, 0)

    async def check_bucket(self) -> None:
        """Raise ClusterUnreachable unless the bucket is there and may be read: otherwise nothing seems to be there."""
        try:
            await self.ask("GET", f"/v1/dirs/{quote(self.bucket)}?limit=1")
        except FluffyError as error:
            if error.http_status not in (401, 403, 404, 409):
                raise
            raise ClusterUnreachable(f"{self} cannot be read: {reason_of(error)}") from error

    async def info(self, inside: str) -> MirrorFile | None:
        """None: there is no file."""
        try:
            found = await self.ask("GET", f"/v1/info/{quote(self.path(inside))}")
        except NotFound:
            return None
        return None if found.get("kind") != "file" else file_of(found)

    async def list(self, inside: str, after: str) -> Listing:
        """Raises NotFound, IsFile."""
        query = urlencode({"labels": 1, "limit": PAGE_ENTRIES, **({"after": after} if after else {})})
        found = await self.ask("GET", f"/v1/dirs/{quote(self.path(inside))}?{query}", PAGE_S)
        entries, end = found.get("entries"), found.get("after")
        if not isinstance(entries, list) or not (end is None or isinstance(end, str)):
            raise nonsense("entries")
        return Listing(tuple(_child(entry) for entry in entries), end)

    async def ask(self, method: str, target: str, seconds: float = ASK_S, *,
                  document: Mapping[str, Any] | None = None, if_match: str | None = None) -> Mapping[str, Any]:
        headers = {"Fluffy-Min-Seq": str(self.min_seq)} if self.min_seq else {}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        return await self._member().ask(method, target, Deadline.after(seconds), asker=self._asker(),
                                        document=document, headers=headers)

    def read(self, inside: str, generation: int, deadline: Deadline, span: tuple[int, int] | None = None,
             ) -> AsyncIterator[bytes]:
        """`span`: the first byte and how many; None: the whole file."""
        headers = {"Fluffy-Min-Seq": str(self.min_seq)}
        if span is not None:
            headers["Range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
        return self._member().read(f"/v1/files/{quote(self.path(inside))}?generation={generation}", deadline,
                                   asker=self._asker(), headers=headers)

    async def write(self, inside: str, body: AsyncIterator[bytes], headers: Mapping[str, str], deadline: Deadline,
                    ) -> Mapping[str, Any]:
        return await self.put(f"/v1/files/{quote(self.path(inside))}", body, headers, deadline)

    async def put(self, target: str, body: AsyncIterator[bytes], headers: Mapping[str, str], deadline: Deadline,
                  ) -> Mapping[str, Any]:
        return await self._member().write(target, body, deadline, asker=self._asker(), headers=headers)

    async def move(self, src: str, dst: str, if_match: str | None = None) -> Mapping[str, Any]:
        """Never over what is there. Raises AlreadyExists, NotFound, PreconditionFailed."""
        document = {"src": "/" + self.path(src), "dst": "/" + self.path(dst)}
        return await self.ask("POST", "/v1/move", document=document if if_match is None else {
            **document, "if_match": f'"{if_match}"'})

    def _member(self) -> MirrorMember:
        found = self._clusters.mover(self.cluster)
        if found is None:
            raise ClusterUnreachable(f"this supernode has not joined the cluster {self.cluster}")
        return found


def file_of(found: Mapping[str, Any]) -> MirrorFile:
    """Raises RequestError for what makes no sense."""
    blake3 = found.get("blake3")
    return MirrorFile(
        whole_of(found, "generation"), whole_of(found, "size"), line_of(found.get("etag"), "etag"),
        None if blake3 is None else line_of(blake3, "blake3"),
        line_of(found.get("content_type") or "application/octet-stream", "content_type"), texts_of(found, "tags"),
        meta_of(found), headers_of(found))


def _child(entry: Any) -> Child:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or "/" in name:
        raise nonsense("entries")
    if entry.get("kind") != "file":
        return Child(name + "/", True, None)
    return Child(name, False, file_of(entry) if "tags" in entry else None)
