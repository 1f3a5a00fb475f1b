"""`server.py NAME --join HOST:PORT`: a machine asks a member to let it in, before any of its processes start.

It knows its own lines of the configuration, the cluster's secret and one peer. What it is told (who the others are) is
written to `seed.json`, then the cluster's UUID to `node.json`; from there on it starts like any other node, fetches
what it lacks from the leader, and gets its vote when it has caught up. Asked again after a crash it says the same.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fluffy.apps.identity import Identity, record_cluster_uuid
from fluffy.apps.seed import Seed, SeedNode, write_seed
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import ConfigIllegal, FluffyError, FrameCorrupt, StartRefused
from fluffy.base.ids import ClusterUuid
from fluffy.wire.handshake import derive_key
from fluffy.wire.iptable import PORT_MAX, check_host
from fluffy.wire.joining import (
    PURPOSE,
    JoinAnswer,
    JoinQuestion,
    Newcomer,
    decode_answer,
    encode_question,
    new_nonce,
)

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 15.0
ASK_AGAIN_S = 1.0
ANSWER_BYTES_MAX = 512 * 1024
# A cluster without a leader, or one that is just removing the old disk, says "later"; so long it is asked again.
PATIENCE_S = 300.0
# Who cannot be reached for so long is not there.
UNREACHABLE_S = 30.0
_EVERYWHERE = ("0.0.0.0", "::", "")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet, and why. `is_silence`: nobody answered at all."""

    reason: str
    is_silence: bool = False


def join_cluster(settings: Settings, node: NodeSettings, identity: Identity, peer: str,
                 rest: Callable[[float], bool], say: Callable[[str], None]) -> bool:
    """Become a member. `rest(seconds)` waits and says whether to give up; `say` tells whoever stands at the terminal.

    False: it was told to give up. Raises StartRefused with what to do.
    """
    host, port = parse_peer(peer)
    if node.host in _EVERYWHERE:
        raise ConfigIllegal(f"nodes.{node.name}.host is {node.host!r}: the others need an address at which they reach "
                            "this machine")
    began_s = heard_s = time.monotonic()
    said = ""
    while True:
        found = ask_once(settings, node, identity, host, port)
        if isinstance(found, JoinAnswer):
            note_answer(node, found)
            log.info("cluster.admitted", extra={"node_no": found.node_no, "cluster_uuid": found.cluster_uuid})
            return True
        now_s = time.monotonic()
        heard_s = heard_s if found.is_silence else now_s
        if now_s - heard_s > UNREACHABLE_S or now_s - began_s > PATIENCE_S:
            raise StartRefused(f"node {node.name} cannot join through {peer}: {found.reason}")
        if found.reason != said:
            said = found.reason
            say(f"waiting to join through {peer}: {said}")
        if rest(ASK_AGAIN_S):
            return False


def parse_peer(text: str) -> tuple[str, int]:
    """`HOST:PORT`, or a URL of it. Raises StartRefused."""
    bare = text.partition("://")[2] or text
    host, _, port = bare.rstrip("/").rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise StartRefused(f"--join {text}: write HOST:PORT, the HTTP address of any node of the cluster")
    check_host(host, f"--join {text}")
    return host, int(port)


def ask_once(settings: Settings, node: NodeSettings, identity: Identity, host: str, port: int, *,
             timeout_s: float = ASK_TIMEOUT_S, headers: Mapping[str, str] = NO_HEADERS) -> JoinAnswer | Later:
    """Ask one member. Raises StartRefused for a no that time does not change."""
    key = derive_key(settings.secret(), PURPOSE)
    newcomer = Newcomer(node.name, identity.disk_uuid, node.zone, node.host, node.http, node.raft, node.data,
                        node.s3 or 0)
    question = JoinQuestion(newcomer, settings.cluster.name, time.time_ns() // 1_000_000, new_nonce())
    try:
        status, body = _post(settings, host, port, encode_question(question, key), timeout_s, headers)
    except (OSError, http.client.HTTPException) as error:
        return Later(f"it does not answer ({error})", is_silence=True)
    if status == 200:
        try:
            return decode_answer(body, question.nonce, key)
        except FluffyError as error:
            raise StartRefused(f"{host}:{port} does not have this cluster's secret, or is another program: "
                               f"{error.message}") from error
    code, message = _refusal_of(body)
    if status in (429, 503) or code == "PreconditionFailed":
        return Later(message)
    raise StartRefused(f"node {node.name} may not join: {message}")


def _post(settings: Settings, host: str, port: int, body: bytes, timeout_s: float, headers: Mapping[str, str],
          ) -> tuple[int, bytes]:
    if settings.tls.cert is None:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    else:
        # The answer proves by itself who gave it (wire/joining.py), and nothing secret is sent.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    try:
        connection.request("POST", "/v1/join", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _refusal_of(body: bytes) -> tuple[str, str]:
    try:
        error = json.loads(body)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", "its answer is not one of a node of this version"


def note_answer(node: NodeSettings, answer: JoinAnswer) -> None:
    """Make the folder that of a member, with an address book of the others."""
    if not answer.cluster_uuid or not answer.nodes:
        raise FrameCorrupt("the answer to a question to join names no cluster")
    others = tuple(SeedNode(known.name, known.disk_uuid, known.host, known.raft) for known in answer.nodes
                   if known.name != node.name)
    write_seed(node.dir, Seed(answer.voters, others))
    record_cluster_uuid(node.dir, ClusterUuid(answer.cluster_uuid))
