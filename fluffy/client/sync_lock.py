"""A lock held by a program without an event loop."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime
from types import TracebackType

from fluffy.base.errors import LockLost
from fluffy.client.locks import Lock
from fluffy.client.loop_thread import LoopThread


class SyncLock:
    """A lock that was taken. `with` renews it until the block ends, then gives it back.

    A block cannot be interrupted from outside: look at `is_held` in long ones. Writes under a lost lock are refused
    anyway (LockLost).
    """

    def __init__(self, lock: Lock, thread: LoopThread) -> None:
        self._lock = lock
        self._thread = thread
        self._keeping: Future[None] | None = None

    @property
    def path(self) -> str:
        return self._lock.path

    @property
    def mode(self) -> str:
        return self._lock.mode

    @property
    def token(self) -> str:
        """The secret that writes bring along. Raises LockLost when the lock is not held."""
        return self._lock.token

    @property
    def fence(self) -> int:
        """Grows with every lock taken in the cluster."""
        return self._lock.fence

    @property
    def expires(self) -> datetime | None:
        return self._lock.expires

    @property
    def is_held(self) -> bool:
        return self._lock.is_held

    def renew(self) -> None:
        """Let it last for its `ttl_s` from now on. Raises LockNotFound when it has ended."""
        self._thread.run(self._lock.renew())

    def release(self) -> None:
        """Give it back; harmless when it has ended already."""
        self._thread.run(self._lock.release())

    def __enter__(self) -> SyncLock:
        self._keeping = self._thread.start(self._lock.keep())
        return self

    def stop_keeping(self) -> None:
        """Renew it no more; it is still held, until its time ends or somebody gives it back."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        keeping, self._keeping = self._keeping, None
        was_lost = keeping is not None and not keeping.cancel() and isinstance(keeping.exception(), LockLost)
        self.release()
        if was_lost and kind is None:
            raise LockLost(f"the lock on {self.path} ended while it was needed", path=self.path)
