"""The bytes that the first version of this program with a tree for people wrote for each of its commands."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_tree import (
    AppendFile,
    Copy,
    DeleteFolder,
    EmptyTrash,
    Move,
    PatchFile,
    PurgeVersion,
    RestoreFolderAt,
    RestoreVersion,
    SetBucketRules,
    SetMeta,
    SetTags,
    TouchFile,
    Undelete,
)

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))
CHUNK = ChunkId(b"c" * 32)
LOCK = b"l" * 32

TREE_GOLDEN: list[tuple[Command, str]] = [
    (Move(HEADER, "b/ü", "b/d/v", True, False, "*", "ee", LOCK),
     "019c14c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a4622fc3bca5622f642f76c3c2a12aa26565c4206c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (Copy(HEADER, "b/a", "b/c", 3, True, False, "ee", "*", {"m": "1"}, {"t": ""}, "text/plain", LOCK),
     "01dc001015c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61a3622f6303c3c2a26565a12a81a16da1"
     "3181a174a0aa746578742f706c61696ec4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (DeleteFolder(HEADER, "b/d", True, LOCK),
     "019816c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64c3c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (TouchFile(HEADER, "b/a", False, "*", LOCK),
     "019917c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61c2a12ac4206c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (AppendFile(HEADER, "b/a", b"line", "text/plain", False, "ee", LOCK),
     "019b18c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61c4046c696e65aa746578742f706c61696ec2"
     "a26565c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (PatchFile(HEADER, "b/a", b"i" * 8, 4, 2, 1, 700, b"", "e-3", None,
               ((CHUNK, 300),), ((NodeNo(1), NodeNo(3)),), "ee", LOCK),
     "01dc001219c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f61c4086969696969696969040201cd02bc"
     "c400a3652d33c09192c4206363636363636363636363636363636363636363636363636363636363636363cd012c91920103a26565c4"
     "206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (SetTags(HEADER, "b/a", {"t": "v"}, "ee", LOCK),
     "01991ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6181a174a176a26565c4206c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (SetMeta(HEADER, "b/a", {"m": "v"}, "text/plain", "ee", LOCK),
     "019a1bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6181a16da176aa746578742f706c61696ea265"
     "65c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (RestoreVersion(HEADER, "b/a", 3, 7, LOCK),
     "01991cc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f610307c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (Undelete(HEADER, "b/a", 12, "b/c", LOCK),
     "01991dc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f610ca3622f63c4206c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (PurgeVersion(HEADER, "b/a", 3, LOCK),
     "01981ec410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6103c4206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (EmptyTrash(HEADER, "b", "12", 100),
     "01981fc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a162a2313264"),
    (SetBucketRules(HEADER, "b", 30, None, 2),
     "019920c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a1621ec002"),
    (RestoreFolderAt(HEADER, "b/d", 1_600_000_000_000, True, "e/", 50, LOCK),
     "019b21c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f64cf00000174876e8000c3a2652f32c4206c6c"
     "6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
]
