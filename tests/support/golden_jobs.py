"""The bytes that the first version of this program with jobs wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands import Command, PutFile
from fluffy.core.metadata.commands_jobs import (
    AssignJobs,
    CancelJobs,
    FinishJobs,
    JobOrder,
    JobResult,
    LeaseJobs,
    RequestScrub,
    RetryJobs,
    StealJobs,
)
from fluffy.core.metadata.commands_tree import PatchFile
from fluffy.core.metadata.commands_uploads import PutPart
from tests.support.golden_uploads import CHUNK, HEADER, UPLOAD

JOBS_GOLDEN: list[tuple[Command, str]] = [
    (AssignJobs(HEADER, 4, (JobOrder("repair", CHUNK, NodeNo(2), 1, 8 << 20, "missing"),
                            JobOrder("scrub", ChunkId(b""), NodeNo(1), 400, 0, "asked"))),
     "019746c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201049296a6726570616972c4206363636363636363636363"
     "6363636363636363636363636363636363636363630201ce00800000a76d697373696e6796a57363727562c40001cd019000a561736b65"
     "64"),
    (CancelJobs(HEADER, 4, (7, 300)),
     "019747c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201049207cd012c"),
    (LeaseJobs(HEADER, NodeNo(2), 8),
     "019848c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010208cdea60"),
    (LeaseJobs(HEADER, NodeNo(2), 8, 5_000),
     "019848c410000102030405060708090a0b0c0d0e0fcf0000018bcfe5680002010208cd1388"),
    (StealJobs(HEADER, NodeNo(3)),
     "019649c410000102030405060708090a0b0c0d0e0fcf0000018bcfe56800020103"),
    (FinishJobs(HEADER, NodeNo(2), (JobResult(7, 4, 1, "done"), JobResult(8, 4, 2, "failed", "DiskFull", b"p")),
                300, 20),
     "01994ac410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201029296070401a4646f6e65a0c40096080402a66661696c"
     "6564a84469736b46756c6cc40170cd012c14"),
    (RetryJobs(HEADER),
     "01964bc410000102030405060708090a0b0c0d0e0fcf0000018bcfe56800020190"),
    (RequestScrub(HEADER, (NodeNo(1), NodeNo(3))),
     "01964cc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201920103"),
]

# Fields that other kinds got at the same time.
SINCE_GOLDEN: list[tuple[Command, str]] = [
    (PutFile(HEADER, "b/c", 300, b"r" * 32, "ee", "", {}, {}, None, ((CHUNK, 300),), ((NodeNo(1), NodeNo(3)),),
             since_seq=9),
     "01dc001402c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f63cd012cc420727272727272727272727272"
     "7272727272727272727272727272727272727272a26565a08080c09192c420636363636363636363636363636363636363636363636363"
     "6363636363636363cd012c91920103c0c2c3c40009"),
    (PatchFile(HEADER, "b/c", b"i", 3, 1, 1, 300, b"", "ee", None, ((CHUNK, 300),), ((NodeNo(1),),), since_seq=9),
     "01dc001319c410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201a3622f63c40169030101cd012cc400a26565c09192"
     "c4206363636363636363636363636363636363636363636363636363636363636363cd012c919101c0c40009"),
    (PutPart(HEADER, UPLOAD, 1, 300, b"r" * 32, "ee", ((CHUNK, 300),), ((NodeNo(1),),), 9),
     "019d3dc410000102030405060708090a0b0c0d0e0fcf0000018bcfe568000201c4107575757575757575757575757575757501cd012cc4"
     "207272727272727272727272727272727272727272727272727272727272727272a265659192c420636363636363636363636363636363"
     "6363636363636363636363636363636363cd012c91910109"),
]
