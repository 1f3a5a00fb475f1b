"""The bytes that the first version of this program with versions of objects wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Command, Header
from fluffy.core.metadata.commands_object_versions import DeleteVersions, ExpireObjects, MarkObject

HEADER = Header(RequestId(bytes(range(16))), 1_700_000_000_000, NodeNo(2), UserNo(1))

OBJECT_VERSIONS_GOLDEN: list[tuple[Command, str]] = [
    (DeleteVersions(HEADER, "b", (("a", 7), ("ü/", 1 << 40))),
     "019772c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a1629292a1610792a3c3bc2fcf0000010000000000"),
    (MarkObject(HEADER, "b/a", 0, {"k": "v"}),
     "019973c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f610081a16ba176c0"),
    (MarkObject(HEADER, "b/a", 7, None, {"@acl": ""}),
     "019973c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f6107c081a44061636ca0"),
    (ExpireObjects(HEADER, 4, "b", (("a", 7),)),
     "019874c410000102030405060708090a0b0c0d0e0fcf0000018bcfe56800020104a1629192a16107"),
]
