"""What admins ask of the keepers. The keepers read it from the state, each in its own time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import NodeNotFound, RequestError
from fluffy.core.metadata.commands_keeper import AskKeepers, SetRepairMode
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.core.metadata.refusals import refuse_operator, refused
from fluffy.core.metadata.working import Working

REPAIR_MODES = ("quiet", "balanced", "fast")
ASKS = ("recover",)


def set_repair_mode(work: Working, command: SetRepairMode) -> Outcome:
    """facts: mode."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if command.mode and command.mode not in REPAIR_MODES:
        return refused(RequestError, f"repair is {', '.join(REPAIR_MODES)}, or empty for what config.yaml says")
    if command.mode:
        work.db.execute("INSERT OR REPLACE INTO repair_mode VALUES (1, ?)", (command.mode,))
    else:
        work.db.execute("DELETE FROM repair_mode")
    work.seq += 1
    return Accepted(work.seq, {"mode": command.mode})


def ask_keepers(work: Working, command: AskKeepers) -> Outcome:
    """facts: ask (the wish's position, by which a keeper knows it)."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if command.what not in ASKS:
        return refused(RequestError, f"keepers can be asked to {' or to '.join(ASKS)}")
    if command.node_no != 0 and command.node_no not in work.nodes:
        return refused(NodeNotFound, node_no=command.node_no)
    work.seq += 1
    work.db.execute("INSERT OR REPLACE INTO keeper_asks VALUES (?, ?, ?, ?)",
                    (command.what, command.node_no, work.seq, work.clock_ms))
    return Accepted(work.seq, {"ask": work.seq})


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    SetRepairMode.KIND: set_repair_mode,
    AskKeepers.KIND: ask_keepers,
}
