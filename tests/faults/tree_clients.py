"""Clients that do everything one can do to a small tree, all at once, through all nodes; and the history of it.

Each tree is a bucket of its own and one object for the checker (support/linearizability.py). A write is repeated with
its request id, at other nodes, until its outcome is known, sometimes while the first try is still under way; now and
then a client is impatient, and leaves the outcome open. What is not an answer of the tree (no connection, 503, an
answer marked stale) is no answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.faults.tree_requests import RETRIED, Found, Request, TreeDoor, Unreadable
from tests.support.linearizability import NEVER_S, Operation, Verdict, judge
from tests.support.small_tree import KEPT, READS, Answer, Call, Done, Piece, Refused, SmallTree, Tree

ATTEMPT_TIMEOUT_S = 5.0
GIVE_UP_S = 40.0
RETRY_REST_S = 0.04
IMPATIENT_S = 0.25
# So often a client does not wait for the first answer, and sends the same request to another node while the first one
# is still under way: the same id must have one effect and one answer.
HASTE = 0.15
HASTE_S = (0.001, 0.03)
# Every open operation doubles what the checker may have to look at.
OPEN_MAX = 5
GENERATIONS_ASKED_MAX = 15
FILES = ("a", "b", KEPT, "d/x", "d/y", "e/x", "e/g/y")
FOLDERS = ("d", "e", "e/g", "c")
BELOW_BUCKET = ("a", "b", KEPT, "c", "d", "e")
MOVED = tuple(path for path in (*FILES, *FOLDERS) if path != KEPT)
LOCKED = ("a", "d", "d/x", "e")
KINDS: Mapping[str, int] = {
    "put": 14, "append": 10, "patch": 6, "tag": 4, "delete": 6, "undelete": 4, "restore": 4, "mkdir": 4, "rmdir": 2,
    "rmtree": 3, "move": 12, "copy": 6, "lock": 2, "break_lock": 1, "quota": 2, "read": 20, "list": 14, "sums": 6}
# Without these a client could not go on: it needs the token of what it holds.
ALWAYS_PATIENT = READS | {"lock", "unlock"}
TreeOperation = Operation[Call, Answer]


@dataclass(slots=True)
class History:
    """What happened to one tree."""

    bucket: str
    piece_bytes: int
    operations: list[TreeOperation] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    retries: int = 0
    hasty: int = 0
    stale: int = 0

    @property
    def open(self) -> int:
        return sum(operation.is_open for operation in self.operations)

    def judged(self) -> Verdict[Tree, Call, Answer]:
        return judge(self.operations, SmallTree(self.piece_bytes), Tree())

    def answers(self) -> Counter[str]:
        """How often each kind was done, or refused with which code."""
        count: Counter[str] = Counter()
        for operation in self.operations:
            answer = operation.answer
            count[f"{operation.call.kind} {answer.code}" if isinstance(answer, Refused) else operation.call.kind] += 1
        return count


class TreeClients:
    """`clients` at one tree, each doing one thing after the other until `stop` is set."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], bucket: str, *, seed: int, clients: int,
                 piece_bytes: int, impatience: float, rest_s: float, patience_s: float = GIVE_UP_S) -> None:
        self.history = History(bucket, piece_bytes)
        self.stop = asyncio.Event()
        self._door = TreeDoor(bucket, piece_bytes)
        self._session = session
        self._urls = urls
        self._seed = f"{seed}/{bucket}"
        self._clients = clients
        self._impatience = impatience
        self._rest_s = rest_s
        self._patience_s = patience_s
        self._numbers = 0
        self._open = 0
        self._bodies: dict[str, tuple[Piece, ...]] = {}  # as last read

    async def run(self) -> None:
        """The bucket comes first, and the file whose generations are counted; last, everything is read once more."""
        rng = random.Random(self._seed)
        made: Found | None = None
        until_s = time.monotonic() + self._patience_s
        while (made is None or made.status in RETRIED) and time.monotonic() < until_s:
            made = await self._send(Request("PUT", f"/v1/dirs/{self.history.bucket}"), f"{self.history.bucket}-made",
                                    rng.choice(self._urls), ATTEMPT_TIMEOUT_S)
        assert made is not None and made.status == 201, made
        await self._do(0, self._call("put", KEPT, pieces=1), rng)
        async with asyncio.TaskGroup() as group:
            for client in range(self._clients):
                group.create_task(self._act(client, random.Random(f"{self._seed}/{client}")))
        for path in (*FILES, "", *FOLDERS):
            await self._do(0, self._call("read" if path in FILES else "list", path), rng)

    async def _act(self, client: int, rng: random.Random) -> None:
        held: int | None = None
        while not self.stop.is_set():
            if held is not None and rng.random() < 0.3:
                await self._do(client, self._call("unlock", lock=held), rng)
                held = None
                continue
            # Who holds a lock mostly says so; a token that does not cover the path is refused.
            call = self._draw(rng, held if rng.random() < 0.8 else None)
            if call.kind == "lock" and held is not None:
                continue
            answer = await self._do(client, call, rng)
            if call.kind == "lock" and isinstance(answer, Done):
                held = call.number
            await asyncio.sleep(self._rest_s * 2 * rng.random())

    # -- what to do

    def _call(self, kind: str, path: str = "", *, pieces: int = 0, **more: Any) -> Call:
        number = self._numbers
        self._numbers += 1
        return Call(kind, number, path, pieces=tuple((number, at) for at in range(pieces)), **more)

    def _draw(self, rng: random.Random, lock: int | None) -> Call:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        path = rng.choice(FILES)
        match kind:
            case "put":
                expected = self._bodies.get(path) if rng.random() < 0.3 else None
                return self._call(kind, path, pieces=rng.randrange(1, 4), flag=expected is None and rng.random() < 0.2,
                                  expected=expected, lock=lock)
            case "append":
                return self._call(kind, path, pieces=1, lock=lock)
            case "patch":
                return self._call(kind, path, pieces=rng.randrange(1, 3), at=rng.randrange(4), lock=lock)
            case "tag":
                return self._call(kind, path, tag=str(rng.randrange(100)), lock=lock)
            case "delete":
                return self._call(kind, path, lock=lock)
            case "undelete":
                return self._call(kind, rng.choice(BELOW_BUCKET), lock=lock)
            case "restore":
                return self._call(kind, KEPT, at=rng.randrange(1, GENERATIONS_ASKED_MAX), lock=lock)
            case "mkdir" | "rmdir" | "rmtree":
                return self._call(kind, rng.choice(FOLDERS), lock=lock)
            case "move" | "copy":
                return self._call(kind, rng.choice(MOVED), dst=rng.choice(MOVED), flag=rng.random() < 0.5, lock=lock)
            case "quota":
                limits = (rng.choice((None, 3, 6)), rng.choice((None, 12 * self.history.piece_bytes)))
                return self._call(kind, limits=limits if rng.random() < 0.5 else (None, None))
            case "read":
                return self._call(kind, path)
            case "list" | "sums":
                return self._call(kind, rng.choice(FOLDERS if kind == "sums" else ("", *FOLDERS)))
        return self._call(kind, rng.choice(LOCKED))

    # -- doing it

    async def _do(self, client: int, call: Call, rng: random.Random) -> Answer | None:
        """One operation, whatever it takes; None: its outcome stays open."""
        is_patient = (call.kind in ALWAYS_PATIENT or self._open >= OPEN_MAX or rng.random() >= self._impatience)
        began_s = time.monotonic()
        try:
            answer = await self._perform(call, rng, is_patient=is_patient)
        except Unreadable as error:
            self.history.violations.append(f"{call}: {error}")
            return None
        if answer is None and call.kind in READS:
            self.history.violations.append(f"{call}: no answer within {self._patience_s:.0f} s")
            return None
        self._open += answer is None
        self.history.operations.append(Operation(
            client, call, began_s, NEVER_S if answer is None else time.monotonic(), answer))
        return answer

    async def _perform(self, call: Call, rng: random.Random, *, is_patient: bool) -> Answer | None:
        until_s = time.monotonic() + self._patience_s
        request = self._door.request(call)
        if is_patient and rng.random() < HASTE:
            answer = await self._try(call, request, rng.choice(self._urls), rng.uniform(*HASTE_S))
            if answer is not None:
                return answer
            self.history.hasty += 1
        while time.monotonic() < until_s:
            answer = await self._try(call, request, rng.choice(self._urls),
                                     ATTEMPT_TIMEOUT_S if is_patient else IMPATIENT_S)
            if answer is not None or not is_patient:
                return answer
            self.history.retries += 1
            await asyncio.sleep(RETRY_REST_S)
        return None

    async def _try(self, call: Call, request: Request, url: str, timeout_s: float) -> Answer | None:
        found = await self._send(request, f"{self.history.bucket}-{call.number}", url, timeout_s)
        if found is None:
            return None
        if call.kind in READS and "fluffy-stale" in found.headers:
            self.history.stale += 1
            return None
        answer = self._door.answer(call, found)
        if call.kind == "read" and isinstance(answer, Done):
            self._bodies[call.path] = answer.detail.pieces
        return answer

    async def _send(self, request: Request, request_id: str, url: str, timeout_s: float) -> Found | None:
        try:
            async with self._session.request(
                    request.method, url + request.target, data=request.body,
                    headers={"Fluffy-Request-Id": request_id, **request.headers},
                    timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(1.0, timeout_s))) as answer:
                return Found(answer.status, {name.lower(): text for name, text in answer.headers.items()},
                             await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None  # the node is being killed: that is what the drill is for
