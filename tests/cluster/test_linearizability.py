"""The checker would see it: histories that one order explains pass, and each that none explains is found."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest

from tests.faults.tree_clients import TreeOperation
from tests.faults.tree_requests import Found, TreeDoor, Unreadable
from tests.support.linearizability import NEVER_S, Judgement, Operation, judge
from tests.support.small_tree import KEPT, Answer, Call, Done, File, Refused, SmallTree, Tree

MODEL = SmallTree(piece_bytes=10)


def history(*lines: tuple[float, float, Call, Answer | None]) -> list[TreeOperation]:
    return [Operation(number, call, began_s, ended_s, answer)
            for number, (began_s, ended_s, call, answer) in enumerate(lines)]


def judgement(*lines: tuple[float, float, Call, Answer | None]) -> Judgement:
    return judge(history(*lines), MODEL, Tree()).judgement


def put(number: int, path: str = "a", **more: object) -> Call:
    return Call("put", number, path, pieces=((number, 0),), **more)  # type: ignore[arg-type]


def append(number: int, path: str = "a") -> Call:
    return Call("append", number, path, pieces=((number, 0),))


def read(number: int, path: str = "a") -> Call:
    return Call("read", number, path)


def shows(*writers: int) -> Done:
    """A body whose pieces these operations wrote."""
    return Done(File(tuple((writer, 0) for writer in writers)))


MADE, REPLACED, OK = Done(True), Done(False), Done(None)
MISSING = Refused("FileNotFound")
LINEARIZABLE, BROKEN = Judgement.LINEARIZABLE, Judgement.BROKEN


def test_one_after_the_other_is_explained() -> None:
    assert judgement((0, 1, put(0), MADE), (2, 3, put(1), REPLACED), (4, 5, read(2), shows(1)),
                     (6, 7, Call("delete", 3, "a"), OK), (8, 9, read(4), MISSING)) is LINEARIZABLE


def test_a_read_during_a_write_may_see_the_old_or_the_new() -> None:
    for seen in (shows(0), shows(1)):
        assert judgement((0, 1, put(0), MADE), (2, 9, put(1), REPLACED), (3, 4, read(2), seen)) is LINEARIZABLE


def test_a_stale_read_is_found() -> None:
    assert judgement((0, 1, put(0), MADE), (2, 3, put(1), REPLACED), (4, 5, read(2), shows(0))) is BROKEN


def test_readers_may_not_go_back_in_time() -> None:
    """Both are while the write is under way; but who reads later must not see older."""
    write = (2, 9, put(1), REPLACED)
    assert judgement((0, 1, put(0), MADE), write, (3, 4, read(2), shows(1)), (5, 6, read(3), shows(0))) is BROKEN
    assert judgement((0, 1, put(0), MADE), write, (3, 4, read(2), shows(0)), (5, 6, read(3), shows(1))) is LINEARIZABLE
    assert judgement((0, 1, put(0), MADE), write, (3, 6, read(2), shows(1)), (5, 7, read(3), shows(0))) is LINEARIZABLE


def test_a_lost_update_is_found() -> None:
    """Two build on the same body, and both are told that they were in time."""
    first, second = (put(number, expected=((0, 0),)) for number in (1, 2))
    assert judgement((0, 1, put(0), MADE), (2, 5, first, REPLACED), (3, 6, second, REPLACED)) is BROKEN
    assert judgement((0, 1, put(0), MADE), (2, 5, first, REPLACED),
                     (3, 6, second, Refused("PreconditionFailed"))) is LINEARIZABLE


def test_a_lost_append_is_found() -> None:
    appends = ((0, 5, append(0), Done(0)), (1, 6, append(1), Done(1)))
    assert judgement(*appends, (7, 8, read(2), shows(0, 1))) is LINEARIZABLE
    assert judgement(*appends, (7, 8, read(2), shows(0))) is BROKEN
    assert judgement(*appends, (7, 8, read(2), shows(1, 0))) is BROKEN, "the offsets said otherwise"


@pytest.mark.parametrize("pieces", [(0, 1, 1), (1, 0, 1), (0, 0, 1)])
def test_a_doubled_append_is_found(pieces: tuple[int, ...]) -> None:
    for ended_s, answer in ((3.0, Done(1)), (NEVER_S, None)):
        assert judgement((0, 1, append(0), Done(0)), (2, ended_s, append(1), answer),
                         (7, 8, read(2), shows(*pieces))) is BROKEN


def test_an_append_in_the_middle_of_another_s_offset_is_found() -> None:
    assert judgement((0, 1, append(0), Done(0)), (2, 3, append(1), Done(0))) is BROKEN


def test_what_nobody_knows_of_may_have_happened_at_any_time_or_never() -> None:
    open_put = (2, NEVER_S, put(1), None)
    before = (0, 1, put(0), MADE)
    assert judgement(before, open_put, (3, 4, read(2), shows(0))) is LINEARIZABLE
    assert judgement(before, open_put, (3, 4, read(2), shows(1))) is LINEARIZABLE
    assert judgement(before, open_put, (3, 4, read(2), shows(0)), (5, 6, read(3), shows(1))) is LINEARIZABLE
    assert judgement(before, open_put, (3, 4, read(2), shows(1)), (5, 6, read(3), shows(0))) is BROKEN
    assert judgement(before, (5, NEVER_S, put(1), None), (3, 4, read(2), shows(1))) is BROKEN, "not before it was asked"


def listing(number: int, path: str, *lines: tuple[str, int]) -> tuple[Call, Done]:
    return Call("list", number, path), Done(lines)


MKDIR, FILL = Call("mkdir", 0, "d"), put(1, "d/x")
MOVE = Call("move", 2, "d", dst="e")
MOVED = Done(("folder", 1, False))
OLD, NEW = (("d/", 0),), (("e/", 0),)


def moving(*seen: tuple[float, float, Call, Answer | None]) -> Judgement:
    """A folder moves between 4 and 9."""
    return judgement((0, 1, MKDIR, MADE), (2, 3, FILL, MADE), (4, 9, MOVE, MOVED), *seen)


def test_a_half_move_is_found() -> None:
    assert moving((5, 6, *listing(3, "", *OLD)), (7, 8, *listing(4, "", *NEW))) is LINEARIZABLE
    assert moving((5, 6, *listing(3, "", *NEW)), (7, 8, *listing(4, "", *OLD))) is BROKEN, "back again"
    assert moving((5, 6, *listing(3, "", *OLD, *NEW))) is BROKEN, "at both places"
    assert moving((5, 6, *listing(3, ""))) is BROKEN, "at none"
    assert moving((5, 6, *listing(3, "e"))) is BROKEN, "there, and empty"
    assert moving((5, 6, read(3, "e/x"), shows(1)), (7, 8, read(4, "d/x"), shows(1))) is BROKEN, "left behind"
    assert moving((5, 6, read(3, "d/x"), shows(1)), (7, 8, read(4, "e/x"), shows(1))) is LINEARIZABLE
    assert moving((5, 6, read(3, "e/x"), shows(1)), (7, 8, read(4, "d/x"), MISSING)) is LINEARIZABLE


def test_a_half_copy_is_found() -> None:
    made = ((0, 1, put(0, "d/x"), MADE), (2, 3, put(1, "d/y"), MADE))
    copy = (4, 9, Call("copy", 2, "d", dst="e"), Done(("folder", 2, True)))
    assert judgement(*made, copy, (5, 6, *listing(3, "e", ("x", 1), ("y", 1)))) is LINEARIZABLE
    assert judgement(*made, copy, (5, 6, *listing(3, "e", ("x", 1)))) is BROKEN
    assert judgement(*made, copy, (5, 6, Call("sums", 3, "e"), Done(("folder", 0, 0)))) is BROKEN


def test_a_refusal_must_have_had_its_reason() -> None:
    assert judgement((0, 1, put(0, flag=True), Refused("PreconditionFailed"))) is BROKEN
    assert judgement((0, 5, put(0), MADE), (1, 6, put(1, flag=True), Refused("PreconditionFailed"))) is LINEARIZABLE
    assert judgement((0, 1, put(0), MADE), (2, 3, put(1), Refused("IsFolder"))) is BROKEN


def test_two_holders_of_one_lock_are_found() -> None:
    first, second = Call("lock", 0, "d"), Call("lock", 1, "d/x")
    assert judgement((0, 2, first, OK), (1, 3, second, OK)) is BROKEN
    assert judgement((0, 2, first, OK), (1, 3, second, Refused("FileLocked"))) is LINEARIZABLE
    assert judgement((0, 1, first, OK), (2, 5, Call("unlock", 2, lock=0), OK), (3, 4, second, OK)) is LINEARIZABLE


def test_writing_under_anothers_lock_is_found() -> None:
    lock = (0, 1, Call("lock", 0, "d"), OK)
    assert judgement(lock, (2, 3, put(1, "d/x"), MADE)) is BROKEN
    assert judgement(lock, (2, 3, put(1, "d/x", lock=0), MADE)) is LINEARIZABLE
    assert judgement(lock, (2, 3, put(1, "a", lock=0), Refused("LockLost"))) is LINEARIZABLE


def test_more_than_the_quota_allows_is_found() -> None:
    quota = (0, 1, Call("quota", 0, limits=(1, None)), OK)
    assert judgement(quota, (2, 5, put(1), MADE), (3, 6, put(2, "b"), MADE)) is BROKEN
    assert judgement(quota, (2, 5, put(1), MADE), (3, 6, put(2, "b"), Refused("QuotaExceeded"))) is LINEARIZABLE


def test_what_was_deleted_and_comes_back_is_what_was_deleted() -> None:
    deleted = ((0, 1, put(0), MADE), (2, 3, Call("delete", 1, "a"), OK))
    undelete = (4, 5, Call("undelete", 2, "a"), Done("file"))
    assert judgement(*deleted, undelete, (6, 7, read(3), shows(0))) is LINEARIZABLE
    assert judgement(*deleted, undelete, (6, 7, read(3), MISSING)) is BROKEN
    assert judgement(*deleted, undelete, (8, 9, Call("undelete", 4, "a"), Done("file"))) is BROKEN, "twice"


def test_an_old_generation_is_the_one_of_that_number() -> None:
    made = ((0, 1, put(0, KEPT), MADE), (2, 3, put(1, KEPT), REPLACED))
    restored = (4, 5, Call("restore", 2, KEPT, at=1), Done(True))
    assert judgement(*made, restored, (6, 7, read(3, KEPT), shows(0))) is LINEARIZABLE
    assert judgement(*made, restored, (6, 7, read(3, KEPT), shows(1))) is BROKEN


def test_a_write_that_changes_nothing_now_may_be_needed_later() -> None:
    """The second quota of one file is also there before; but then both files could not be made."""
    one_file = (1, None)
    assert judgement((0, 1, Call("quota", 0, limits=one_file), OK), (2, 10, Call("quota", 1), OK),
                     (3, 9, Call("quota", 2, limits=one_file), OK), (4, 5, put(3), MADE), (6, 7, put(4, "b"), MADE),
                     (11, 12, put(5, "c"), Refused("QuotaExceeded"))) is LINEARIZABLE


def test_a_search_that_takes_too_long_is_undecided_and_not_right() -> None:
    lines = [(0.0, 100.0, append(number), Done(number)) for number in range(12)]
    wrong = (101.0, 102.0, read(12), shows(*range(11)))
    assert judge(history(*lines, wrong), MODEL, Tree(), questions_max=20).judgement is Judgement.UNDECIDED
    assert judge(history(*lines, wrong), MODEL, Tree()).judgement is BROKEN


def test_a_verdict_shows_how_far_the_history_was_explained() -> None:
    verdict = judge(history((0, 1, put(0), MADE), (2, 3, put(1), REPLACED), (4, 5, read(2), shows(0))), MODEL, Tree())
    assert [operation.call.number for operation in verdict.explained] == [0, 1]
    assert [operation.call.number for operation in verdict.stuck] == [2]
    assert any("stuck" in line and "client 2" in line for line in verdict.lines())


# -- random histories, each from a real order

PATHS = ["a", "b", "d/x", "d", "e", KEPT]
KINDS = {"put": 8, "append": 4, "patch": 3, "tag": 2, "delete": 3, "undelete": 3, "restore": 2, "mkdir": 2, "rmdir": 1,
         "rmtree": 1, "move": 5, "copy": 3, "lock": 1, "unlock": 1, "break_lock": 3, "quota": 1, "read": 8, "list": 4,
         "sums": 2}


def random_call(number: int, rng: random.Random) -> Call:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    path = KEPT if kind == "restore" else rng.choice([each for each in PATHS if "/" not in each]
                                                     if kind == "undelete" else PATHS)
    pieces = ((number, 0),) if kind in ("put", "append", "patch") else ()
    return Call(kind, number, path, rng.choice(PATHS), pieces, rng.random() < 0.5,
                lock=rng.choice([None, None, None, rng.randrange(number + 1)]), at=rng.randrange(1, 3), tag=str(number),
                limits=rng.choice([(None, None), (None, None), (4, None), (None, 60)]))


def lived(rng: random.Random, count: int, lost: float) -> list[TreeOperation]:
    """What clients saw of a tree on which operations took effect at 0, 1, 2, …; spans overlap, answers are lost."""
    state, operations = Tree(), []
    for number in range(count):
        call = random_call(number, rng)
        outcome = MODEL.outcome(state, call)
        is_known = rng.random() >= lost
        if is_known or rng.random() < 0.5:
            state = outcome.after
        answer = Refused(rng.choice(sorted(outcome.refusals))) if outcome.refusals else Done(outcome.detail)
        operations.append(Operation(number, call, number - 3 * rng.random(),
                                    number + 3 * rng.random() if is_known else NEVER_S, answer if is_known else None))
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_every_history_that_was_lived_is_explained(seed: int) -> None:
    assert judge(lived(random.Random(seed), 300, 0.02), MODEL, Tree()).judgement is LINEARIZABLE


@pytest.mark.parametrize("seed", range(20))
def test_one_wrong_answer_among_hundreds_is_found(seed: int) -> None:
    rng = random.Random(seed)
    operations = lived(rng, 200, 0.02)
    reads = [at for at, operation in enumerate(operations) if isinstance(operation.answer, Done)
             and isinstance(operation.answer.detail, File)]
    at = rng.choice(reads)
    seen = operations[at].answer
    assert isinstance(seen, Done) and isinstance(seen.detail, File)
    doubled = seen.detail._replace(pieces=seen.detail.pieces + seen.detail.pieces[-1:])
    operations[at] = replace(operations[at], answer=Done(doubled))
    verdict = judge(operations, MODEL, Tree())
    assert verdict.judgement is BROKEN
    assert operations[at] not in verdict.explained


def by_all_orders(operations: list[TreeOperation]) -> bool:
    """The definition itself: is there any order of all that was answered and some of the rest?"""
    open_ones = [operation for operation in operations if operation.is_open]
    for mask in range(1 << len(open_ones)):
        chosen = [operation for operation in operations if not operation.is_open]
        chosen += [operation for at, operation in enumerate(open_ones) if mask >> at & 1]
        for order in permutations(chosen):
            if all(later.ended_s >= earlier.began_s for at, earlier in enumerate(order) for later in order[at + 1:]):
                state: Tree | None = Tree()
                for operation in order:
                    state = None if state is None else MODEL.step(state, operation.call, operation.answer)
                if state is not None:
                    return True
    return False


def test_the_search_agrees_with_trying_all_orders() -> None:
    found: Counter[Judgement] = Counter()
    for seed in range(400):
        rng = random.Random(seed)
        operations = lived(rng, 5, 0.2)
        if rng.random() < 0.7:  # answers change places: some histories still have an order, most have none
            first, second = rng.sample(range(len(operations)), 2)
            known = [operations[first].answer, operations[second].answer]
            if None not in known:
                operations[first], operations[second] = (
                    replace(operations[first], answer=known[1]), replace(operations[second], answer=known[0]))
        verdict = judge(operations, MODEL, Tree())
        assert verdict.judgement is (LINEARIZABLE if by_all_orders(operations) else BROKEN), seed
        found[verdict.judgement] += 1
    assert min(found[LINEARIZABLE], found[BROKEN]) > 40, found


# -- what the clients hear

DOOR = TreeDoor("bucket", 30)


def test_bytes_that_nobody_wrote_are_found_before_any_search() -> None:
    body = DOOR.body_of(((1, 0), (20, 1)))
    assert DOOR.pieces_of(body) == ((1, 0), (20, 1))
    for wrong in (body[:-1], body[:35] + b"!" + body[36:], body[30:] + body[:29], b"#" * 30,
                  TreeDoor("other", 30).body_of(((1, 0),))):
        with pytest.raises(Unreadable):
            DOOR.pieces_of(wrong)


def test_what_is_no_answer_of_the_tree_is_told_apart() -> None:
    refused = b'{"error": {"code": "FileLocked"}}'
    assert DOOR.answer(read(0), Found(503, {}, b"")) is None
    assert DOOR.answer(read(0), Found(423, {}, refused)) == Refused("FileLocked")
    assert DOOR.answer(put(0), Found(507, {}, b'{"error": {"code": "QuotaExceeded"}}')) == Refused("QuotaExceeded")
    with pytest.raises(Unreadable):
        DOOR.answer(read(0), Found(500, {}, b"a bug"))
