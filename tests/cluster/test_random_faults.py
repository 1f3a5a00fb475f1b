"""Random faults in short; `make faults MINUTES=30` is the same at length. And the audit of leases sees what it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluffy.core.metadata.commands_jobs import FinishJobs, JobResult, LeaseJobs
from fluffy.core.metadata.outcomes import Accepted
from tests.faults import random_faults, two_dead
from tests.faults.ground import Ground
from tests.faults.lease_audit import Audit
from tests.support.cluster import NAMES, Cluster
from tests.support.local_log import header

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

SEED = 20_240_611
MINUTES = 0.1


async def test_many_things_fail_at_once_and_every_promise_is_kept(tmp_path: Path) -> None:
    ground = Ground(tmp_path, NAMES[:random_faults.NODES])
    cluster = Cluster(tmp_path, nodes=random_faults.NODES, cluster=random_faults.CLUSTER, around=ground)
    with ground, cluster:
        cluster.start_ready()
        report = await random_faults.run(cluster, ground, seed=SEED, minutes=MINUTES, whole_s=90.0)
    report.verify()
    assert sum(report.troubles.values()) >= 2, report.troubles


def lease(audit: Audit, node: int, job: int, now_ms: int) -> None:
    audit.note(LeaseJobs(header(), node, 1), Accepted(1, {"leased": [job], "until_ms": now_ms + 1000}), now_ms)


def finish(audit: Audit, node: int, job: int, now_ms: int, late: bool = False) -> None:
    audit.note(FinishJobs(header(), node, (JobResult(job, 1, 1, "done"),)),
               Accepted(1, {"late": [job] if late else []}), now_ms)


def test_a_job_that_is_leased_ended_and_leased_anew_after_its_lease_is_right() -> None:
    audit = Audit()
    lease(audit, 1, 7, 0)
    lease(audit, 2, 7, 1000)
    finish(audit, 1, 7, 1100, late=True)
    finish(audit, 2, 7, 1200)
    assert not audit.problems and (audit.leased, audit.done, audit.late) == (2, 1, 1)


def test_two_leases_at_a_time_and_two_ends_are_found() -> None:
    both = Audit()
    lease(both, 1, 7, 0)
    lease(both, 2, 7, 999)
    assert "while node 1 has it" in both.problems[0]
    late = Audit()
    lease(late, 1, 7, 0)
    finish(late, 1, 7, 1000)
    assert "did not have it" in late.problems[0]
    twice = Audit()
    for now_ms in (0, 10):
        lease(twice, 1, 7, now_ms)
        finish(twice, 1, 7, now_ms + 5)
    assert any("twice" in problem for problem in twice.problems)
    other = Audit()
    lease(other, 1, 7, 0)
    finish(other, 2, 7, 5)
    assert "did not have it" in other.problems[0]


async def test_two_of_five_die_for_good_and_every_file_gets_three_copies_again(tmp_path: Path) -> None:
    settings = {**two_dead.CLUSTER, "repair": {"mode": "fast", "down_after": "2s", "grace": "1s"}}
    with Cluster(tmp_path, nodes=two_dead.NODES, cluster=settings) as cluster:
        cluster.start_ready()
        report = await two_dead.run(cluster, rounds=1, seed=SEED, scale=0.004, span_s=2.0)
    report.verify(slack=10.0)
    assert report.missing_at_first > 0 and report.compared > 20
