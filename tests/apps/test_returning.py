"""A node with an emptied folder asks those it knows whether it may come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fluffy.apps import returning
from fluffy.apps.identity import load_or_create_identity
from fluffy.apps.local_config import Wanted, prepare_config
from fluffy.apps.returning import return_if_welcome, wait_for_welcome
from fluffy.apps.seed import read_seed
from fluffy.apps.settings import Settings, load
from fluffy.wire.handshake import derive_key
from fluffy.wire.joining import PURPOSE, RETURN_HEADER, JoinAnswer, KnownNode, encode_answer

CLUSTER = "5a2c1d9e-0000-4000-8000-000000000001"


class Member:
    """A node of a cluster that exists; `welcomes`: the name whose new disk it lets in."""

    def __init__(self) -> None:
        self.welcomes = ""
        self.asked: list[str] = []
        self.settings: Settings | None = None
        member = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = asked["node"]["name"]
                member.asked.append(name)
                assert self.headers[RETURN_HEADER], "only a return is asked for"
                status, body = member.answer(name, asked["nonce"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Door)
        self.port = self.server.server_address[1]

    def answer(self, name: str, nonce: str) -> tuple[int, bytes]:
        if name != self.welcomes or self.settings is None:
            return 409, json.dumps({"error": {"code": "AlreadyExists", "message": "say recover first"}}).encode()
        known = tuple(KnownNode(one, f"disk-{one}", "127.0.0.1", 7) for one in ("one", "two"))
        key = derive_key(self.settings.secret(create=True), PURPOSE)
        return 200, encode_answer(JoinAnswer(4, CLUSTER, {"one": "disk-one"}, known), nonce, key)


@pytest.fixture
def member() -> Iterator[Member]:
    found = Member()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def settings(tmp_path: Path, member: Member) -> Settings:
    """Two nodes, of which the other one is `member`."""
    path = prepare_config(tmp_path, Wanted(2, None, None, with_supernode=False))
    path.write_text(path.read_text().replace("http: 7101", f"http: {member.port}"))
    path.with_name("iptable.txt").unlink()
    member.settings = load(path)
    return member.settings


def test_an_emptied_disk_is_a_member_s_as_soon_as_it_is_welcome(settings: Settings, member: Member) -> None:
    two = settings.node("two")
    identity = load_or_create_identity(settings, two)
    assert not return_if_welcome(settings, two, identity)
    assert read_seed(two.dir) is None and load_or_create_identity(settings, two).cluster_uuid is None
    member.welcomes = "two"
    assert return_if_welcome(settings, two, identity)
    seed = read_seed(two.dir)
    assert seed is not None and [node.name for node in seed.nodes] == ["one"]
    assert load_or_create_identity(settings, two).cluster_uuid == CLUSTER
    assert member.asked == ["two", "two"]


async def test_a_node_that_waits_goes_on_asking_until_it_is_welcome(settings: Settings, member: Member,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "FIRST_ASK_S", 0.0)
    monkeypatch.setattr(returning, "ASK_AGAIN_S", 0.01)
    two = settings.node("two")
    load_or_create_identity(settings, two)

    def is_settled() -> bool:
        member.welcomes = "two" if len(member.asked) >= 3 else ""
        return False

    assert await wait_for_welcome(settings, two, is_settled)
    assert len(member.asked) == 4
    assert load_or_create_identity(settings, two).cluster_uuid is None, "the new start makes it one"
    assert not await wait_for_welcome(settings, two, lambda: True)
