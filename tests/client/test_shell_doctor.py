"""`doctor` and `explain` as people and monitors use them; the SDK's values of the same."""

from __future__ import annotations

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, NodeState, PublishPlacement, SetFeatureLevel
from tests.client.shell_door import Shell
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
