"""The bytes that the first version of this program with jobs wrote for each of their commands."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands import Command
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
from tests.support.golden_uploads import CHUNK, HEADER

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
