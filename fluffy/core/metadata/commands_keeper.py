"""What admins ask of the keepers: the pace of repair, and work to be done now. Kinds 83 and 84, feature level 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class SetRepairMode:
    """How much background work may take, on all nodes: `quiet`, `balanced`, `fast`; empty: what each config says."""

    KIND: ClassVar[int] = 83
    header: Header
    mode: str


@dataclass(frozen=True, slots=True)
class AskKeepers:
    """Let a node (0: every node) do something now. `recover`: compare its disk with the catalog, in both directions.

    A node that is away does it when it returns.
    """

    KIND: ClassVar[int] = 84
    header: Header
    what: str
    node_no: int


KeeperCommand = SetRepairMode | AskKeepers
KEEPER_COMMANDS = (SetRepairMode, AskKeepers)
