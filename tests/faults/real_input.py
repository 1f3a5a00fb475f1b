"""Real files in by the REPL and by curl, out through each node, byte-equal; no process grows while a large one moves.

    python -m tests.faults.real_input --large-mib 2048 --tree whole
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.faults.drill import drill_main
from tests.support.cluster import ROOT, Cluster
from tests.support.processes import usage

RSS_MAX_BYTES = 300 << 20
COMMAND_TIMEOUT_S = 1_800
BLOCK = 1 << 20
SHORT_TREES = ("json", "wsgiref", "curses")


def tiny_png() -> bytes:
    """A real picture of one red pixel."""
    def part(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    head = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0\xff\0\0"))
            + part(b"IEND", b""))


def tiny_pdf() -> bytes:
    """A real, empty page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>"]
    text, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(text))
        text += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return text + b"xref\n0 4\n%strailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (table, len(text))


SPECIAL = {
    "empty": b"", "one byte": b"x", "picture.png": tiny_png(), "page.pdf": tiny_pdf(), "two words.txt": b"a b\n",
    "ü.txt": "größe\n".encode(), "日本.txt": "日本\n".encode(), "it's \"quoted\".txt": b"quotes\n",
    "100%.txt": b"percent\n", "a%2Fb.txt": b"no slash\n", "semi;colon&and=more?.txt": b"signs\n",
    "just inline": bytes(range(256)) * 64, "just a chunk": bytes(range(256)) * 64 + b"!",
}


@dataclass(slots=True)
class Report:
    files: int = 0
    bytes: int = 0
    compared: int = 0
    large_mib: int = 0
    large_s: dict[str, float] = field(default_factory=dict)
    rss_max: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        grown = ", ".join(f"{kind} {rss >> 20} MiB" for kind, rss in sorted(self.rss_max.items()))
        speeds = ", ".join(f"{way} {self.large_mib / took:.0f} MiB/s" for way, took in self.large_s.items())
        return [f"files: {self.files:,} with {self.bytes:,} bytes; compared through the nodes: {self.compared:,}",
                f"the large file: {self.large_mib} MiB; {speeds}",
                f"most memory of any process: {grown}", f"problems: {len(self.problems)}", *self.problems[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[:20]
        assert max(self.rss_max.values()) < RSS_MAX_BYTES, self.rss_max


class _MemoryWatch:
    """Samples the memory of all processes of the cluster until the block ends."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self._kinds = {pid: kind for name in cluster.running for pid, kind in cluster.pids(name).items()}
        self._report = report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        most = self._report.rss_max
        while not self._stop.wait(0.1):
            for pid, kind in self._kinds.items():
                most[kind] = max(most.get(kind, 0), usage(pid).rss_bytes)


def client(cluster: Cluster, node: str, *words: str, typed: str | None = None) -> str:
    """`client.py` once, or with `typed` as a session."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "client.py"), "--config", str(cluster.config), "--peer", cluster.url(node), *words],
        input=typed, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, cwd=cluster.folder, env=cluster.env)
    assert done.returncode == 0, f"client.py {words} {typed!r}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}"
    return done.stdout


def curl(cluster: Cluster, *words: str) -> bytes:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "-H", f"Authorization: Bearer {cluster.token}",
         *words],
        capture_output=True, timeout=COMMAND_TIMEOUT_S)
    assert done.returncode == 0, f"curl {words}: {done.returncode} {done.stdout[:500]!r} {done.stderr!r}"
    return done.stdout


async def run(cluster: Cluster, rounds: int, seed: int, large_mib: int = 64, tree: str = "short") -> Report:
    report = Report(large_mib=large_mib)
    await asyncio.to_thread(_small_files, cluster, tree, report)
    await asyncio.to_thread(_large_file, cluster, large_mib << 20, report)
    return report


def _make_source(cluster: Cluster, tree: str) -> Path:
    library = Path(sysconfig.get_path("stdlib"))
    source = cluster.folder / "source"
    leave = shutil.ignore_patterns("site-packages")
    if tree == "whole":
        shutil.copytree(library, source / "lib", ignore=leave)
    else:
        for name in SHORT_TREES:
            shutil.copytree(library / name, source / "lib" / name, ignore=leave)
    special = source / "special"
    special.mkdir()
    for name, data in SPECIAL.items():
        (special / name).write_bytes(data)
    return source


def _small_files(cluster: Cluster, tree: str, report: Report) -> None:
    source = _make_source(cluster, tree)
    files = {path.relative_to(source): path for path in source.rglob("*") if path.is_file()}
    report.files, report.bytes = len(files), sum(path.stat().st_size for path in files.values())
    typed = f"upload -r {source}/lib /admin/real/lib\nupload -r {source}/special /admin/real/special\n"
    with _MemoryWatch(cluster, report):
        client(cluster, cluster.names[0], typed=typed)
        for name in SPECIAL:
            curl(cluster, "-T", str(source / "special" / name),
                 f"{cluster.url(cluster.names[1])}/v1/files/admin/curl/{quote(name, safe='')}")
        for node in cluster.names:
            out = cluster.folder / f"out-{node}"
            client(cluster, node, "download", "-r", "/admin/real", str(out))
            for name, path in files.items():
                report.compared += 1
                found = next((place for place in (out / name, out / "real" / name) if place.is_file()), None)
                if found is None or found.read_bytes() != path.read_bytes():
                    report.problems.append(f"{name} through {node}: {'differs' if found else 'is missing'}")
            for name, data in SPECIAL.items():
                report.compared += 1
                if curl(cluster, f"{cluster.url(node)}/v1/files/admin/curl/{quote(name, safe='')}") != data:
                    report.problems.append(f"{name} by curl through {node} differs")
            shutil.rmtree(out)


def _large_file(cluster: Cluster, size: int, report: Report) -> None:
    path, digest = cluster.folder / "large.bin", hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // BLOCK):
            block = hashlib.shake_128(number.to_bytes(8, "little")).digest(4096) * (BLOCK // 4096)
            digest.update(block)
            file.write(block)
    with _MemoryWatch(cluster, report):
        started_s = time.monotonic()
        curl(cluster, "-T", str(path), f"{cluster.url(cluster.names[2])}/v1/files/admin/real/large.bin")
        report.large_s["in by curl"] = time.monotonic() - started_s
        for node in cluster.names:
            out = cluster.folder / "large.out"
            started_s = time.monotonic()
            curl(cluster, "-o", str(out), f"{cluster.url(node)}/v1/files/admin/real/large.bin")
            report.large_s[f"out of {node}"] = time.monotonic() - started_s
            report.compared += 1
            with out.open("rb") as file:
                if hashlib.file_digest(file, "sha256").digest() != digest.digest():
                    report.problems.append(f"the large file through {node} differs")
            out.unlink()
    path.unlink()


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={
        "large-mib": (int, 2048, "size of the large file"),
        "tree": (str, "whole", "whole: the standard library; short: a few packages of it")})
