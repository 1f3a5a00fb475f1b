"""The planner over random trees: what it plans can be done, loses nothing, deletes only what it says, and is then done.

A model of both sides carries a plan out step by step, and refuses every step that finds something else than the plan
names. Contents are numbers; the odd ones have one size and the even ones another, so equal sizes prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.client.syncing.items import (
    Act,
    Base,
    LocalFile,
    LocalTree,
    Phase,
    Plan,
    RemoteFile,
    RemoteTree,
    Step,
    ancestors,
    marks_of,
    mode_of,
    mtime_of,
)
from fluffy.client.syncing.plan import Compared, hashes_needed, plan_pull, plan_push, plan_sync

Planner = Callable[..., Plan]
PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
CONTENTS = st.integers(0, 5)
UNKNOWN_HASH = 5  # a file of the cluster whose whole hash nobody knows


@dataclass
class World:
    """Both sides: path -> content. `odd`: places here that are neither file nor folder. `bases`: content when same."""

    here: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    folders_here: set[str] = field(default_factory=set)
    folders_there: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    bases: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    marks_there: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def local_file(self, path: str) -> LocalFile:
        time = self.times.get(path, 0)
        return LocalFile(10 + self.here[path] % 2, time, 0o644, time, sum(path.encode()), 1)

    def remote_file(self, path: str) -> RemoteFile:
        content = self.there[path]
        known = "" if content == UNKNOWN_HASH else str(content)
        return RemoteFile(10 + content % 2, f"etag{content}", known, 1, self.marks_there.get(path, {}), {})

    def compared(self) -> Compared:
        local = LocalTree({path: self.local_file(path) for path in self.here}, set(self.folders_here),
                          dict.fromkeys(self.odd, "odd"))
        remote = RemoteTree({path: self.remote_file(path) for path in self.there}, set(self.folders_there))
        bases = {path: Base(str(content), f"etag{content}") for path, content in self.bases.items()}
        needed = hashes_needed(local, remote, bases)
        return Compared(local, remote, {path: str(self.here[path]) for path in needed}, bases)

    def carry_out(self, plan: Plan) -> None:
        self.bases |= {path: int(base.blake3) for path, base in plan.settled.items()}
        for path in plan.gone:
            del self.bases[path]
        for phase in Phase:
            for step in plan.steps:
                if step.phase is phase:
                    self.do(step)

    def do(self, step: Step) -> None:
        path = step.path
        assert step.here == (self.local_file(path) if path in self.here and step.here else None)
        match step.act:
            case Act.SEND:
                assert step.there == (self.remote_file(path) if path in self.there else None)
                self.clear_there(path)
                self.there[path] = self.bases[path] = self.here[path]
                self.marks_there[path] = marks_of(self.local_file(path))
                self.folders_there |= set(ancestors(path))
            case Act.FETCH:
                assert (step.here is not None) == (path in self.here)
                self.clear_here(path)
                if step.keep:
                    self.kept.append(self.here[path])
                self.here[path] = self.bases[path] = self.there[path]
                self.times[path] = mtime_of(self.marks_there.get(path, {})) or 0
                self.folders_here |= set(ancestors(path))
            case Act.MARK_THERE:
                self.marks_there[path] = marks_of(self.local_file(path))
            case Act.MARK_HERE:
                assert step.there is not None and step.there.mtime_ns is not None
                self.times[path] = step.there.mtime_ns
            case Act.DELETE_THERE:
                assert step.there == self.remote_file(path)
                del self.there[path]
                self.bases.pop(path, None)
            case Act.DELETE_HERE:
                if step.keep:
                    self.kept.append(self.here[path])
                del self.here[path]
                self.bases.pop(path, None)
            case _:
                self.do_folder(step)

    def do_folder(self, step: Step) -> None:
        is_here = step.act in (Act.MAKE_HERE, Act.REMOVE_HERE)
        folders, files = (self.folders_here, self.here) if is_here else (self.folders_there, self.there)
        if step.act in (Act.MAKE_HERE, Act.MAKE_THERE):
            assert not any(above in files for above in [step.path, *ancestors(step.path)])
            folders |= {step.path, *ancestors(step.path)}
            return
        inside = [*files, *folders, *(self.odd if is_here else ())]
        assert not any(other.startswith(step.path + "/") for other in inside), "only empty folders go"
        folders.remove(step.path)

    def clear_there(self, path: str) -> None:
        assert path not in self.folders_there and not any(above in self.there for above in ancestors(path))

    def clear_here(self, path: str) -> None:
        assert path not in self.folders_here and not any(above in self.here for above in ancestors(path))
        assert not any(above in self.odd for above in [path, *ancestors(path)])


@st.composite
def sides(draw: st.DrawFn) -> tuple[dict[str, int], set[str]]:
    """Files and folders of one side, no file above another."""
    files: dict[str, int] = {}
    folders: set[str] = set()
    for path, content in draw(st.dictionaries(PATHS, CONTENTS, max_size=7)).items():
        if not any(above in files for above in [path, *ancestors(path)]) and path not in folders:
            files[path] = content
            folders |= set(ancestors(path))
    for path in draw(st.sets(PATHS, max_size=3)):
        if not any(above in files for above in [path, *ancestors(path)]):
            folders |= {path, *ancestors(path)}
    return files, folders


@st.composite
def worlds(draw: st.DrawFn) -> World:
    here, folders_here = draw(sides())
    there, folders_there = draw(sides())
    odd = {path for path in draw(st.sets(PATHS, max_size=2)) if path not in here and path not in folders_here
           and not any(above in here for above in ancestors(path))}
    odd = {path for path in odd if not any(above in odd for above in ancestors(path))}
    for path in odd:
        folders_here |= set(ancestors(path))
    here = {path: content for path, content in here.items() if content != UNKNOWN_HASH}
    bases = draw(st.dictionaries(PATHS, CONTENTS, max_size=5))
    # What was the same once is often what is there still.
    for path in draw(st.sets(st.sampled_from(sorted({*here, *there, "a"})), max_size=5)):
        if path in there and draw(st.booleans()):
            bases[path] = there[path]
        elif path in here:
            bases[path] = here[path]
    return World(here, there, folders_here, folders_there, odd, bases,
                 draw(st.dictionaries(PATHS, st.integers(0, 3), max_size=3)))


def copy_of(world: World) -> World:
    return World(dict(world.here), dict(world.there), set(world.folders_here), set(world.folders_there),
                 set(world.odd), dict(world.bases), dict(world.times), [], dict(world.marks_there))


def settle(world: World, planner: Planner, *, delete: bool) -> tuple[World, Plan]:
    """The world after the plan, and the plan. A second plan has nothing to do."""
    after = copy_of(world)
    plan = planner(after.compared(), delete=delete)
    after.carry_out(plan)
    again = planner(after.compared(), delete=delete)
    assert again.steps == []
    assert again.conflicts == plan.conflicts
    return after, plan


def blind(world: World, path: str) -> bool:
    return any(above in world.odd for above in [path, *ancestors(path)])


@settings(max_examples=200, deadline=None)
@given(worlds(), st.booleans())
def test_push_makes_there_like_here(world: World, delete: bool) -> None:
    after, plan = settle(world, plan_push, delete=delete)
    assert (after.here, after.folders_here) == (world.here, world.folders_here)
    for path, content in world.here.items():
        assert after.there.get(path) == content or path in plan.conflicts
    deleted = {step.path for step in plan.steps if step.act is Act.DELETE_THERE}
    for path, content in world.there.items():
        if path not in world.here:
            assert (path in after.there) == (path not in deleted)
            assert after.there.get(path, content) == content
            assert (path in deleted) == (delete and not blind(world, path))
    assert not deleted or delete
    if delete and not world.odd and not plan.conflicts:
        assert after.there == world.here
        assert after.folders_there == world.folders_here


@settings(max_examples=200, deadline=None)
@given(worlds(), st.booleans())
def test_pull_makes_here_like_there_and_keeps_what_nobody_else_has(world: World, delete: bool) -> None:
    after, plan = settle(world, plan_pull, delete=delete)
    assert (after.there, after.folders_there) == (world.there, world.folders_there)
    for path, content in world.there.items():
        assert after.here.get(path) == content or path in plan.conflicts
    for path, content in world.here.items():
        if after.here.get(path) != content:
            assert content in after.kept or world.bases.get(path) == content
            assert path in world.there or delete
    assert all(not blind(world, step.path) for step in plan.steps if step.act is not Act.MAKE_HERE)
    if delete and not world.odd and not plan.conflicts:
        assert after.here == world.there
        assert after.folders_here == world.folders_there


@settings(max_examples=300, deadline=None)
@given(worlds(), st.booleans())
def test_sync_carries_changes_both_ways_and_loses_none(world: World, delete: bool) -> None:
    after, plan = settle(world, plan_sync, delete=delete)
    assert after.kept == [], "what a sync replaces is what both sides had"
    for before, now in ((world.here, after.here), (world.there, after.there)):
        for path, content in before.items():
            if now.get(path) != content:
                assert world.bases.get(path) == content, "only what did not change is replaced or deleted"
    for path, reason in plan.conflicts.items():
        assert reason
        assert (after.here.get(path), after.there.get(path)) == (world.here.get(path), world.there.get(path))
    for path in after.here.keys() | after.there.keys():
        assert after.here.get(path) == after.there.get(path) or path in plan.conflicts or blind(world, path)
    if not delete:
        assert all(step.act not in (Act.DELETE_HERE, Act.DELETE_THERE, Act.REMOVE_HERE, Act.REMOVE_THERE)
                   for step in plan.steps)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_what_is_the_same_is_not_moved(world: World) -> None:
    world.there, world.folders_there = dict(world.here), set(world.folders_here)
    for planner in (plan_push, plan_pull, plan_sync):
        plan = planner(copy_of(world).compared(), delete=True)
        assert {step.act for step in plan.steps} <= {Act.MARK_THERE, Act.MARK_HERE}
        assert plan.settled.keys() == world.here.keys()


def test_a_deletion_travels_only_when_asked_for_and_when_the_other_side_did_not_change() -> None:
    world = World(there={"a": 1, "b": 2}, bases={"a": 1, "b": 1})
    assert settle(world, plan_sync, delete=False)[0].here == {"a": 1, "b": 2}
    after, plan = settle(world, plan_sync, delete=True)
    assert (after.here, after.there) == ({"b": 2}, {"b": 2})
    assert {(step.act, step.path) for step in plan.steps} == {(Act.DELETE_THERE, "a"), (Act.FETCH, "b")}


def test_a_folder_that_cannot_be_looked_into_protects_what_is_below_it_there() -> None:
    compared = World(there={"closed/x": 1, "gone": 2}, folders_there={"closed"}).compared()
    compared.local.failed["closed"] = ValueError()  # type: ignore[assignment]
    plan = plan_push(compared, delete=True)
    assert [(step.act, step.path) for step in plan.steps] == [(Act.DELETE_THERE, "gone")]


def test_a_file_whose_whole_hash_nobody_knows_is_the_same_as_what_was_fetched_of_it() -> None:
    world = World(there={"a": UNKNOWN_HASH})
    after, plan = settle(world, plan_pull, delete=False)
    assert [step.act for step in plan.steps] == [Act.FETCH]
    assert plan_push(after.compared()).count(Act.SEND) == 0


@pytest.mark.parametrize("time_ns", [0, 1, -1, -1_500_000_000, 1_234_567_890_123_456_789, 10**18])
def test_times_and_modes_survive_the_metadata(time_ns: int) -> None:
    file = replace(World(here={"a": 1}).local_file("a"), mtime_ns=time_ns, mode=0o751)
    assert (mtime_of(marks_of(file)), mode_of(marks_of(file))) == (time_ns, 0o751)


@pytest.mark.parametrize("text", ["", "yesterday", "1e9", "٣", "99999999999999999", "1.0000000000", "0x10", "-"])
def test_what_others_wrote_under_these_keys_is_not_believed(text: str) -> None:
    assert mtime_of({"mtime": text}) is None
    assert mode_of({"mode": text.replace("1", "9")}) is None


def test_set_user_id_never_comes_out_of_metadata() -> None:
    assert mode_of({"mode": "104755"}) == 0o755
