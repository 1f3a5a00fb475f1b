"""Real tools do a day's work against a cluster whose leader is killed in the middle of each.

    python -m tests.s3.tools [--only rclone restic] [--files 5000]

Installs what is missing: boto3 (the newest) and aws by pip into a folder of their own; rclone, s3cmd, restic, s3fs and
duplicity by apt-get where there is one. A tool that cannot be installed (or FUSE that is not there) is named and
counted as missing, never as passed; and so is not a day in which the tool was done before the leader died.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fluffy.services.s3_keys import KeyPair
from tests.s3.conftest import make_key, s3_urls
from tests.support.cluster import Cluster

STEP_TIMEOUT_S = 300
KILL_AFTER_S = 1.0
BOTO_DAY = Path(__file__).with_name("boto_day.py")


@dataclass(slots=True)
class Desk:
    """Where a tool works."""

    cluster: Cluster
    pair: KeyPair
    folder: Path
    env: dict[str, str]
    files: int

    @property
    def url(self) -> str:
        return s3_urls(self.cluster)[0]

    def run(self, *words: str, **more: str) -> str:
        done = subprocess.run(words, env={**self.env, **more}, cwd=self.folder, capture_output=True, text=True,
                              timeout=STEP_TIMEOUT_S)
        if done.returncode:
            raise AssertionError(f"{' '.join(words[:4])} ended with {done.returncode}:\n{done.stdout[-2000:]}\n"
                                 f"{done.stderr[-4000:]}")
        return done.stdout

    @contextmanager
    def leader_dies(self) -> Iterator[None]:
        """Kill the node that leads a moment later, but not the one that the tool speaks to; start it again after."""
        first = self.cluster.names[0]
        victim = self.cluster.leader()
        kind = "log" if victim == first else ""

        ended, missed = threading.Event(), threading.Event()

        def kill() -> None:
            if ended.wait(KILL_AFTER_S):
                missed.set()
                return
            if kind:
                os.kill(self.cluster.pid_of(victim, kind), signal.SIGKILL)
            else:
                self.cluster.kill(victim)
        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if not kind and not missed.is_set():
                self.cluster.start_ready(victim)
            else:
                self.cluster.wait_ready(victim)
        if missed.is_set():
            raise AssertionError("all was done before the leader was to die: give it more --files")


def make_tree(folder: Path, files: int) -> Path:
    """Many small files, some large ones, names of all kinds."""
    top = folder / "tree"
    for number in range(files):
        path = top / f"d{number % 20:02}" / f"file {number} ü.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(200 + number % 800))
    (top / "large").write_bytes(os.urandom(20 << 20))
    (top / "empty").write_bytes(b"")
    return top


def same(one: Path, other: Path) -> None:
    """Raise AssertionError unless both trees hold the same files."""
    found = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    back = {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    assert found == back, sorted(map(str, found ^ back))[:5]
    wrong = [path for path in found if not filecmp.cmp(one / path, other / path, shallow=False)]
    assert not wrong, wrong[:5]


def boto3(desk: Desk) -> None:
    tree = make_tree(desk.folder, desk.files)
    with desk.leader_dies():
        print(desk.run(f"{desk.env['TOOLS']}/python", str(BOTO_DAY), desk.url, str(tree)), end="")


def stream(desk: Desk, write: str, read: str, tree: Path, **more: str) -> None:
    """A tree as one stream, whose length and end nobody knows, into an object and back out of it."""
    with desk.leader_dies():
        desk.run("sh", "-ec", f"(tar -c -C {tree} .; sleep {2 * KILL_AFTER_S}) | {write}", **more)
    desk.run("sh", "-ec", f"mkdir streamed; {read} | tar -x -C streamed", **more)
    same(tree, desk.folder / "streamed")


def aws(desk: Desk) -> None:
    program = f"{desk.env['TOOLS']}/aws"
    tree = make_tree(desk.folder, desk.files)
    desk.run(program, "--endpoint-url", desk.url, "s3", "mb", "s3://aws")
    with desk.leader_dies():
        desk.run(program, "--endpoint-url", desk.url, "s3", "sync", "--only-show-errors", str(tree), "s3://aws/t")
    desk.run(program, "--endpoint-url", desk.url, "s3", "sync", "--only-show-errors", "s3://aws/t", "back")
    same(tree, desk.folder / "back")
    desk.run(program, "--endpoint-url", desk.url, "s3", "mv", "s3://aws/t/large", "s3://aws/moved")
    assert "moved" in desk.run(program, "--endpoint-url", desk.url, "s3", "ls", "s3://aws/")
    stream(desk, f"{program} --endpoint-url {desk.url} s3 cp - s3://aws/stream",
           f"{program} --endpoint-url {desk.url} s3 cp s3://aws/stream -", tree)
    desk.run(program, "--endpoint-url", desk.url, "s3", "rm", "--recursive", "--only-show-errors", "s3://aws")
    desk.run(program, "--endpoint-url", desk.url, "s3", "rb", "s3://aws")


def rclone(desk: Desk) -> None:
    more = {"RCLONE_CONFIG_F_TYPE": "s3", "RCLONE_CONFIG_F_PROVIDER": "Other", "RCLONE_CONFIG_F_ENDPOINT": desk.url,
            "RCLONE_CONFIG_F_ENV_AUTH": "true", "RCLONE_CONFIG": str(desk.folder / "none")}
    tree = make_tree(desk.folder, desk.files)
    desk.run("rclone", "mkdir", "f:rclone", **more)
    with desk.leader_dies():
        desk.run("rclone", "sync", str(tree), "f:rclone/t", "--transfers", "8", **more)
    desk.run("rclone", "check", str(tree), "f:rclone/t", **more)
    (tree / "d00" / "new").write_bytes(b"new")
    shutil.rmtree(tree / "d01")
    desk.run("rclone", "sync", str(tree), "f:rclone/t", **more)
    desk.run("rclone", "check", "--download", str(tree), "f:rclone/t", **more)
    desk.run("rclone", "copy", "f:rclone/t", "back", "--transfers", "8", **more)
    same(tree, desk.folder / "back")
    stream(desk, "rclone rcat f:rclone/stream", "rclone cat f:rclone/stream", tree, **more)
    desk.run("rclone", "purge", "f:rclone", **more)


def s3cmd(desk: Desk) -> None:
    config = desk.folder / "s3cfg"
    host = desk.url.removeprefix("http://")
    config.write_text(f"[default]\naccess_key = {desk.pair.access_key}\nsecret_key = {desk.pair.secret}\n"
                      f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\nsignature_v2 = False\n")
    tree = make_tree(desk.folder, desk.files // 5)
    run = ("s3cmd", "-c", str(config), "-q")
    desk.run(*run, "mb", "s3://s3cmd")
    with desk.leader_dies():
        desk.run(*run, "sync", f"{tree}/", "s3://s3cmd/t/")
    (desk.folder / "back").mkdir()
    desk.run(*run, "sync", "s3://s3cmd/t/", "back/")
    same(tree, desk.folder / "back")
    desk.run(*run, "del", "--recursive", "--force", "s3://s3cmd")
    desk.run(*run, "rb", "s3://s3cmd")


def restic(desk: Desk) -> None:
    more = {"RESTIC_REPOSITORY": f"s3:{desk.url}/restic/repo", "RESTIC_PASSWORD": "x", "HOME": str(desk.folder)}
    tree = make_tree(desk.folder, desk.files)
    desk.run("restic", "init", **more)
    with desk.leader_dies():
        desk.run("restic", "backup", str(tree), **more)
    (tree / "d00" / "new").write_bytes(b"new")
    desk.run("restic", "backup", str(tree), **more)
    desk.run("restic", "check", "--read-data", **more)
    desk.run("restic", "forget", "--keep-last", "1", "--prune", **more)
    desk.run("restic", "check", **more)
    desk.run("restic", "restore", "latest", "--target", "back", **more)
    same(tree, desk.folder / "back" / str(tree).lstrip("/"))


def duplicity(desk: Desk) -> None:
    """Volumes of a stream, in parts: a whole backup and one of what changed, checked, restored, old ones removed."""
    tree = make_tree(desk.folder, desk.files)
    (tree / "larger").write_bytes(os.urandom(60 << 20))
    target, more = "boto3+s3://duplicity/backup", {"HOME": str(desk.folder)}
    run = ("duplicity", "--no-encryption", "--s3-endpoint-url", desk.url, "--volsize", "12",
           "--s3-multipart-chunk-size", "5", "--archive-dir", "archive", "--no-print-statistics")
    desk.run(f"{desk.env['TOOLS']}/aws", "--endpoint-url", desk.url, "s3", "mb", "s3://duplicity")
    with desk.leader_dies():
        desk.run(*run, "full", str(tree), target, **more)
    (tree / "d00" / "new").write_bytes(b"new")
    desk.run(*run, "incremental", str(tree), target, **more)
    desk.run(*run, "verify", "--compare-data", target, str(tree), **more)
    shutil.rmtree(desk.folder / "archive")  # all that is known comes from the bucket
    desk.run(*run, "restore", target, "back", **more)
    same(tree, desk.folder / "back")
    desk.run(*run, "full", str(tree), target, **more)
    desk.run(*run, "remove-all-but-n-full", "1", "--force", target, **more)


def s3fs(desk: Desk) -> None:
    secret, mount = desk.folder / "passwd", desk.folder / "mount"
    secret.write_text(f"{desk.pair.access_key}:{desk.pair.secret}")
    secret.chmod(0o600)
    mount.mkdir()
    desk.run(f"{desk.env['TOOLS']}/aws", "--endpoint-url", desk.url, "s3", "mb", "s3://s3fs-bucket")
    desk.run("s3fs", "s3fs-bucket", str(mount), "-o", f"passwd_file={secret}", "-o", f"url={desk.url}", "-o",
             "use_path_request_style")
    try:
        tree = make_tree(desk.folder, desk.files // 20)
        with desk.leader_dies():
            shutil.copytree(tree, mount / "t")
        same(tree, mount / "t")
        (mount / "t" / "large").rename(mount / "t" / "renamed")
        assert (mount / "t" / "renamed").stat().st_size == 20 << 20
        shutil.rmtree(mount / "t")
    finally:
        desk.run("umount", str(mount))


TOOLS: dict[str, Callable[[Desk], None]] = {"boto3": boto3, "aws": aws, "rclone": rclone, "s3cmd": s3cmd,
                                            "restic": restic, "duplicity": duplicity, "s3fs": s3fs}
# By Debian's names; duplicity asks for python3-boto3, but does not need it for other backends.
PACKAGES = {"rclone": ("rclone",), "s3cmd": ("s3cmd",), "restic": ("restic",), "s3fs": ("s3fs",),
            "duplicity": ("duplicity", "python3-boto3")}


def install(folder: Path, tools: list[str]) -> str:
    """Install what is missing; returns the folder of boto3's Python and of aws."""
    missing = [package for name in tools if name in PACKAGES and shutil.which(name) is None
               for package in PACKAGES[name]]
    if missing and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
                       stdout=subprocess.DEVNULL, timeout=600, check=False)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    subprocess.run([str(folder / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check", "boto3", "awscli"],
                   check=True, timeout=300)
    return str(folder / "venv/bin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--files", type=int, default=5_000)
    asked = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="fluffy-s3-tools-") as name:
        top = Path(name)
        tools = install(top, asked.only)
        with Cluster(top / "cluster") as cluster:
            cluster.start_ready()
            pair = make_key(cluster)
            # A bundle of certificates that somebody set is not for us, and rclone refuses to begin with one.
            ours = {name: text for name, text in os.environ.items() if name != "AWS_CA_BUNDLE"}
            env = {**ours, "AWS_ACCESS_KEY_ID": pair.access_key, "AWS_SECRET_ACCESS_KEY": pair.secret,
                   "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "10",
                   "TOOLS": tools}
            for tool in asked.only:
                is_missing = tool in PACKAGES and shutil.which(tool) is None
                if is_missing or (tool == "s3fs" and not os.path.exists("/dev/fuse")):
                    print(f"{tool}: missing on this machine, not tried", flush=True)
                    continue
                folder = top / tool
                folder.mkdir()
                began_s = time.monotonic()
                try:
                    TOOLS[tool](Desk(cluster, pair, folder, env, asked.files))
                except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f"{tool}: FAILED after {time.monotonic() - began_s:.1f} s: {error}", flush=True)
                else:
                    print(f"{tool}: ok in {time.monotonic() - began_s:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
