"""The write's state machine: every scripted order of events, and properties over random ones."""

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.data.chunk_write import ChunkWrite, Finish, GiveUp, Send


def sends(steps):
    return [step.node for step in steps if isinstance(step, Send)]


def test_all_copies_in_time():
    write = ChunkWrite([1, 2, 3, 4], wanted=3, quorum=2)
    assert sends(write.start()) == [1, 2, 3]
    assert write.stored(2) == [] and write.stored(1) == []
    assert write.quorum_reached
    assert write.stored(3) == [Finish((1, 2, 3))]
    assert write.stored(3) == [] and write.failed(1, "late") == []


def test_a_failed_node_is_replaced_by_the_next_candidate():
    write = ChunkWrite([1, 2, 3, 4, 5], 3, 2)
    write.start()
    assert sends(write.failed(2, "PeerUnreachable")) == [4]
    assert sends(write.failed(4, "DiskFull")) == [5]
    write.stored(1)
    write.stored(3)
    assert write.stored(5) == [Finish((1, 3, 5))]


def test_with_the_quorum_and_nobody_left_it_ends():
    write = ChunkWrite([1, 2, 3], 3, 2)
    write.start()
    write.stored(1)
    write.stored(2)
    assert write.failed(3, "PeerUnreachable") == [Finish((1, 2))]


def test_it_gives_up_as_soon_as_the_quorum_is_out_of_reach_and_does_not_wait_for_the_rest():
    write = ChunkWrite([1, 2, 3], 3, 2)
    write.start()
    assert write.failed(1, "PeerUnreachable") == []
    (end,) = write.failed(2, "DiskFull")
    assert isinstance(end, GiveUp) and end.code == "NotEnoughCopies"
    assert end.failures == {1: "PeerUnreachable", 2: "DiskFull"} and end.stored == ()


def test_only_full_disks_make_it_a_full_disk():
    write = ChunkWrite([1, 2], 2, 2)
    write.start()
    (end,) = write.failed(1, "DiskFull")
    assert end.code == "DiskFull"


def test_too_few_candidates_give_up_at_the_start():
    (end,) = [step for step in ChunkWrite([7], 3, 2).start() if not isinstance(step, Send)]
    assert end.code == "NotEnoughCopies"
    (end,) = ChunkWrite([], 3, 1).start()
    assert isinstance(end, GiveUp)


def test_fewer_candidates_than_copies_wanted_are_enough_for_the_quorum():
    write = ChunkWrite([1, 2], 3, 2)
    assert sends(write.start()) == [1, 2]
    write.stored(1)
    assert write.stored(2) == [Finish((1, 2))]


def test_a_slow_node_gets_one_stand_in_and_may_still_make_it():
    write = ChunkWrite([1, 2, 3, 4, 5], 2, 2)
    assert sends(write.start()) == [1, 2]
    assert sends(write.slow(2)) == [3]
    assert write.slow(2) == []
    write.stored(2)
    assert write.stored(1) == [Finish((1, 2))]


def test_a_slow_node_that_then_fails_is_not_replaced_twice():
    write = ChunkWrite([1, 2, 3, 4], 2, 2)
    write.start()
    write.slow(2)
    assert write.failed(2, "DeadlineExceeded") == []
    write.stored(1)
    assert write.stored(3) == [Finish((1, 3))]


def test_patience_ends_only_what_is_safe():
    write = ChunkWrite([1, 2, 3], 3, 2)
    write.start()
    write.stored(1)
    assert write.patience_over() == []
    write.stored(3)
    assert write.patience_over() == [Finish((1, 3))]


@given(st.integers(1, 4).flatmap(lambda wanted: st.tuples(st.just(wanted), st.integers(1, wanted))),
       st.integers(0, 8), st.data())
def test_whatever_happens_it_ends_once_and_never_claims_what_is_not_there(numbers, candidates, data):
    wanted, quorum = numbers
    write = ChunkWrite(list(range(1, candidates + 1)), wanted, quorum)
    working, stored, asked, ends = set(), set(), [], []

    def take(steps):
        for step in steps:
            if isinstance(step, Send):
                assert step.node not in asked and not ends
                asked.append(step.node)
                working.add(step.node)
            else:
                ends.append(step)

    take(write.start())
    for _ in range(60):
        if ends or not working:
            break
        node = data.draw(st.sampled_from(sorted(working)))
        match data.draw(st.sampled_from(["stored", "failed", "slow", "patience"])):
            case "stored":
                working.discard(node)
                stored.add(node)
                take(write.stored(node))
            case "failed":
                working.discard(node)
                take(write.failed(node, "PeerUnreachable"))
            case "slow":
                take(write.slow(node))
            case "patience":
                take(write.patience_over())
    assert len(ends) <= 1
    if not working:
        assert len(ends) == 1
    for end in ends:
        if isinstance(end, Finish):
            assert set(end.replicas) == stored and len(stored) >= quorum
        else:
            assert len(stored) + len(working) < quorum or len(asked) == candidates
