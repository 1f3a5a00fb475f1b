"""`doctor` and `explain` as people and monitors use them; the SDK's values of the same."""

from __future__ import annotations

import time

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, NodeState, PublishPlacement, SetFeatureLevel
from fluffy.services import repair_progress
from tests.client.shell_door import Shell
from tests.support.jobs import assign_job, fail_job
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE


def in_order(shell: Shell) -> None:
    shell.door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))


def mark_down(shell: Shell, *numbers: int) -> None:
    current = shell.door.cluster.reader.read(queries.placement_map)
    shell.door.cluster.log.apply(PublishPlacement(header(), shell.door.cluster.log.term, current.epoch + 1, tuple(
        NodeState(node.node_no, "down" if node.node_no in numbers else "up", node.zone, 10) for node in current.nodes)))


def test_the_exit_code_says_whether_somebody_should_act(shell: Shell) -> None:
    in_order(shell)
    said = shell("doctor")
    assert said.code == 0 and "nothing is wrong, says node one" in said.out
    shell.door.nodes.facts[NodeNo(2)] = {"quarantined": 1}
    said = shell("doctor")
    assert said.code == 0 and "note" in said.out and "nothing is wrong" in said.out
    shell.door.nodes.facts[NodeNo(3)] = {"fsync": 0}
    said = shell("doctor")
    assert said.code == 1 and "1 thing to look at" in said.out
    assert said.out.index("fsync: false") < said.out.index("->") < said.out.index("bad chunk file")
    report = shell("doctor", "--json")
    assert report.code == 1 and [finding["severity"] for finding in report.json["findings"]] == ["warning", "note"]


def test_before_a_node_is_stopped(shell: Shell) -> None:
    in_order(shell)
    shell.sdk.put("/admin/big", b"x" * (2 * CHUNK_SIZE))
    said = shell("doctor", "--stop", "two")
    assert said.code == 0
    assert said.out.startswith("two: safe to stop\n- 2 of 3 voting nodes would be left: writes go on")
    mark_down(shell, 1)
    said = shell("doctor", "--stop", "two")
    assert said.code == 1 and "better not now" in said.out and "1 file would have no copy: /admin/big" in said.out
    assert shell("doctor", "--stop", "nobody").code == 1
    cost = shell.sdk.doctor(stop="two").stop
    assert cost is not None and (cost.safe, cost.files_without_copy, cost.names) == (False, 1, ("/admin/big",))


def test_where_the_copies_of_a_file_are(shell: Shell) -> None:
    shell.sdk.put("/admin/big", b"x" * (2 * CHUNK_SIZE) + b"y")
    mark_down(shell, 2)
    said = shell("explain", "big")
    assert said.code == 0
    assert said.out.startswith("/admin/big: generation 1, 128.0 KiB; 3 chunks\n"
                               "3 chunks: 0-2 (128.0 KiB): 1 of 3 copies, one copy is left\n  one ")
    assert "two          down      zone b" in said.out and "three        up" in said.out
    assert "should have a copy and has none yet" in said.out
    assert shell("explain", "big", "--chunk", "2").out.splitlines()[1].startswith("chunk 2 (1 B)")
    assert shell("explain", "big", "--chunk", "3").code == 1
    [group] = shell.sdk.explain("/admin/big").groups
    assert (group.spans, group.covered, [copy.node for copy in group.lacking]) == (((0, 2),), "endangered", ["three"])
    shell.sdk.put("/admin/small", b"x")
    assert "every node has them" in shell("explain", "small").out
    assert shell("explain", "none").code == 1 and shell("explain", "/admin").code == 1


def test_background_work_is_shown_explained_and_retried(shell: Shell) -> None:
    in_order(shell)
    assert shell("jobs").out == "all copies are there\n"
    shell.sdk.put("/admin/big", b"x" * (2 * CHUNK_SIZE))
    job = assign_job(shell.door, "/admin/big", 3)
    said = shell("jobs").out
    assert f"{job}  repair    queued  three" in said and "done in about 0 s" in said
    assert said.splitlines()[1].split()[:6] == ["node", "state", "queued", "leased", "stuck", "rate"]
    fail_job(shell.door, job, "PeerUnreachable", 5)
    assert "stuck after 5 failures, the last one PeerUnreachable" in shell("jobs", "--stuck").out
    assert "blocked   stuck after 5" in shell("explain", "job", str(job)).out
    assert "files     1: /admin/big" in shell("explain", "job", str(job)).out
    assert "pending: 1 repair job stuck on three" in shell("explain", "big").out
    assert "its jobs failed so far: PeerUnreachable" in shell("explain", "big").out
    assert shell("jobs", "--retry", str(job)).out == "1 job begins afresh\n"
    assert shell("jobs", "--retry").out == "0 jobs begin afresh\n"
    assert shell("explain", "job", "99999").code == 1 and shell("jobs", "17").code == 2
    assert shell("explain", "a", "b").code == 2
    page = shell.sdk.jobs(state="queued")
    assert [each.job for each in page.jobs] == [job] and page.queues[0].queued == 1
    assert shell.sdk.explain_job(job).names == ("/admin/big",)
    assert shell("scrub", "--json").json == {"nodes": 3, "node": None}
    assert "node two checks" in shell("scrub", "two").out
    time.sleep(repair_progress.KEPT_S)
    assert "1 copies (64.0 KiB) are missing" in shell("status").out
