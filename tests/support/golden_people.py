"""Commands about people, and those whose later fields are used; with the bytes first written for each."""

from __future__ import annotations

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import AddToken, Command, DeleteFile, Header, MakeFolder, PutFile, RemoveFolder
from fluffy.core.metadata.commands_people import (
    AcquireLock,
    AddUser,
    ChangeUser,
    GiveBucket,
    Refusal,
    ReleaseLock,
    RemoveGrant,
    RemoveUser,
    RenewLock,
    ReportRefusals,
    RevokeToken,
    SetGrant,
    SetQuota,
)

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))

PEOPLE_GOLDEN: list[tuple[Command, str]] = [
    (PutFile(HEADER, "b/a", 0, b"r" * 32, "ee", "", {}, {}, b"", (), (), lock=b"l" * 32),
     "01dc001302c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6100c4207272727272727272727272727272"
     "727272727272727272727272727272727272a26565a08080c4009090c0c2c3c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c"),
    (DeleteFile(HEADER, "b/a", lock=b"l" * 32),
     "019903c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61c2c0c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (MakeFolder(HEADER, "b/d", lock=b"l" * 32),
     "019804c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64c2c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (RemoveFolder(HEADER, "b/d", b"l" * 32),
     "019705c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (AddToken(HEADER, "bob", b"t" * 32, "laptop", 1_800_000_000_000),
     "01990bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62c4207474747474747474747474747474747474"
     "747474747474747474747474747474a66c6170746f70cf000001a3185c5000"),
    (AddUser(HEADER, "bob", "user", b"scrypt$1"),
     "019828c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62a475736572c4087363727970742431"),
    (ChangeUser(HEADER, "bob", "readonly", b"", True),
     "019929c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62a8726561646f6e6c79c400c3"),
    (RemoveUser(HEADER, "bob", "eve"),
     "01972ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62a3657665"),
    (RevokeToken(HEADER, "bob", b"t" * 8),
     "01972bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62c4087474747474747474"),
    (SetGrant(HEADER, "docs", "everyone", "read"),
     "01982cc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4646f6373a865766572796f6e65a472656164"),
    (RemoveGrant(HEADER, "docs", "eve"),
     "01972dc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4646f6373a3657665"),
    (GiveBucket(HEADER, "docs", "eve"),
     "01972ec410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4646f6373a3657665"),
    (SetQuota(HEADER, "user", "bob", 1 << 30, None),
     "01992fc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a475736572a3626f62ce40000000c0"),
    (AcquireLock(HEADER, "docs/a", "shared", 30_000, b"l" * 32, "backup"),
     "019a30c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a6646f63732f61a6736861726564cd7530c4206c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6ca66261636b7570"),
    (RenewLock(HEADER, b"l" * 32, 30_000),
     "019731c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6ccd7530"),
    (ReleaseLock(HEADER, b"l" * 32, ""),
     "019732c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6ca0"),
    (ReportRefusals(HEADER, (Refusal(5, "bob", "write", "/docs/a", "no"),)),
     "019633c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201919505a3626f62a57772697465a72f646f63732f61a26e"
     "6f"),
]
