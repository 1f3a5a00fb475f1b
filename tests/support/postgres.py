"""A PostgreSQL server for tests, from the programs that are installed, in a folder of its own, reached by a socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

START_S = 30.0


def programs() -> Path | None:
    """Where initdb and postgres are; None: not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return None if path is None else Path(path).parent


@contextmanager
def running_postgres(*, syncs: bool = False) -> Iterator[str]:
    """The URL of a fresh server, ended and removed afterwards. It refuses to run as root: then as user `postgres`.

    `syncs`: commits reach the disk, as in real use.
    """
    where = programs()
    assert where is not None, "install postgresql (.ci/run does)"
    folder = Path(tempfile.mkdtemp(prefix="fluffy-pg-", dir="/tmp"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        if as_user:
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        subprocess.run([where / "initdb", "-D", folder / "data", "-U", "fluffy", "--auth=trust", "-E", "UTF8", "-N"],
                       check=True, capture_output=True, cwd=folder, env=env, **as_user)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [where / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=",
                 "-c", f"fsync={'on' if syncs else 'off'}", "-c", "shared_buffers=128MB", "-c", "max_connections=40"],
                stdout=log, stderr=log, cwd=folder, env=env, **as_user)
        try:
            _wait(folder / ".s.PGSQL.5432", server)
            yield f"postgresql://fluffy@/postgres?host={quote(str(folder))}"
        finally:
            server.terminate()
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(socket: Path, server: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + START_S
    while not socket.exists():
        assert server.poll() is None and time.monotonic() < end_s, "PostgreSQL does not start"
        time.sleep(0.02)
    time.sleep(0.1)
