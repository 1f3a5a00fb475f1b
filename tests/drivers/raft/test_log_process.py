"""The log process through its unix socket: a cluster of one, really started and really killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AlreadyExists, FluffyError, NotReady, TooLarge, Unavailable
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.commands import Command, Header, MakeFolder, PutFile, SetFeatureLevel
from fluffy.core.metadata.commands_tree import Move
from fluffy.drivers.log_client import LogClient
from fluffy.wire.frames import HEADER_BYTES_MAX, LOG_PAYLOAD_BYTES_MAX, PREFIX, FrameReader, encode_frame
from fluffy.wire.log_entries import encode_command

CONFIG = """
cluster: {{name: solo, replication: 1, write_quorum: 1, secret_file: solo.secret}}
nodes:
  one: {{host: 127.0.0.1, http: {0}, raft: {1}, data: {2}, s3: {3}, dir: one, zone: a}}
"""


class Solo:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = []
        probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
        for probe in probes:
            ports.append(probe.getsockname()[1])
            probe.close()
        (folder / "config.yaml").write_text(CONFIG.format(*ports))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        return self.folder / "one" / "run" / "log.sock"

    def start(self, *program: str) -> None:
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "fluffy.apps.log_process")), "one", "--config",
                 str(self.folder / "config.yaml")], stderr=log)

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def log_text(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture
def solo(tmp_path: Path) -> Iterator[Solo]:
    made = Solo(tmp_path)
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


async def ready(client: LogClient) -> None:
    for _ in range(200):
        try:
            if (await client.status(Deadline.after(1))).caught_up:
                return
        except NotReady:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError("the log process did not get ready")


def folder_command(name: str) -> MakeFolder:
    return MakeFolder(Header(new_request_id(), time.time_ns() // 1_000_000, NodeNo(1), UserNo(1)), f"admin/{name}")


async def test_what_is_acknowledged_survives_kill_9_and_a_retry_across_it_happens_once(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    acknowledged = [folder_command(f"f{number}") for number in range(50)]
    for command in acknowledged:
        await client.propose(command, Deadline.after(5))

    async def through_the_crash(number: int) -> None:
        await client.propose(folder_command(f"during-{number}"), Deadline.after(20))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(through_the_crash(number))
        await asyncio.sleep(0.003)
        solo.kill()
        solo.start()
    seq = await client.barrier(Deadline.after(5))
    assert seq == 1 + 50 + 20, "each of the commands happened exactly once"
    for command in acknowledged:
        again = await client.propose(command, Deadline.after(5))
        assert again.seq <= seq
    assert await client.barrier(Deadline.after(5)) == seq
    await client.close()


async def test_sigterm_ends_cleanly_with_0_and_the_state_is_there_again(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    await client.propose(folder_command("x"), Deadline.after(5))
    assert solo.kill(signal.SIGTERM) == 0
    solo.start()
    await ready(client)
    with pytest.raises(AlreadyExists):
        await client.propose(folder_command("x"), Deadline.after(5))
    await client.close()


async def test_checkpoint_digest_and_waiting_for_a_sequence(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    await client.propose(folder_command("x"), Deadline.after(5))
    status = await client.status(Deadline.after(5))
    index, digest = await client.digest(Deadline.after(5))
    assert (index, len(digest)) == (status.applied_index, 64)
    assert await client.checkpoint(Deadline.after(10)) == status.applied_index
    assert (await client.status(Deadline.after(5))).checkpoint_index == status.applied_index

    async def later() -> None:
        await asyncio.sleep(0.05)
        await client.propose(folder_command("y"), Deadline.after(5))

    async with asyncio.TaskGroup() as group:
        group.create_task(later())
        assert await client.wait_seq(status.seq + 1, Deadline.after(5)) == status.seq + 1
    with pytest.raises(NotReady):
        await client.wait_seq(status.seq + 100, Deadline.after(0.2))
    await client.close()


async def test_a_command_too_large_for_the_log_is_refused(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    huge = PutFile(Header(new_request_id(), 1, NodeNo(1), UserNo(1)), "admin/x", 1, bytes(32), "e", "t",
                   {"k": "v" * 1_100_000}, {}, b"x", (), ())
    with pytest.raises((TooLarge, FluffyError)):
        await client.propose(huge, Deadline.after(5))
    await client.propose(folder_command("still-works"), Deadline.after(5))
    await client.close()


def raw(solo: Solo) -> socket.socket:
    """A bare connection to the socket, under a short name."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    folder = os.open(solo.socket_path.parent, os.O_RDONLY)
    try:
        sock.connect(f"/proc/self/fd/{folder}/log.sock")
    finally:
        os.close(folder)
    return sock


BOMBS = {
    "garbage": os.urandom(4000),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "header too long": PREFIX.pack(HEADER_BYTES_MAX + 1, 0),
    "payload too long": PREFIX.pack(10, LOG_PAYLOAD_BYTES_MAX + 1),
    "deep nesting": PREFIX.pack(60_000, 0) + b"\x91" * 60_000,
    "huge map": PREFIX.pack(5, 0) + b"\xdf\xff\xff\xff\xff",
    "extension type": PREFIX.pack(13, 0) + msgpack.packb({"i": msgpack.ExtType(1, b"x" * 8)}),
    "not a map": PREFIX.pack(2, 0) + msgpack.packb([1]),
    "no number": encode_frame({"op": "status"}),
    "number of the wrong kind": encode_frame({"i": "1", "op": "status"}),
    "garbage command": encode_frame({"i": 1, "op": "propose"}, encode_command(folder_command("x"))[:-3]),
}


async def test_garbage_closes_that_connection_and_harms_nobody(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    for name in sorted(BOMBS):
        with raw(solo) as sock:
            sock.sendall(BOMBS[name])
            try:
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass
        await client.propose(folder_command(f"alive after {name}"), Deadline.after(5))
    await client.close()


async def test_an_unknown_operation_is_refused_and_the_connection_stays(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    with raw(solo) as sock:
        for number, op in enumerate(("shutdown", "", "status")):
            sock.sendall(encode_frame({"i": number, "op": op}))
        reader = FrameReader()
        frames = []
        while len(frames) < 3:
            frames += reader.feed(sock.recv(65536))
    assert [frame.header["ok"] for frame in frames] == [False, False, True]
    assert frames[0].header["code"] == "QuerySyntax"
    await client.close()


async def test_a_second_log_process_on_the_same_folder_refuses_to_start(solo: Solo) -> None:
    client = LogClient(solo.socket_path)
    await ready(client)
    command = [sys.executable, "-m", "fluffy.apps.log_process", "one", "--config", str(solo.folder / "config.yaml")]
    second = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    _, errors = await second.communicate()
    assert second.returncode == 78 and b"another process uses" in errors
    await client.propose(folder_command("alive"), Deadline.after(5))
    await client.close()


OLD_BIRTH = """
import sys
from fluffy.apps import genesis, log_process
genesis.FEATURE_LEVEL = 1
log_process.main()
"""


async def test_a_cluster_of_the_first_version_takes_no_newer_command_until_it_is_lifted(tmp_path: Path) -> None:
    solo = Solo(tmp_path)
    solo.start("-c", OLD_BIRTH)
    client = LogClient(solo.socket_path)

    def header() -> Header:
        return Header(new_request_id(), 1, NodeNo(1), UserNo(1))

    async def propose(command: Command) -> None:
        await client.propose(command, Deadline.after(5))

    try:
        await ready(client)
        await propose(MakeFolder(header(), "admin/old"))
        # A new kind, and an old one with a field that came later.
        for command in (Move(header(), "admin/old", "admin/new"), MakeFolder(header(), "admin/x", lock=b"l" * 32)):
            with pytest.raises(Unavailable, match="being upgraded"):
                await propose(command)
        await propose(SetFeatureLevel(header(), 2))
        await propose(Move(header(), "admin/old", "admin/new"))
    finally:
        await client.close()
        solo.kill()
