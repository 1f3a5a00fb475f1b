"""The bytes that the first version of this program with keepers that can be asked wrote for their commands."""

from __future__ import annotations

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_keeper import AskKeepers, SetRepairMode

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))

KEEPER_GOLDEN: list[tuple[Command, str]] = [
    (SetRepairMode(HEADER, "quiet"),
     "019653c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a57175696574"),
    (AskKeepers(HEADER, "scrub", 3),
     "019754c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a5736372756203"),
]
