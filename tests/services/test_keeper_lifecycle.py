"""The keeper carries out lifecycles: by age, by prefix and tag, versions and markers and uploads too."""

from __future__ import annotations

from pathlib import Path

from fluffy.base.ids import NodeNo
from fluffy.base.object_keys import object_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries, queries_object_uploads, queries_object_versions
from fluffy.core.metadata.commands import SetFeatureLevel
from fluffy.core.metadata.commands_object_uploads import BeginObject
from fluffy.core.metadata.commands_s3 import DeleteObjects, SetBucketDocument
from fluffy.core.metadata.commands_tree import SetBucketRules
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.lifecycle import LifecycleKeeper
from fluffy.wire.s3_lifecycle import Rule, parse_lifecycle, rendered
from tests.core.metadata.test_objects import put_object
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.local_log import header

ONE = NodeNo(1)


class Bucket:
    """The bucket `admin` with a lifecycle, in a world whose clock the test moves."""

    def __init__(self, world: KeeperWorld, *rules: Rule, versions: bool = False) -> None:
        self.world = world
        world.cluster.log.apply(SetFeatureLevel(header(), 3))
        state = world.cluster.reader.read(queries.cluster_state)
        assert state is not None
        world.clock.wall_ms = state.clock_ms // DAY_MS * DAY_MS + DAY_MS + 1
        if versions:
            self.apply(SetBucketRules(self.header(), "admin", 36_500, 10_000, None))
            self.document("versioning", b"Enabled")
        self.document("lifecycle", rendered(rules))

    def header(self):
        return header(at_ms=self.world.clock.wall_ms)

    def apply(self, command):
        return self.world.cluster.log.apply(command)

    def document(self, name: str, body: bytes) -> None:
        self.apply(SetBucketDocument(self.header(), "admin", name, body))

    def put(self, *keys: str, tags: dict[str, str] | None = None) -> None:
        for key in keys:
            self.apply(put_object(f"admin/{key}", tags=tags or {}, at_ms=self.world.clock.wall_ms))

    def delete(self, key: str) -> None:
        self.apply(DeleteObjects(self.header(), "admin", (key,)))

    async def pass_days(self, days: float) -> None:
        self.world.clock.advance(days * 86_400)
        leadership = Leadership(self.world.cluster.log, "one")
        await leadership.refresh()
        await LifecycleKeeper(ONE, leadership, self.world.cluster.log, self.world.cluster.reader,
                              self.world.clock).one_round()

    def there(self, *keys: str) -> list[str]:
        read = self.world.cluster.reader.read
        return [key for key in keys
                if read(lambda db, key=key: queries.file_version(db, object_path("admin", key))) is not None]

    def lines(self, key: str) -> list[bool]:
        """For each version, newest first, whether it is a marker."""
        return [row.is_marker for row in self.world.cluster.reader.read(
            lambda db: queries_object_versions.versions_of(db, object_path("admin", key)))]


async def test_objects_end_at_the_midnight_after_their_days(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        bucket = Bucket(world, Rule("one", True, "logs/", days=2), Rule("off", False, days=1))
        bucket.put("logs/a", "logs/d/b", "kept")
        await bucket.pass_days(2.5)
        assert bucket.there("logs/a", "logs/d/b", "kept") == ["logs/a", "logs/d/b", "kept"], "not before midnight"
        bucket.put("logs/a")
        await bucket.pass_days(0.5)
        assert bucket.there("logs/a", "logs/d/b", "kept") == ["logs/a", "kept"]


async def test_tags_sizes_and_dates_are_looked_at(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        past = world.clock.wall_ms // DAY_MS * DAY_MS - DAY_MS
        bucket = Bucket(world, Rule("t", True, tags=(("k", "v"),), date_ms=past),
                        Rule("s", True, "big", size_above=3, date_ms=past),
                        Rule("n", True, "big", size_above=4, date_ms=past))
        bucket.put("a", tags={"k": "v"})
        bucket.put("b", tags={"k": "w"})
        bucket.put("big", "small")
        await bucket.pass_days(0)
        assert bucket.there("a", "b", "big", "small") == ["b", "small"]


async def test_versions_and_markers_end_by_their_own_rules(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        bucket = Bucket(world, Rule("v", True, noncurrent_days=1, newer_kept=1), Rule("m", True, ends_markers=True),
                        Rule("x", True, "x", days=1), versions=True)
        for _ in range(4):
            bucket.put("a")
        bucket.put("gone", "x")
        bucket.delete("gone")
        await bucket.pass_days(0.1)
        assert bucket.lines("a") == [False] * 4 and bucket.lines("gone") == [True, False]
        await bucket.pass_days(2)
        assert bucket.lines("a") == [False, False] and bucket.there("a") == ["a"]
        assert bucket.lines("x") == [True, False] and bucket.there("x") == [], "an expired object leaves a marker"
        assert bucket.lines("gone") == [True, False], "the newest older one is kept"
        bucket.document("lifecycle", rendered([Rule("v", True, noncurrent_days=1), Rule("m", True, ends_markers=True)]))
        await bucket.pass_days(3)
        await bucket.pass_days(0)
        assert bucket.lines("a") == [False] and bucket.lines("gone") == [] and bucket.lines("x") == []


async def test_forgotten_uploads_are_aborted(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        bucket = Bucket(world, Rule("u", True, "up/", abort_days=1))
        for number, key in enumerate(("up/a", "other")):
            bucket.apply(BeginObject(bucket.header(), bytes([number]) * 16, f"admin/{key}", 7 * DAY_MS, 1, None, "",
                                     {}, {}))
        await bucket.pass_days(2.1)
        left = world.cluster.reader.read(lambda db: queries_object_uploads.object_uploads(db, "admin", "", 0))
        assert [upload.key for upload in left] == ["other"]


async def test_a_bucket_of_many_objects_is_walked_in_steps(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        bucket = Bucket(world, Rule("one", True, "k", days=1))
        keys = [f"k/{number:04}" for number in range(2_300)]
        bucket.put(*keys, "z")
        await bucket.pass_days(3)
        assert bucket.there(*keys, "z") == ["z"]


def test_rules_come_back_as_they_were_written() -> None:
    rules = (Rule("a", True, "p/", (("k", "v"),), 5, 10, days=3), Rule(None, False, "", date_ms=DAY_MS * 20_000),
             Rule("c", True, "old/", noncurrent_days=4, newer_kept=2, abort_days=5, is_old_form=True),
             Rule("d", True, ends_markers=True))
    assert parse_lifecycle(rendered(rules)) == rules
