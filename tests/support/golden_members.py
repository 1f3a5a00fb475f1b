"""The bytes that the first version of this program with members that come and go wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_members import (
    AdmitNode,
    DrainNode,
    RemoveNode,
    RetireNode,
    SetVoters,
    StripCopies,
    WelcomeDisk,
)

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))

MEMBERS_GOLDEN: list[tuple[Command, str]] = [
    (AdmitNode(HEADER, "four", "disk-4", "d", "10.0.0.4", 7104, 7204, 7304, 0),
     "019d55c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4666f7572a66469736b2d34a164a831302e302e302e"
     "34cd1bc0cd1c24cd1c8800"),
    (SetVoters(HEADER, 3, (("one", "disk-1"), ("two", "disk-2"))),
     "019756c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201039292a36f6e65a66469736b2d3192a374776fa66469"
     "736b2d32"),
    (DrainNode(HEADER, "one", True),
     "019757c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a36f6e65c3"),
    (RemoveNode(HEADER, "one", True),
     "019758c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a36f6e65c3"),
    (RetireNode(HEADER, 3, NodeNo(2)),
     "019759c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010302"),
    (StripCopies(HEADER, 3, NodeNo(2), 1_000),
     "01985ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010302cd03e8"),
    (WelcomeDisk(HEADER, "two", 3_600_000),
     "01975bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a374776fce0036ee80"),
]
