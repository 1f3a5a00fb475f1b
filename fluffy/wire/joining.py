"""How a new machine asks a member to let it in: over HTTP, with a proof that it has the cluster's secret.

    POST /v1/join   {"node": {…}, "cluster": NAME, "at_ms": …, "nonce": hex, "proof": hex}
    answer          {"node_no": …, "cluster_uuid": …, "voters": {…}, "nodes": [{…}], "proof": hex}

The proof is keyed BLAKE3 over the rest in canonical JSON; its key is HKDF-SHA256 of the cluster secret for this one
purpose. The answer's proof covers the question's nonce: whoever does not have the secret can neither ask nor answer,
whatever the transport. A question is good for some minutes; asking it again changes nothing (it names one disk).
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from blake3 import blake3

from fluffy.base.errors import FrameCorrupt, PreconditionFailed, RequestMalformed, Unauthenticated
from fluffy.base.units import MINUTE_MS

T = TypeVar("T")
PURPOSE = "join"
# With this header a machine asks only to be let in again under a name that is known (apps/returning.py).
RETURN_HEADER = "Fluffy-Return"
NONCE_BYTES = 16
# A clock may be wrong by this much; more would also make leases and expiry times of this node strange.
AGE_MAX_MS = 10 * MINUTE_MS
TEXT_CHARS_MAX = 256
NODES_MAX = 256


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The machine that asks; as it will stand in the catalog."""

    name: str
    disk_uuid: str
    zone: str
    host: str
    http: int
    raft: int
    data: int
    s3: int


@dataclass(frozen=True, slots=True)
class JoinQuestion:
    node: Newcomer
    cluster: str
    at_ms: int
    nonce: str


@dataclass(frozen=True, slots=True)
class KnownNode:
    name: str
    disk_uuid: str
    host: str
    raft: int


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """`voters`: name -> disk UUID; `nodes`: all members, the newcomer too."""

    node_no: int
    cluster_uuid: str
    voters: dict[str, str]
    nodes: tuple[KnownNode, ...]


def new_nonce() -> str:
    return os.urandom(NONCE_BYTES).hex()


def encode_question(question: JoinQuestion, key: bytes) -> bytes:
    return _sealed(asdict(question), key, b"question")


def decode_question(value: Mapping[str, Any], key: bytes, now_ms: int) -> JoinQuestion:
    """Raises Unauthenticated without a good proof, RequestMalformed for what is not a question, PreconditionFailed for
    one that is too old or from the future.
    """
    try:
        found = _opened(value, key, b"question")
        question = JoinQuestion(_record(Newcomer, found["node"]), _text(found["cluster"]), _number(found["at_ms"]),
                                _text(found["nonce"]))
    except RecursionError as error:  # of a stranger: no proof has been looked at
        raise RequestMalformed("the question of a machine that wants to join is nested too deeply") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RequestMalformed("the question of a machine that wants to join is not readable") from error
    if abs(now_ms - question.at_ms) > AGE_MAX_MS:
        raise PreconditionFailed("the clock of the machine that wants to join differs by more than ten minutes; set it "
                                 "right first")
    return question


def encode_answer(answer: JoinAnswer, nonce: str, key: bytes) -> bytes:
    return _sealed(asdict(answer), key, b"answer" + nonce.encode())


def decode_answer(data: bytes, nonce: str, key: bytes) -> JoinAnswer:
    """Raises Unauthenticated when whoever answered does not have the secret, FrameCorrupt for garbage."""
    try:
        found = _opened(json.loads(data), key, b"answer" + nonce.encode())
        nodes = found["nodes"]
        if not isinstance(nodes, list) or len(nodes) > NODES_MAX or not isinstance(found["voters"], dict):
            raise ValueError
        voters = {_text(name): _text(disk) for name, disk in found["voters"].items()}
        return JoinAnswer(_number(found["node_no"]), _text(found["cluster_uuid"]), voters,
                          tuple(_record(KnownNode, node) for node in nodes))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FrameCorrupt("the answer to a question to join is not readable") from error


def _sealed(value: dict[str, Any], key: bytes, role: bytes) -> bytes:
    return json.dumps(value | {"proof": _proof(value, key, role)}).encode()


def _opened(value: Any, key: bytes, role: bytes) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError
    rest = {name: part for name, part in value.items() if name != "proof"}
    proof = value.get("proof")
    if not isinstance(proof, str) or not proof.isascii() or not hmac.compare_digest(proof, _proof(rest, key, role)):
        raise Unauthenticated("the cluster secret is another one there: copy the file from a machine of this cluster")
    return rest


def _proof(value: Mapping[str, Any], key: bytes, role: bytes) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return blake3(role + b"\x00" + canonical, key=key).hexdigest()


def _record(cls: type[T], value: Any) -> T:
    """A flat record of texts and numbers, exactly as its class says."""
    named = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(value, dict) or set(value) != set(named):
        raise ValueError
    return cls(**{name: _text(value[name]) if kind == "str" else _number(value[name]) for name, kind in named.items()})


def _text(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise ValueError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError
    return value
