"""The tests' own log behaves like the real one towards its users."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FileNotFound, QuorumLost
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import DeleteFile, PutFile
from tests.support.local_log import born_cluster, header


def put_inline(path: str, data: bytes) -> PutFile:
    return PutFile(header(), path, len(data), blake3(data).digest(), blake3(data).hexdigest()[:32], "text/plain",
                   {"mode": "644"}, {}, data, (), ())


async def test_what_is_proposed_is_read(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        deadline = Deadline.after(5)
        accepted = await cluster.log.propose(put_inline("admin/docs/a.txt", b"hello"), deadline)
        assert accepted.facts["generation"] == 1 and accepted.facts["created"]
        version = cluster.reader.read(lambda db: queries.file_version(db, parse_path("admin/docs/a.txt")))
        assert version is not None and version.inline == b"hello" and version.meta == {"mode": "644"}
        page = await cluster.reader.read_in_thread(
            lambda db: queries.list_folder(db, parse_path("admin"), None, 10), deadline)
        assert [entry.name for entry in page.entries] == ["docs"]
        assert await cluster.log.barrier(deadline) == accepted.seq


async def test_refusals_are_raised(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        with pytest.raises(FileNotFound):
            await cluster.log.propose(DeleteFile(header(), "admin/none"), Deadline.after(5))
        cluster.log.refuse_with = QuorumLost()
        with pytest.raises(QuorumLost):
            await cluster.log.barrier(Deadline.after(5))
