"""Passwords: made into what the state keeps, and checked at login, never known to anybody else.

scrypt (RFC 7914) with a salt for each, in threads of its own: it costs 32 MiB and a quarter of a CPU second, which is
what makes guessing dear and why only a few run at once. The stored text carries its parameters, so they can grow:

    scrypt$n$r$p$salt$hash       numbers in decimal, bytes in hex

A name that does not exist costs as long as one that does. Wrong passwords are counted for each name; after some, the
door refuses to look at more for a while. The count is of this process: a cluster of n gateways lets n times as many
through, which is still hopeless for a guesser.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from concurrent.futures import Executor

from cachetools import LRUCache

from fluffy.base.checks import invariant
from fluffy.base.errors import Overloaded, RequestError, TooManyAttempts, Unauthenticated
from fluffy.base.threads import in_thread
from fluffy.base.units import MIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_users import PASSWORD_BYTES_MAX
from fluffy.core.metadata.model import User
from fluffy.ports import Clock, MetadataReader

# OWASP's floor is n=2^17 at r=8, p=1 or as many blocks in smaller steps (n=2^15, p=3): a quarter of the memory.
SCRYPT_N = 1 << 15
SCRYPT_R = 8
SCRYPT_P = 3
SALT_BYTES = 16
HASH_BYTES = 32
# 128 * n * r bytes and a little more; larger stored parameters are refused rather than obeyed.
SCRYPT_MEMORY_MAX = 64 * MIB
invariant(128 * SCRYPT_N * SCRYPT_R < SCRYPT_MEMORY_MAX, "our own parameters fit")
_STORED = re.compile(rb"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([0-9a-f]{16,64})\$([0-9a-f]{64})\Z")

PASSWORD_CHARS_MIN = 8
PASSWORD_CHARS_MAX = 256
# Logins that may wait for a thread: with two threads and 0.26 s each the last one waits 2 s.
LOGINS_WAITING_MAX = 16
# People mistype a few times; a guesser gets 2,880 tries a day.
ATTEMPTS_MAX = 10
ATTEMPTS_WINDOW_S = 300.0
# Names whose failures are remembered, 200 bytes each; the oldest are forgotten first.
NAMES_REMEMBERED_MAX = 10_000


def check_password(password: str) -> None:
    """Raise RequestError unless it is long enough to be one, and short enough to be hashed."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise RequestError(f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the password is not valid UTF-8") from error


def hash_password(password: str) -> bytes:
    """What AddUser and ChangeUser carry. Blocking, a quarter of a second; raises like `check_password`."""
    check_password(password)
    salt = os.urandom(SALT_BYTES)
    made = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    stored = b"scrypt$%d$%d$%d$%b$%b" % (SCRYPT_N, SCRYPT_R, SCRYPT_P, salt.hex().encode(), made.hex().encode())
    invariant(len(stored) <= PASSWORD_BYTES_MAX, "the state has room for it")
    return stored


def matches(password: str, stored: bytes) -> bool:
    """Whether `password` is the one that `stored` was made of. Blocking; in constant time for one `stored`."""
    match = _STORED.match(stored)
    if match is None:
        return False
    n, r, p = (int(number) for number in match.groups()[:3])
    if n < 2 or n & (n - 1) or r < 1 or p < 1 or 128 * n * r >= SCRYPT_MEMORY_MAX:
        return False
    made = _scrypt(password, bytes.fromhex(match[4].decode()), n, r, p)
    return hmac.compare_digest(made, bytes.fromhex(match[5].decode()))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(errors="surrogatepass"), salt=salt, n=n, r=r, p=p,
                          maxmem=SCRYPT_MEMORY_MAX, dklen=HASH_BYTES)


# What an unknown name is checked against, so that it takes as long; nothing hashes to zeros.
_NOBODYS = b"scrypt$%d$%d$%d$%b$%b" % (SCRYPT_N, SCRYPT_R, SCRYPT_P, b"00" * SALT_BYTES, b"00" * HASH_BYTES)


class Attempts:
    """Failures of late, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed_s: LRUCache[str, tuple[float, ...]] = LRUCache(NAMES_REMEMBERED_MAX)

    def begin(self, name: str) -> None:
        """Count an attempt as failed until `forgive`: many at once must not pass. Raises TooManyAttempts."""
        now_s = self._clock.monotonic_s()
        recent = tuple(at_s for at_s in self._failed_s.get(name, ()) if at_s > now_s - ATTEMPTS_WINDOW_S)
        if len(recent) >= ATTEMPTS_MAX:
            raise TooManyAttempts(retry_after_s=int(recent[0] + ATTEMPTS_WINDOW_S - now_s) + 1)
        self._failed_s[name] = (*recent, now_s)

    def forgive(self, name: str) -> None:
        """The right password came: forget what failed."""
        self._failed_s.pop(name, None)


class Passwords:
    """Logging in and setting passwords, for the doors of one process. `threads`: its own pool of two."""

    def __init__(self, reader: MetadataReader, clock: Clock, threads: Executor) -> None:
        self._reader = reader
        self._threads = threads
        self._attempts = Attempts(clock)
        self._waiting = 0

    async def hash(self, password: str) -> bytes:
        """`hash_password` in a thread. Raises RequestError, Overloaded."""
        check_password(password)
        with self._slot():
            return await in_thread(self._threads, hash_password, password)

    async def log_in(self, name: str, password: str) -> User:
        """The user called `name`, if that is the password.

        Raises Unauthenticated (the same words whatever was wrong), TooManyAttempts, Overloaded. Reads the state as
        this node has it: pass a barrier first where a password changed a moment ago must count.
        """
        if len(password) > PASSWORD_CHARS_MAX or len(name) > PASSWORD_CHARS_MAX:
            raise Unauthenticated("name or password is wrong")
        with self._slot():
            self._attempts.begin(name)
            login = self._reader.read(lambda db: queries.login_by_name(db, name))
            stored = _NOBODYS if login is None or not login.password else login.password
            is_right = await in_thread(self._threads, matches, password, stored)
        if login is None or not is_right:
            raise Unauthenticated("name or password is wrong")
        self._attempts.forgive(name)
        return login.user

    def _slot(self) -> _Slot:
        return _Slot(self)

    def take(self) -> None:
        if self._waiting >= LOGINS_WAITING_MAX:
            raise Overloaded("too many logins at once; try again in a second")
        self._waiting += 1

    def give_back(self) -> None:
        self._waiting -= 1


class _Slot:
    """A place in the queue for the threads."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    def __enter__(self) -> None:
        self._passwords.take()

    def __exit__(self, *_: object) -> None:
        self._passwords.give_back()
