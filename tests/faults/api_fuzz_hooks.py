"""What schemathesis loads for `tests.faults.api_fuzz`: makes requests reach things that are there.

Texts that it makes up name nothing. Two of three are therefore replaced by the name of something that the drill has
made, or that a fuzzed request may have made: then deleting, moving, locking and restoring do happen. The round's token
is renewed when one of them has ended it (`tests.faults.fuzz_asker`).
"""

from __future__ import annotations

import atexit
import json
import os
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import schemathesis

from tests.faults.fuzz_asker import Asker, Operator

ASKER_VARIABLE = "FLUFFY_FUZZ_ASKER"
ANSWERS_FILE = Path("answers.json")
PATHS = ("fuzz/a.txt", "fuzz/b.bin", "fuzz/docs", "fuzz/docs/c.txt", "fuzz/new.txt", "fuzz", "other", "other/d")
# A machine is named where nothing happens to it: the only node must not be drained, restarted or removed.
POOLS = {"path": PATHS, "name": ("someone", "fuzz", "other"), "node": ("one",), "no": ("1", "2"), "n": ("1", "2"),
         "id": ("00" * 16, "all-of-them"), "user": ("someone",), "owner": ("fuzz", "someone"),
         "bucket": ("fuzz", "other"), "at": ("-1s", "2999-01-01"), "from": ("-1h",), "to": ("-0s",), "stop": ("one",),
         "after": ("a",), "If-Match": ("*", '"x"'), "If-None-Match": ("*", '"x"'), "Range": ("bytes=0-1", "bytes=9-"),
         "Content-Range": ("bytes 0-0/*", "bytes 9-12/*")}
FIELDS = {"path": PATHS, "src": PATHS, "dst": PATHS, "target": PATHS, "user": ("someone",), "grantee": ("*",),
          "bucket": ("fuzz", "other"), "owner": ("fuzz",), "at": ("-1s",), "name": ("someone", "another")}
NOT_FOR_NODES = "/v1/admin/nodes/"
WAIT_S_MAX = 1


def _asker() -> Asker:
    """The one whom the drill tells in a variable: {url, operator, operator_token, name, role, token}."""
    told = json.loads(os.environ[ASKER_VARIABLE])
    operator = Operator(told["url"], told["operator"], told["operator_token"])
    return Asker(told["name"], told["token"], operator.name,
                 lambda token: operator.lets_in(token, told["role"]),
                 lambda: operator.fresh_token(told["name"], told["role"]))


ASKER = _asker()
atexit.register(lambda: ANSWERS_FILE.write_text(json.dumps(ASKER.answers)))


@schemathesis.auth(refresh_interval=None)
class Credential:
    """The asker's token of this moment."""

    def get(self, case: Any, context: Any) -> str:
        return ASKER.token

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change the case in place."""
    for name, text in dict(case.path_parameters or {}).items():
        known = () if case.path.startswith(NOT_FOR_NODES) and name == "name" else POOLS.get(name, ())
        chosen = ASKER.spare(_choose(known, text))
        # A tail keeps its slashes.
        case.path_parameters[name] = text if chosen is text else quote(chosen)
        if name == "path" and chosen is text and isinstance(text, str):
            case.path_parameters[name] = "fuzz/" + quote(unquote(text)[:200])
    for values, pools in ((case.query, POOLS), (case.headers, POOLS)):
        for name in list(values or {}):
            values[name] = ASKER.spare(_choose(pools.get(name, ()), values[name]))
    if "Authorization" in (case.headers or {}):
        case.headers["Authorization"] = ASKER.credential(str(case.headers["Authorization"]))
    if case.query and "wait_s" in case.query:
        case.query["wait_s"] = WAIT_S_MAX
    if isinstance(case.body, dict):
        for name in list(case.body):
            case.body[name] = ASKER.spare(_choose(FIELDS.get(name, ()), case.body[name]))
        if "wait_s" in case.body and isinstance(case.body["wait_s"], int | float):
            case.body["wait_s"] = WAIT_S_MAX


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """See whether the round can still come in."""
    ASKER.answered(case.path, response.request.headers.get("Authorization"), response.status_code)


def _choose(known: tuple[str, ...], value: Any) -> Any:
    """One of the known ones, or the value itself: by chance, and the same for the same value."""
    chance = random.Random(repr(value))
    return value if not known or chance.random() < 1 / 3 else chance.choice(known)
