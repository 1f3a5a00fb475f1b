"""The private names of PySyncObj 0.3.17 that `library.py` overrides or reads: an upgrade must fail here, loudly."""

from __future__ import annotations

import ast
import inspect
import random
import re
import time
from pathlib import Path

import pysyncobj.pickle as library_pickle
import pysyncobj.syncobj as library_module
import pytest
from pysyncobj import SyncObj
from pysyncobj.config import FAIL_REASON

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import StartRefused
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.commands_members import SetVoters
from fluffy.drivers.raft import library, transport
from fluffy.drivers.raft.membership import decode_membership, encode_membership
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.wire.log_entries import encode_command, encode_group
from tests.drivers.raft.lab import header

SOURCE = Path(library.__file__).read_text()
OVERRIDDEN = sorted(set(re.findall(r"def (_SyncObj__\w+|_checkCommandsToApply)\(", SOURCE)))
USED = sorted(set(re.findall(r"self\._SyncObj__(\w+)", SOURCE)))
LIBRARY_SOURCE = inspect.getsource(library_module)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_we_override_is_still_called_by_the_library(name: str) -> None:
    """An override that nobody calls would silently put the stock behaviour back."""
    method = name.removeprefix("_SyncObj")
    ours = getattr(library.HardenedSyncObj, name)
    stock = getattr(SyncObj, name)
    assert ours is not stock
    uses = [node for node in ast.walk(ast.parse(LIBRARY_SOURCE)) if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load) and node.attr == method]
    assert uses, f"the library no longer calls {method}"
    assert len(inspect.signature(ours).parameters) == len(inspect.signature(stock).parameters)


@pytest.mark.parametrize("name", USED)
def test_every_private_name_we_use_exists_in_the_library(name: str) -> None:
    assert re.search(rf"self\.__{name}\b", LIBRARY_SOURCE), f"the library has no __{name}"


@pytest.mark.parametrize("name", ["createJournal", "createPoller", "Serializer", "monotonicTime", "random",
                                  "PIPE_NOTIFIER_ENABLED"])
def test_the_factories_we_replace_are_looked_up_in_the_module(name: str) -> None:
    assert hasattr(library_module, name)
    assert re.search(rf"(?<![.\w]){name}\b", inspect.getsource(SyncObj)), f"SyncObj no longer uses {name}"


def test_the_library_pickles_by_the_names_we_replace() -> None:
    assert callable(library_pickle.dumps) and callable(library_pickle.loads)
    assert "pickle.loads" in inspect.getsource(SyncObj._SyncObj__parseChangeClusterRequest)


def test_another_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "VERSION", "0.3.18")
    with pytest.raises(StartRefused, match=r"pip install pysyncobj==0\.3\.17"):
        library.check_version()


def test_not_leader_is_the_librarys_number() -> None:
    assert transport.NOT_LEADER == FAIL_REASON.NOT_LEADER


def test_a_membership_entry_holds_the_whole_list_of_voters_and_nothing_else() -> None:
    command = SetVoters(header(), 3, (("one", "disk-1"), ("two", "disk-2")))
    assert decode_membership(encode_membership(command)) == {"one": "disk-1", "two": "disk-2"}
    other = encode_command(MakeFolder(header(), "admin/x"))
    for group in (b"", b"\x01", b"\x01garbage", encode_group([other]), encode_group([other, other])):
        with pytest.raises(InvariantBroken):
            decode_membership(group)


def test_nothing_of_the_librarys_is_pickled() -> None:
    library.install(time.monotonic, random.Random(1))
    for call, value in ((library_pickle.dumps, ["add"]), (library_pickle.loads, b"")):
        with pytest.raises(InvariantBroken):
            call(value)


def test_the_type_of_ordinary_commands_is_the_librarys_number() -> None:
    assert transport.COMMAND == library_module._COMMAND_TYPE.REGULAR


def test_peers_hash_the_same_in_every_process() -> None:
    assert hash(RaftPeer("one")) == 2053932785
    assert RaftPeer("one") == RaftPeer("one") != RaftPeer("two")
