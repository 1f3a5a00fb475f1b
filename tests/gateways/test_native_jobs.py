"""Background work over HTTP: what is planted in the state is told, with what holds it up and when it will be done."""

from __future__ import annotations

import pytest

from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, SetFeatureLevel
from fluffy.core.metadata.commands_jobs import LeaseJobs
from tests.support.asking import admin_of, user_of
from tests.support.jobs import assign_job, by_cluster, fail_job
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, Door


@pytest.fixture(autouse=True)
async def some_work(door: Door) -> None:
    door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))
    await door.put("admin/f", b"a" * CHUNK_SIZE + b"b" * CHUNK_SIZE + b"c" * 10)


async def test_without_work_there_is_nothing_to_tell_but_what_is_missing(door: Door) -> None:
    answer = await admin_of(door).must("GET", "/v1/jobs")
    assert answer["jobs"] == answer["queues"] == [] and answer["after"] is None
    assert answer["repair"] | {"copies": None} == {
        "copies": None, "queued": 0, "running": 0, "stuck": 0, "done": 0, "stolen": 0, "rate": None, "left_s": None}
    assert answer["repair"]["copies"]["short"] == 3


async def test_queues_and_jobs_are_told_with_their_times(door: Door) -> None:
    first, second = assign_job(door, "admin/f", 3), assign_job(door, "admin/f", 3, index=1)
    door.cluster.log.apply(LeaseJobs(by_cluster(door), door.cluster.reader.read(
        lambda db: queries.job(db, first)).node_no, 1))  # type: ignore[union-attr]
    answer = await admin_of(door).must("GET", "/v1/jobs")
    [queue] = answer["queues"]
    assert (queue["node"], queue["state"], queue["queued"], queue["leased"]) == ("three", "up", 1, 1)
    states = {job["job"]: job for job in answer["jobs"]}
    assert {job["state"] for job in answer["jobs"]} == {"leased", "queued"} and set(states) == {first, second}
    leased = next(job for job in answer["jobs"] if job["state"] == "leased")
    assert leased["lease_ends_s"] > 0 and leased["node"] == "three" and leased["blocked"] is None
    assert all(job["done_in_s"] == 0 and job["bytes"] == CHUNK_SIZE for job in answer["jobs"])
    assert answer["repair"]["queued"] == answer["repair"]["running"] == 1


async def test_jobs_come_in_pages_and_by_node_and_state(door: Door) -> None:
    numbers = sorted([assign_job(door, "admin/f", 3, index=index) for index in range(3)])
    admin = admin_of(door)
    page = await admin.must("GET", "/v1/jobs?limit=2")
    assert [job["job"] for job in page["jobs"]] == numbers[:2] and page["after"] == numbers[1]
    page = await admin.must("GET", f"/v1/jobs?limit=2&after={page['after']}")
    assert [job["job"] for job in page["jobs"]] == numbers[2:] and page["after"] is None
    assert (await admin.must("GET", "/v1/jobs?node=one"))["jobs"] == []
    assert len((await admin.must("GET", "/v1/jobs?node=three&state=queued"))["jobs"]) == 3
    assert (await admin.must("GET", "/v1/jobs?state=stuck"))["jobs"] == []
    assert (await admin.ask("GET", "/v1/jobs?node=nine")).status == 404
    assert (await admin.ask("GET", "/v1/jobs?state=lazy")).status == 400


async def test_a_stuck_job_says_why_and_is_retried(door: Door) -> None:
    job = assign_job(door, "admin/f", 3)
    admin = admin_of(door)
    fail_job(door, job, "PeerUnreachable", 1)
    told = await admin.must("GET", f"/v1/jobs/{job}")
    assert "after failure 1 (PeerUnreachable)" in told["blocked"]
    fail_job(door, job, "AllCopiesBad", 4)
    told = await admin.must("GET", f"/v1/jobs/{job}")
    assert (told["state"], told["failures"], told["error"], told["done_in_s"]) == ("stuck", 5, "AllCopiesBad", None)
    assert told["blocked"].startswith("stuck after 5 failures, the last one AllCopiesBad")
    doctor = await admin.must("GET", "/v1/doctor")
    assert any(finding["code"] == "jobs-stuck" and "AllCopiesBad" in finding["message"]
               for finding in doctor["findings"])
    assert await admin.must("POST", "/v1/jobs/retry", {"jobs": [job]}) == {"retried": 1}
    assert (await admin.must("GET", f"/v1/jobs/{job}"))["state"] == "queued"
    for bad in ({"jobs": "x"}, {"jobs": [0]}, {"jobs": [True]}, {"job": [1]}):
        assert (await admin.ask("POST", "/v1/jobs/retry", bad)).status == 400


async def test_a_job_names_its_files_and_copies_to_those_who_may_see_them(door: Door) -> None:
    job = assign_job(door, "admin/f", 3)
    told = await admin_of(door).must("GET", f"/v1/jobs/{job}")
    assert told["files"] == {"files": 1, "old_or_deleted": 0, "names": ["/admin/f"]}
    assert told["copies"] == {"wanted": 3, "living": 2, "on": [{"node": "one", "state": "up"},
                                                              {"node": "two", "state": "up"}]}
    assert told["does"] == "makes a copy on node three: there are too few"
    told = await user_of(door, "bob").must("GET", f"/v1/jobs/{job}")
    assert told["files"] == {"files": 1, "old_or_deleted": 0, "names": []}
    assert (await admin_of(door).ask("GET", "/v1/jobs/99999999")).code == "JobNotFound"
    assert (await admin_of(door).ask("GET", "/v1/jobs/x")).status == 400


async def test_explaining_a_file_tells_what_is_pending(door: Door) -> None:
    told = await admin_of(door).must("GET", "/v1/explain/admin/f")
    assert told["groups"][0]["pending"] == [] and "no job" in told["groups"][0]["blocked"]
    assign_job(door, "admin/f", 3)
    assign_job(door, "admin/f", 3, index=1)
    told = await admin_of(door).must("GET", "/v1/explain/admin/f?chunk=0")
    [group] = told["groups"]
    assert group["pending"] == [{"kind": "repair", "node": "three", "state": "queued", "jobs": 1, "done_in_s": 0,
                                 "error": None}]
    assert group["blocked"] is None and group["done_in_s"] == 0
    pending = [line for group in (await admin_of(door).must("GET", "/v1/explain/admin/f"))["groups"]
               for line in group["pending"]]
    assert sum(line["jobs"] for line in pending) == 2


async def test_a_scrub_is_asked_for(door: Door) -> None:
    assert (await admin_of(door).must("POST", "/v1/admin/scrub")) == {"nodes": 3, "node": None}
    assert (await admin_of(door).must("POST", "/v1/admin/scrub?node=two")) == {"nodes": 1, "node": "two"}
    wishes = door.cluster.reader.read(queries.scrub_wishes)
    assert [wish.node_no for wish in wishes] == [1, 2, 3]
    told = (await admin_of(door).must("GET", "/v1/jobs"))["scrubs"]
    assert [(each["node"], each["done"]) for each in told] == [("one", None), ("two", None), ("three", None)]
    assert (await admin_of(door).ask("POST", "/v1/admin/scrub?node=nine")).status == 404
