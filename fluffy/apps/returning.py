"""A node whose folder was emptied comes back by itself, once an admin has said that its new disk is welcome.

Such a node looks like one before the cluster's birth: no cluster in `node.json`. But the others have been born, and let
it in only when they know its name and `recover NAME` was said. It is asked about before the node's processes start, and
while it waits: the order in which disks are exchanged, nodes started and `recover` said shall not matter. Machines with
a new name join by `--join` alone, which somebody must mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluffy.apps.identity import Identity, load_or_create_identity
from fluffy.apps.joining import ask_once, note_answer
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import StartRefused
from fluffy.wire.joining import RETURN_HEADER, JoinAnswer

# A machine that is off may leave a question without an answer; so long it holds up a node's very first start.
ASK_TIMEOUT_S = 1.5
FIRST_ASK_S = 4.0
ASK_AGAIN_S = 2.0


def ask_to_return(settings: Settings, node: NodeSettings, identity: Identity) -> JoinAnswer | None:
    """Ask the nodes of the configuration in turn; None: none of them lets this disk in now."""
    for other in settings.nodes.values():
        if other.name == node.name:
            continue
        try:
            found = ask_once(settings, node, identity, other.host, other.http, timeout_s=ASK_TIMEOUT_S,
                             headers={RETURN_HEADER: "1"})
        except StartRefused:
            continue  # not welcome, or another cluster's; the log process tells the reason at /readyz
        if isinstance(found, JoinAnswer):
            return found
    return None


def return_if_welcome(settings: Settings, node: NodeSettings, identity: Identity) -> bool:
    """Before the processes start: become a member again. True: the folder belongs to the cluster now."""
    found = ask_to_return(settings, node, identity)
    if found is not None:
        note_answer(node, found)
    return found is not None


async def wait_for_welcome(settings: Settings, node: NodeSettings, is_settled: Callable[[], bool]) -> bool:
    """While the node waits for a cluster: whether it has been let in, so that it must start anew as a member.

    False when it needs no welcome: `is_settled` says that it has a cluster.
    """
    await asyncio.sleep(FIRST_ASK_S)
    while not is_settled():
        identity = load_or_create_identity(settings, node)
        if identity.cluster_uuid is not None:
            return False
        if await asyncio.to_thread(ask_to_return, settings, node, identity) is not None:
            return True
        await asyncio.sleep(ASK_AGAIN_S)
    return False
