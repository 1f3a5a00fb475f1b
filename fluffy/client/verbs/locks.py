"""The verbs on locks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from fluffy.base.paths import parse_path
from fluffy.client.locks import WAIT_SLICE_S, Lock
from fluffy.client.pages import Pages
from fluffy.client.results import Document, Lines, lines_of
from fluffy.client.results_people import LockInfo, lock_of
from fluffy.client.verbs.asking import PAGE_ENTRIES, Asking, told

LOCK_TTL_S = 60
# What a wait may take on the way beyond itself.
WAIT_SLACK_S = 10.0


class LockVerbs(Asking):
    """Advisory leases on files and folders, which writes are held to."""

    def lock(self, path: str, *, mode: str = "exclusive", ttl_s: float = LOCK_TTL_S, wait_s: float = 0,
             note: str = "") -> Lock:
        """A lock on a file, or on a folder with all in it: `async with` keeps it, a plain `await` takes it for `ttl_s`.

        `mode`: `exclusive`, or `shared` with other shared ones. While somebody else holds the path, it is waited for
        `wait_s`; then raises FileLocked, which names the holder.
        """
        return Lock(self, str(parse_path(path)), mode=mode, ttl_s=ttl_s, wait_s=wait_s, note=note)

    async def take_lock(self, path: str, mode: str, ttl_s: float, wait_s: float, note: str) -> Document:
        """One request for a lock, as it is answered. Prefer `lock`."""
        return await self._write("POST", "/v1/locks", answer_s=WAIT_SLICE_S + WAIT_SLACK_S, document=told(
            path=path, mode=mode, ttl_s=ttl_s, wait_s=wait_s, note=note))

    async def renew_lock(self, token: str, ttl_s: float) -> Document:
        """Let a lock last for `ttl_s` from now on. Raises LockNotFound when it has ended."""
        return await self._write("PUT", _lock_url(token), document={"ttl_s": ttl_s})

    async def unlock(self, token: str) -> Document:
        """Give a lock back. Raises LockNotFound when it has ended."""
        return await self._write("DELETE", _lock_url(token))

    async def locks_page(self, path: str = "/", *, after: str | None = None,
                         limit: int = PAGE_ENTRIES) -> Lines[LockInfo]:
        """One page of what `locks` gives."""
        document = await self._read("/v1/locks", path=str(parse_path(path)), after=after, limit=limit)
        return lines_of(document, "locks", lock_of)

    def locks(self, path: str = "/") -> AsyncIterator[LockInfo]:
        """The locks held at or below `path`."""
        return Pages(lambda after: self.locks_page(path, after=after))

    async def break_locks(self, path: str) -> Document:
        """End all locks on exactly this path, whoever holds them. For admins of the bucket."""
        return await self._write("DELETE", "/v1/locks", path=str(parse_path(path)))


def _lock_url(token: str) -> str:
    return f"/v1/locks/{quote(token, safe='')}"
