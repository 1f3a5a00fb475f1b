"""Schemathesis over /v1/openapi.json against a real node: no 5xx but the described ones, every answer as documented.

    python -m tests.faults.api_fuzz --minutes 20 [--seed N]        (make schemathesis MINUTES=20)

Needs the package schemathesis (`pip install -e '.[fuzz]'`). Rounds of a minute, each with another seed, in turn as the
admin and as an ordinary user. 501 and 507 are described refusals (what is not supported; no room left by a quota); 503
is what the contract allows; any other 5xx, and any status, media type, header or JSON that the document does not tell,
fails the drill, with a curl command that shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.cluster import ROOT, Cluster

ROUND_S = 60
# A round may leave the node with full queues, or in the middle of a restart of one of its processes.
WORLD_S = 60.0
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "unsupported_method", "ignored_auth")
# The only node would end, and with it everything; of the admin's token only a user's round may be the end.
LEFT_OUT = ("/v1/admin/nodes/{name}/restart",)
LEFT_OUT_AS_ADMIN = ("/v1/logout",)
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "501", "503", "507"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", help="a path of the description; default: all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-fuzz-") as temporary:
        folder = Path(temporary)
        (folder / "schemathesis.toml").write_text(CONFIG)
        with Cluster(folder / "cluster", nodes=1) as cluster:
            cluster.start_ready()
            failed = _rounds(cluster, folder, given.minutes * 60, given.seed, given.only)
    print("FAILED" if failed else "every answer as documented")
    sys.exit(1 if failed else 0)


def _rounds(cluster: Cluster, folder: Path, seconds: float, seed: int, only: str | None) -> bool:
    """Whether anything failed. All rounds are run: one fault must not hide the others."""
    until_s = time.monotonic() + seconds
    failed, number = False, 0
    while (left_s := until_s - time.monotonic()) > 1 or number == 0:
        as_admin = number % 2 == 0
        token = _world(cluster, as_admin=as_admin)
        print(f"== round {number}, seed {seed + number}, as {'admin' if as_admin else 'an ordinary user'}", flush=True)
        left_out = (*LEFT_OUT, *(LEFT_OUT_AS_ADMIN if as_admin else ()))
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "run",
             f"{cluster.url(cluster.names[0])}/v1/openapi.json", "--header", f"Authorization: Bearer {token}",
             "--checks", ",".join(CHECKS), "--max-time", str(max(5, int(min(ROUND_S, left_s)))),
             "--seed", str(seed + number), "--continue-on-failure", "--request-timeout", "20",
             "--suppress-health-check", "all", "--no-color", "--warnings", "off",
             *(["--include-path", only] if only else []),
             *(word for path in left_out for word in ("--exclude-path", path))],
            cwd=folder, check=False, env={**os.environ, "PYTHONPATH": str(ROOT),
                                          "SCHEMATHESIS_HOOKS": "tests.faults.api_fuzz_hooks"})
        failed = failed or done.returncode != 0
        number += 1
    return failed


def _world(cluster: Cluster, *, as_admin: bool) -> str:
    """Things to be found (again: the round before may have deleted them), and the token to ask with."""
    for bucket in ("fuzz", "other"):
        _ask(cluster, "PUT", f"/v1/dirs/{bucket}?parents=1")
    _ask(cluster, "PUT", "/v1/files/fuzz/a.txt", b"first")
    _ask(cluster, "PUT", "/v1/files/fuzz/a.txt", b"second")
    _ask(cluster, "PUT", "/v1/files/fuzz/b.bin", os.urandom(200_000))
    _ask(cluster, "PUT", "/v1/files/fuzz/docs/c.txt", b"third")
    _ask(cluster, "POST", "/v1/admin/users", {"name": "someone", "role": "user"})
    _ask(cluster, "PATCH", "/v1/admin/users/someone", {"disabled": False, "role": "user"})
    for bucket in ("fuzz", "other"):
        _ask(cluster, "POST", "/v1/admin/grants", {"bucket": bucket, "user": "someone", "right": "admin"})
    if as_admin:
        return cluster.token
    end_s = time.monotonic() + WORLD_S
    while True:
        document = json.loads(_ask(cluster, "POST", "/v1/tokens", {"user": "someone"}))
        if "token" in document:
            return str(document["token"])
        if time.monotonic() > end_s:
            raise SystemExit(f"the ordinary user gets no token: {document}")
        time.sleep(1.0)


def _ask(cluster: Cluster, method: str, target: str, body: Any = None) -> bytes:
    """The answer of an admin's request; a refusal (it is there already, it is locked) is fine."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return cluster.request(cluster.names[0], method, target, data, timeout_s=20)[2]


if __name__ == "__main__":
    main()
