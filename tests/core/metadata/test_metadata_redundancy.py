"""What the catalog says of copies: sums by sets of nodes, the files behind a set, the chunks of a file in parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata.commands import DeleteFile, MakeFolder, PutFile
from fluffy.core.metadata.commands_tree import DeleteFolder
from fluffy.core.metadata.queries_redundancy import CopySet, copy_sets, files_on, placed_chunks
from tests.support.local_log import BornCluster, born_cluster, genesis_command, header


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path, genesis_command(write_quorum=1)) as born:
        yield born


def put(cluster: BornCluster, path: str, *chunks: tuple[int, tuple[int, ...]]) -> None:
    """A file of chunks of 10 bytes: (which chunk, nodes that hold it)."""
    cluster.log.apply(PutFile(
        header(), path, 10 * len(chunks), bytes(32), "e", "a/b", {}, {}, None,
        tuple((chunk(number), 10) for number, _ in chunks),
        tuple(tuple(NodeNo(node) for node in nodes) for _, nodes in chunks)))


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


def sets_of(cluster: BornCluster) -> dict[tuple[int, ...], tuple[int, int]]:
    found = cluster.reader.read(copy_sets)
    assert all(isinstance(each, CopySet) and each.wanted == 3 for each in found)
    return {each.nodes: (each.chunks, each.bytes) for each in found}


def test_chunks_are_summed_by_who_holds_them(cluster: BornCluster) -> None:
    put(cluster, "admin/a", (1, (1, 2, 3)), (2, (1, 2)))
    put(cluster, "admin/b", (3, (1, 2)), (1, (1, 2, 3)))
    cluster.log.apply(PutFile(header(), "admin/small", 1, bytes(32), "e", "a/b", {}, {}, b"x", (), ()))
    assert sets_of(cluster) == {(1, 2, 3): (1, 10), (1, 2): (2, 20)}


def test_what_nothing_refers_to_does_not_count(cluster: BornCluster) -> None:
    put(cluster, "admin/a", (1, (1,)))
    cluster.log.apply(DeleteFile(header(), "admin/a", True))
    assert sets_of(cluster) == {}


def test_the_files_behind_a_set_of_copies_are_named(cluster: BornCluster) -> None:
    cluster.log.apply(MakeFolder(header(), "admin/d/e", True))
    put(cluster, "admin/d/e/x", (1, (1, 2, 3)), (2, (1,)))
    put(cluster, "admin/y", (2, (1,)))
    put(cluster, "admin/z", (3, (2, 3)))
    found = cluster.reader.read(lambda db: files_on(db, [(1,)], names_max=10))
    assert (found.files, found.kept, found.is_whole) == (2, 0, True)
    assert sorted(found.names) == [("admin", "admin/d/e/x"), ("admin", "admin/y")]
    assert len(cluster.reader.read(lambda db: files_on(db, [(1,), (2, 3)], names_max=1)).names) == 1
    assert cluster.reader.read(lambda db: files_on(db, [(1,), (2, 3)], names_max=1)).files == 3
    assert cluster.reader.read(lambda db: files_on(db, [], names_max=1)).files == 0


def test_old_generations_and_the_trash_are_counted_apart(cluster: BornCluster) -> None:
    cluster.log.apply(MakeFolder(header(), "admin/d/e", True))
    put(cluster, "admin/old", (1, (1,)))
    put(cluster, "admin/old", (2, (2,)))
    put(cluster, "admin/gone", (3, (1,)))
    cluster.log.apply(DeleteFile(header(), "admin/gone"))
    put(cluster, "admin/d/e/below", (4, (1,)))
    cluster.log.apply(DeleteFolder(header(), "admin/d"))
    found = cluster.reader.read(lambda db: files_on(db, [(1,)], names_max=10))
    assert (found.files, found.kept, found.names) == (0, 3, ())


def test_a_file_s_chunks_come_in_parts_with_their_copies(cluster: BornCluster) -> None:
    put(cluster, "admin/f", (1, (1,)), (2, (2,)), (1, (1,)), (3, (3,)))
    path = parse_path("/admin/f")
    part = cluster.reader.read(lambda db: placed_chunks(db, path, None, 1, 2))
    assert part is not None and (part.total, part.size, part.inline) == (4, 40, False)
    assert [(each.index, each.chunk_id, each.nodes, each.wanted) for each in part.chunks] == [
        (1, chunk(2), (2,), 3), (2, chunk(1), (1,), 3)]
    beyond = cluster.reader.read(lambda db: placed_chunks(db, path, None, 9, 2))
    assert beyond is not None and (beyond.total, beyond.chunks) == (4, ())
    assert cluster.reader.read(lambda db: placed_chunks(db, parse_path("/admin/none"), None, 0, 1)) is None
    cluster.log.apply(PutFile(header(), "admin/small", 1, bytes(32), "e", "a/b", {}, {}, b"x", (), ()))
    small = cluster.reader.read(lambda db: placed_chunks(db, parse_path("/admin/small"), 1, 0, 5))
    assert small is not None and (small.inline, small.total, small.generation) == (True, 0, 1)
