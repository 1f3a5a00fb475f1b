"""The bytes that the first version of this program with S3's multipart uploads wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_object_uploads import BeginObject, CompleteObject, PutObjectPart

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))
CHUNK = ChunkId(b"c" * 32)
UPLOAD = b"u" * 16

OBJECT_UPLOADS_GOLDEN: list[tuple[Command, str]] = [
    (BeginObject(HEADER, UPLOAD, "b/ü/", 86_400_000, 8 << 20, None, "text/plain", {"@upload-sum": "crc32"}, {"t": ""}),
     "01dc00106fc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41075757575757575757575757575757575a5622f"
     "c3bc2fce05265c00ce00800000c0aa746578742f706c61696e81ab4075706c6f61642d73756da5637263333281a174a0c0c2c400"),
    (PutObjectPart(HEADER, UPLOAD, 10_000, 300, b"r" * 32, "0" * 32, ((CHUNK, 300),), ((NodeNo(1), NodeNo(3)),),
                   sums={"crc32": "AAAAAA=="}),
     "019e70c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41075757575757575757575757575757575cd2710cd01"
     "2cc4207272727272727272727272727272727272727272727272727272727272727272d920303030303030303030303030303030303030"
     "30303030303030303030303030309192c4206363636363636363636363636363636363636363636363636363636363636363cd012c9192"
     "01030081a56372633332a84141414141413d3d"),
    (CompleteObject(HEADER, UPLOAD, ((1, b"m" * 16),), None, b"", "0-1", None, True, b"", {"@parts": "1x300"}),
     "019e71c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41075757575757575757575757575757575919201c410"
     "6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6dc0c400a3302d31c0c3c40081a6407061727473a53178333030"),
    (CompleteObject(HEADER, UPLOAD, ((1, b"m" * 16),), None, b"", "0-1"),
     "019e71c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c41075757575757575757575757575757575919201c410"
     "6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6dc0c400a3302d31c0c2c400c0"),
]
