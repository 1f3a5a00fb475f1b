"""People who ask a door for things, each with a token of the same name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from blake3 import blake3

from fluffy.core.metadata.commands import AddToken
from fluffy.core.metadata.commands_people import AddUser, SetGrant
from tests.support.described import faults
from tests.support.local_log import ADMIN_TOKEN, header
from tests.support.native_door import Door


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, read."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        value: dict[str, Any] = self.value["error"]
        return value

    @property
    def code(self) -> str:
        """The code of the failure; empty: there is none."""
        return str(self.error["code"]) if self.status >= 400 and self.body else ""


@dataclass(frozen=True, slots=True)
class Asker:
    """`token` None: a stranger."""

    door: Door
    token: str | None

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Told:
        """`body`: bytes as they are, anything else as JSON; None: none. `target`: with its query, encoded.

        Every answer must be as the API's description says.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with aiohttp.ClientSession() as session, session.request(
                method, self.door.url + target, data=data, headers=sent) as answer:
            told = Told(answer.status, {name.lower(): value for name, value in answer.headers.items()},
                        await answer.read())
        found = faults(method, target, told.status, told.headers.get("content-type", ""), told.body)
        assert not found, found
        return told

    async def must(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer that has to be a success."""
        told = await self.ask(method, target, body, **headers)
        assert told.status < 300, (method, target, told.status, told.body)
        return told.value


def admin_of(door: Door) -> Asker:
    return Asker(door, ADMIN_TOKEN)


def stranger_of(door: Door) -> Asker:
    return Asker(door, None)


def user_of(door: Door, name: str, role: str = "user") -> Asker:
    """A new user."""
    door.cluster.log.apply(AddUser(header(), name, role))
    door.cluster.log.apply(AddToken(header(), name, blake3(name.encode()).digest(), "test"))
    return Asker(door, name)


def grant(door: Door, bucket: str, name: str, right: str) -> None:
    door.cluster.log.apply(SetGrant(header(), bucket, name, right))
