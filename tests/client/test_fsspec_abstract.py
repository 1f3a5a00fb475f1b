"""fsspec's own suites for file systems, against a real door."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

import pytest
from fsspec.tests import abstract

from fluffy.apps.filesystem import FluffyFileSystem
from tests.client.shell_door import door_in_thread
from tests.support.local_log import ADMIN_TOKEN


class FluffyFixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluffyFileSystem]:
        with door_in_thread(tmp_path_factory.mktemp("node")) as door:
            yield FluffyFileSystem(peers=door.url, token=ADMIN_TOKEN, patience_s=5.0, skip_instance_cache=True)

    @pytest.fixture
    def fs_path(self) -> str:
        return "/admin/suite"

    @pytest.fixture
    def fs_join(self) -> Any:
        return posixpath.join


class TestCopy(abstract.AbstractCopyTests, FluffyFixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, FluffyFixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, FluffyFixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, FluffyFixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, FluffyFixtures):  # type: ignore[misc]
    pass
