"""The bytes that the first version of this program with restores wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_rebuild import AbandonRebuild, BeginRebuild, EndRebuild, RebuildRows

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))
REBUILD = b"r" * 16

REBUILD_GOLDEN: list[tuple[Command, str]] = [
    (BeginRebuild(HEADER, REBUILD, "ab12"),
     "01975fc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41072727272727272727272727272727272a461623132"),
    (RebuildRows(HEADER, REBUILD, 7, "users", b"\x90"),
     "019960c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c4107272727272727272727272727272727207a5757365"
     "7273c40190"),
    (EndRebuild(HEADER, REBUILD, 8, 100, 50, 1_700_000_000_001, 3, 400),
     "019c61c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41072727272727272727272727272727272086432cf00"
     "00018bcfe5680103cd0190"),
    (AbandonRebuild(HEADER, REBUILD),
     "019662c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41072727272727272727272727272727272"),
]
