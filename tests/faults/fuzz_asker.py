"""As whom a fuzz asks: a user whose token is renewed whenever a made-up request has ended it, or the user.

A fuzz that ends its own credential goes on with nothing but 401s, and every check passes. The one who sets up the world
and renews is an admin of a name that is made up anew for each drill; a made-up request that names it after all (it
stands in the list of users) is turned to the asker.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

UNAUTHENTICATED = 401
SHUT_OUT = 0  # counted under this number: a 401 because the token had ended
# What ends tokens and users, and takes rights away: looked after at once, for the next request is to be a test again.
ENDING = ("/v1/logout", "/v1/session", "/v1/tokens", "/v1/admin/users")
# A round of which more was shut out was no test of anything but the lock of the door.
SHUT_OUT_PERCENT_MAX = 5


@dataclass(frozen=True)
class Operator:
    """Who sets up the world; `url` is a node's."""

    url: str
    name: str
    token: str

    def ask(self, method: str, target: str, body: Any = None) -> bytes:
        """The answer; a refusal (it is there already, it is locked) is fine."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + target, data=data, method=method,
                                         headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.read()

    def fresh_token(self, name: str, role: str) -> str:
        """A token of a user who is there, may come in, and has no others. Raises ValueError."""
        self.ask("POST", "/v1/admin/users", {"name": name, "role": role})
        self.ask("PATCH", f"/v1/admin/users/{name}", {"disabled": False, "role": role})
        self.ask("DELETE", f"/v1/tokens/all?user={name}")
        document = json.loads(self.ask("POST", "/v1/tokens", {"user": name}))
        if "token" not in document:
            raise ValueError(f"{name} gets no token: {document}")
        return str(document["token"])


    def lets_in(self, token: str, role: str) -> bool:
        """Whether a token still opens the door, with the rights it was made for."""
        with_it = Operator(self.url, "", token)
        return bool(json.loads(with_it.ask("GET", "/v1/whoami")).get("role") == role)


@dataclass
class Asker:
    """The round's user, and what was answered to requests with its token."""

    name: str
    token: str
    spared: str
    lets_in: Callable[[str], bool]
    renew: Callable[[], str]
    answers: Counter[int] = field(default_factory=Counter)
    _ended: set[str] = field(default_factory=set)

    def credential(self, sent: str) -> str:
        """What to send instead of a credential that was put into a request before the token was renewed."""
        return f"Bearer {self.token}" if sent.removeprefix("Bearer ") in self._ended else sent

    def answered(self, path: str, sent: str | None, status: int) -> None:
        """Count the answer, and renew the token if the request may have ended it and has."""
        if sent != f"Bearer {self.token}":
            return
        is_suspect = status == UNAUTHENTICATED or path.startswith(ENDING)
        if not is_suspect or self.lets_in(self.token):
            self.answers[status] += 1  # a 401 to a wrong password is an answer, too
            return
        self.answers[SHUT_OUT if status == UNAUTHENTICATED else status] += 1
        self._ended.add(self.token)
        self.token = self.renew()

    def spare(self, value: Any) -> Any:
        """The value; instead of the operator's name the asker's."""
        return self.name if value == self.spared else value


def is_shut_out(answers: Counter[int]) -> bool:
    """Whether so many requests came with an ended token that the round has shown nothing."""
    return answers[SHUT_OUT] * 100 > answers.total() * SHUT_OUT_PERCENT_MAX
