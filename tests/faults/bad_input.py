"""Bad input on every door: the right status, a process that goes on, and nothing left behind.

    python -m tests.faults.bad_input
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.faults.drill import drill_main
from tests.support.cluster import DATA_PORT, HTTP_PORT, RAFT_PORT, Cluster
from tests.support.processes import usage

MIB = 1 << 20
SOCKET_TIMEOUT_S = 20.0
GROWTH_MAX_BYTES = 60 * MIB
LORIS_CONNECTIONS = 150
LORIS_END_S = 40.0


@dataclass(slots=True)
class Report:
    statuses: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [*(f"{case}: {answer}" for case, answer in self.statuses.items()),
                f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems


class _Door:
    """One node's HTTP door, spoken to byte by byte."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self.cluster = cluster
        self.report = report
        self.node = cluster.names[0]

    def send(self, head: str, body: bytes = b"", token: str | None = "", finish: bool = True) -> tuple[int, bytes]:
        """(status, answer); status 0 when the connection just ended."""
        sent_token = f"Authorization: Bearer {token or self.cluster.token}\r\n" if token is not None else ""
        data = f"{head}\r\nHost: x\r\n{sent_token}\r\n".encode("latin-1") + body
        answer = b""
        with socket.create_connection((self.cluster.host, HTTP_PORT), SOCKET_TIMEOUT_S) as connection:
            try:
                connection.sendall(data)
                if not finish:
                    connection.shutdown(socket.SHUT_WR)
                while b"\r\n\r\n" not in answer:
                    part = connection.recv(65_536)
                    if not part:
                        break
                    answer += part
            except (ConnectionResetError, BrokenPipeError):
                pass  # refused before it was sent whole: what counts is what came back
        words = answer.split(b" ", 2)
        return (int(words[1]) if len(words) > 1 else 0), answer

    def expect(self, case: str, allowed: set[int], status: int, answer: bytes) -> None:
        self.report.statuses[case] = str(status or "connection ended")
        if status not in allowed:
            self.report.problems.append(f"{case}: {status}, allowed {sorted(allowed)}: {answer[:200]!r}")

    def absent(self, case: str, path: str) -> None:
        status, _, _ = self.cluster.request(self.node, "GET", path)
        if status != 404:
            self.report.problems.append(f"{case}: left something behind at {path}: {status}")


def http_cases(door: _Door) -> None:
    chunk = os.urandom(300_000)
    put = "PUT /v1/files/admin/bad/{} HTTP/1.1\r\nContent-Length: {}"
    status, answer = door.send(put.format("cut", MIB), chunk, finish=False)
    door.expect("upload cut in the middle", {0, 400}, status, answer)
    door.absent("upload cut in the middle", "/v1/files/admin/bad/cut")
    for name, data in (("small", b"hello"), ("large", chunk)):
        md5 = "\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
        status, answer = door.send(put.format(f"md5{name}", len(data)) + md5, data)
        door.expect(f"wrong Content-MD5, {name}", {400}, status, answer)
        door.absent("wrong Content-MD5", f"/v1/files/admin/bad/md5{name}")
    for length in ("-5", "ten", "1, 2", "99999999999999999999999"):
        door.expect(f"Content-Length {length}", {400, 411, 413}, *door.send(put.format("length", length), b"x" * 10))
    door.absent("wrong length", "/v1/files/admin/bad/length")
    paths = {"dot dot": "admin/../secret", "encoded dot dot": "admin/%2e%2e/secret", "NUL": "admin/a%00b",
             "empty segment": "admin//b", "5,000 bytes": "admin/" + "p" * 5_000, "bad UTF-8": "admin/%ff%fe",
             "half an escape": "admin/%4", "file without a bucket": "file"}
    for case, path in paths.items():
        for method in ("PUT", "GET"):
            head = f"{method} /v1/files/{path} HTTP/1.1\r\nContent-Length: 1"
            allowed = {400, 414} | ({404} if case == "half an escape" else set())
            door.expect(f"path with {case}, {method}", allowed, *door.send(head, b"x"))
    get = "GET /v1/files/admin/bad/x HTTP/1.1"
    door.expect("header of 1 MiB", {431}, *door.send(f"{get}\r\nX-Big: {'a' * MIB}"))
    door.expect("10,000 headers", {431}, *door.send(get + "".join(f"\r\nX-{n}: y" for n in range(10_000))))
    door.expect("unknown token", {401}, *door.send(get, token="no-such-token"))
    door.expect("no token", {401}, *door.send(get, token=None))
    door.expect("not HTTP at all", {0, 400}, *door.send("\x16\x03\x01\x02 garbage"))
    conflict_cases(door)


def conflict_cases(door: _Door) -> None:
    cluster = door.cluster
    for path in ("/v1/dirs/admin/bad-folder", "/v1/files/admin/bad-file"):
        assert cluster.request(door.node, "PUT", path, b"0123456789")[0] in (200, 201)
    status, _, body = cluster.request(door.node, "PUT", "/v1/files/admin/bad-folder", b"x")
    door.expect("PUT to a folder", {409}, status, body)
    status, _, body = cluster.request(door.node, "GET", "/v1/files/admin/bad-file", headers={"Range": "bytes=10-"})
    door.expect("range beyond the end", {416}, status, body)
    cluster.request(door.node, "DELETE", "/v1/files/admin/bad-file")
    cluster.request(door.node, "DELETE", "/v1/dirs/admin/bad-folder")


def garbage_cases(cluster: Cluster, report: Report, rng: random.Random) -> None:
    """Noise, lies about lengths and msgpack bombs on the private sockets; the cluster must not notice."""
    before = {pid: usage(pid).rss_bytes for name in cluster.names for pid in cluster.pids(name)}
    bombs = [rng.randbytes(100_000), b"\xff" * 64, struct.pack("<II", 2**32 - 1, 2**32 - 1) + b"x" * 100,
             struct.pack("<II", 60_000, 0) + b"\x91" * 60_000, struct.pack("<II", 5, 0) + b"\xdf\xff\xff\xff\xff",
             struct.pack("<II", 9, 60 * MIB) + b"\x81\xa1i\xce\xff\xff\xff\xff\x00", b"GET / HTTP/1.1\r\n\r\n",
             b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."]
    doors: dict[str, Callable[[], socket.socket]] = {
        "raft": lambda: socket.create_connection((cluster.host, RAFT_PORT), 5),
        "data": lambda: socket.create_connection((cluster.host, DATA_PORT), 5),
        "unix": lambda: _unix(cluster.node_dir(cluster.names[0]) / "run" / "log.sock")}
    for kind, connect in doors.items():
        for bomb in bombs:
            for _ in range(3):
                _throw(connect, bomb)
        report.statuses[f"garbage on the {kind} socket"] = "ignored"
    after = {pid: usage(pid).rss_bytes for name in cluster.names for pid in cluster.pids(name)}
    if set(after) != set(before):
        report.problems.append("garbage ended a process")
    grown = {pid: after[pid] - size for pid, size in before.items() if after.get(pid, 0) - size > GROWTH_MAX_BYTES}
    if grown:
        report.problems.append(f"garbage made processes grow: {grown}")
    status, _, body = cluster.request(cluster.names[0], "PUT", "/v1/files/admin/after-garbage", b"fine")
    if status != 201:
        report.problems.append(f"a write after the garbage: {status} {body[:200]!r}")
    cluster.request(cluster.names[0], "DELETE", "/v1/files/admin/after-garbage?purge=1")


def _unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


def _throw(connect: Callable[[], socket.socket], bomb: bytes) -> None:
    with connect() as connection:
        connection.settimeout(0.2)
        try:
            connection.sendall(bomb)
            connection.recv(1_000)
        except OSError:
            return  # thrown out, or no answer: both are right


def loris_case(cluster: Cluster, report: Report) -> None:
    """Many connections that send a byte now and then: others are served, and these are ended."""
    lazy = []
    for _ in range(LORIS_CONNECTIONS):
        connection = socket.create_connection((cluster.host, HTTP_PORT), 5)
        connection.sendall(b"GET /v1/files/admin/x HTTP/1.1\r\nX-Slow: ")
        lazy.append(connection)
    stop = threading.Event()
    dripping = threading.Thread(target=_drip, args=(lazy, stop))
    dripping.start()
    started_s = time.monotonic()
    try:
        slowest_s = 0.0
        for _ in range(20):
            began_s = time.monotonic()
            status, _, _ = cluster.request(cluster.names[0], "GET", "/v1/dirs/admin")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            if status != 200:
                report.problems.append(f"slow-loris: another client got {status}")
        cluster.wait_until(lambda: _all_ended(lazy), LORIS_END_S, "slow connections are ended")
    finally:
        stop.set()
        dripping.join()
        for connection in lazy:
            connection.close()
    report.statuses["slow-loris"] = (f"ended after {time.monotonic() - started_s:.0f} s, others waited at most "
                                     f"{slowest_s * 1000:.0f} ms")


def _drip(lazy: list[socket.socket], stop: threading.Event) -> None:
    while not stop.wait(1.0):
        for connection in lazy:
            try:
                connection.send(b"a")
            except OSError:
                continue


def _all_ended(lazy: list[socket.socket]) -> bool:
    for connection in lazy:
        connection.setblocking(False)
        try:
            while connection.recv(4_096):
                continue
        except BlockingIOError:
            return False
        except OSError:
            continue
    return True


def start_cases(cluster: Cluster, report: Report) -> None:
    """Nodes that must refuse to start: exit code 78 and one sentence that names the thing."""
    name = cluster.names[2]
    cluster.stop(name)
    config = cluster.config.read_text()
    secret_file = cluster.folder / "drill.secret"
    secret = secret_file.read_bytes()
    tree = yaml.safe_load(config)

    def refused(case: str, *words: str) -> None:
        before = (cluster.folder / f"{name}.log").stat().st_size
        cluster.start(name)
        code = cluster.exit_code(name)
        said = (cluster.folder / f"{name}.log").read_text(errors="replace")[before:]
        report.statuses[case] = f"exit code {code}"
        if code != 78 or not all(word in said for word in words):
            report.problems.append(f"{case}: exit code {code}, expected {words} in: {said[-600:]}")

    misspelt = yaml.safe_load(config)
    misspelt["cluster"]["replicatoin"] = misspelt["cluster"].pop("replication")
    cluster.config.write_text(yaml.safe_dump(misspelt, sort_keys=False))
    refused("config.yaml with a misspelt key", "replicatoin", "replication")
    tree["nodes"][name]["dir"], stolen = "stolen", cluster.folder / "stolen"
    shutil.copytree(cluster.node_dir(cluster.names[1]), stolen, ignore=shutil.ignore_patterns("run", "*.lock"))
    cluster.config.write_text(yaml.safe_dump(tree, sort_keys=False))
    refused("a node started with another node's folder", cluster.names[1])
    shutil.rmtree(stolen)
    cluster.config.write_text(config)
    secret_file.write_bytes(secret[:4] + (b"0" if secret[4:5] != b"0" else b"1") + secret[5:])
    refused("a node started with another cluster's secret", "secret")
    secret_file.write_bytes(secret)
    cluster.start_ready(name)


async def run(cluster: Cluster, rounds: int, seed: int) -> Report:
    """The cluster is ready before and after, and holds what it held."""
    report = Report()
    await asyncio.to_thread(http_cases, _Door(cluster, report))
    await asyncio.to_thread(garbage_cases, cluster, report, random.Random(seed))
    await asyncio.to_thread(loris_case, cluster, report)
    await asyncio.to_thread(start_cases, cluster, report)
    await asyncio.to_thread(_nothing_left, cluster, report)
    return report


def _nothing_left(cluster: Cluster, report: Report) -> None:
    status, _, body = cluster.request(cluster.names[0], "GET", "/v1/dirs/admin/bad")
    if status != 404:
        report.problems.append(f"the folder of the refused uploads is there: {status} {body[:300]!r}")
    for name in cluster.names:
        left = [path for path in (cluster.node_dir(name) / "incoming").rglob("*") if path.is_file()
                and path.stat().st_size and path.suffix != ".lock"]
        if left:
            report.problems.append(f"unfinished files on {name}: {left[:5]}")


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1)
