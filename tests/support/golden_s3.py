"""The bytes that the first version of this program with an S3 door wrote for each of its commands."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_s3 import (
    AddKey,
    CopyObject,
    DeleteObjects,
    PutObject,
    RemoveKey,
    SetBucketDocument,
)

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))
CHUNK = ChunkId(b"c" * 32)
LOCK = b"l" * 32

S3_GOLDEN: list[tuple[Command, str]] = [
    (PutObject(HEADER, "b/ü/", 3, b"r" * 32, "ee", "text/plain", {"m": "1"}, {"t": ""}, b"abc", (), (), "x", True,
               False, LOCK),
     "01dc001369c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a5622fc3bc2f03c420727272727272727272727272"
     "7272727272727272727272727272727272727272a26565aa746578742f706c61696e81a16da13181a174a0c4036162639090a178c3c2c4"
     "206c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"),
    (PutObject(HEADER, "b/c", 300, b"r" * 32, "e-2", "", {}, {}, None, ((CHUNK, 300),), ((NodeNo(1), NodeNo(3)),)),
     "01dc001369c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f63cd012cc420727272727272727272727272"
     "7272727272727272727272727272727272727272a3652d32a08080c09192c4206363636363636363636363636363636363636363636363"
     "636363636363636363cd012c91920103c0c2c3c400"),
    (DeleteObjects(HEADER, "b", ("a", "d/"), ("*", "")),
     "01986ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a16292a161a2642f92a12aa0"),
    (CopyObject(HEADER, "b/a", 3, "c/a", "text/plain", {"m": "1"}, {}, "ee", True),
     "019d6bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6103a3632f61aa746578742f706c61696e81a16d"
     "a13180a26565c3"),
    (CopyObject(HEADER, "b/a", 0, "c/a"),
     "019d6bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6100a3632f61c0c0c0c0c2"),
    (AddKey(HEADER, "bob", "AK1", b"sealed", "laptop"),
     "01996cc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62a3414b31c4067365616c6564a66c6170746f70"),
    (RemoveKey(HEADER, "bob", "AK1"),
     "01976dc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3626f62a3414b31"),
    (SetBucketDocument(HEADER, "b", "acl", b"public-read"),
     "01986ec410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a162a361636cc40b7075626c69632d72656164"),
    (SetBucketDocument(HEADER, "b", "acl", None),
     "01986ec410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a162a361636cc0"),
]
