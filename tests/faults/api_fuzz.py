"""Schemathesis over /v1/openapi.json against a real node: no 5xx but the described ones, every answer as documented.

    python -m tests.faults.api_fuzz --minutes 20 [--seed N]        (make schemathesis MINUTES=20)

Needs the package schemathesis (`pip install -e '.[fuzz]'`). Rounds of a minute, each with another seed, in turn as the
admin and as an ordinary user. 501 and 507 are described refusals (what is not supported; no room left by a quota); 503
is what the contract allows; any other 5xx, and any status, media type, header or JSON that the document does not tell,
fails the drill, with a curl command that shows it. So does a round that was shut out (`tests.faults.fuzz_asker`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.fuzz_asker import Operator, is_shut_out
from tests.support.cluster import ROOT, Cluster

ROUND_S = 60
# A round may leave the node with full queues, or in the middle of a restart of one of its processes.
WORLD_S = 60.0
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "unsupported_method", "ignored_auth")
# The only node would end, and with it everything.
LEFT_OUT = ("/v1/admin/nodes/{name}/restart",)
ASKERS = (("boss", "admin"), ("someone", "user"))  # (name, role), in turn
ANSWERS = "answers.json"
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
    operator = _operator(cluster)
    description = folder / "openapi.json"
    description.write_bytes(operator.ask("GET", "/v1/openapi.json"))
    failed, number = False, 0
    while (left_s := until_s - time.monotonic()) > 1 or number == 0:
        name, role = ASKERS[number % len(ASKERS)]
        token = _world(operator, name, role)
        print(f"== round {number}, seed {seed + number}, as {name}, a user with the role {role}", flush=True)
        asker = {"url": operator.url, "operator": operator.name, "operator_token": operator.token, "name": name,
                 "role": role, "token": token}
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "run",
             str(description), "--url", operator.url,
             "--checks", ",".join(CHECKS), "--max-time", str(max(5, int(min(ROUND_S, left_s)))),
             "--seed", str(seed + number), "--continue-on-failure", "--request-timeout", "20",
             "--suppress-health-check", "all", "--no-color", "--warnings", "off",
             *(["--include-path", only] if only else []),
             *(word for path in LEFT_OUT for word in ("--exclude-path", path))],
            cwd=folder, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "FLUFFY_FUZZ_ASKER": json.dumps(asker),
                                          "SCHEMATHESIS_HOOKS": "tests.faults.api_fuzz_hooks"})
        shut_out = _is_shut_out(folder / ANSWERS)
        failed = failed or shut_out or done.returncode != 0
        number += 1
    return failed


def _is_shut_out(answers_file: Path) -> bool:
    """Tell what was answered, and whether the round was worth nothing because nobody let it in."""
    answers = Counter({int(status): count for status, count in json.loads(answers_file.read_text()).items()})
    answers_file.unlink()
    print("answers:", ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.items())), flush=True)
    shut_out = is_shut_out(answers)
    if shut_out:
        print("the round was shut out: too many requests (0 above) came with an ended token")
    return shut_out


def _operator(cluster: Cluster) -> Operator:
    """An admin of whom no made-up request knows the name or a credential."""
    url = cluster.url(cluster.names[0])
    name = f"operator-{secrets.token_hex(8)}"
    return Operator(url, name, Operator(url, "admin", cluster.token).fresh_token(name, "admin"))


def _world(operator: Operator, name: str, role: str) -> str:
    """Things to be found (again: the round before may have deleted them), and the token to ask with."""
    end_s = time.monotonic() + WORLD_S
    while True:
        try:
            token = operator.fresh_token(name, role)
            break
        except ValueError as error:
            if time.monotonic() > end_s:
                raise SystemExit(str(error)) from error
            time.sleep(1.0)
    ask = operator.ask
    ask("POST", "/v1/admin/users", {"name": "someone", "role": "user"})
    for bucket in ("fuzz", "other"):
        ask("PUT", f"/v1/dirs/{bucket}?parents=1")
        ask("POST", "/v1/admin/grants", {"bucket": bucket, "user": "someone", "right": "admin"})
    ask("PUT", "/v1/files/fuzz/a.txt", b"first")
    ask("PUT", "/v1/files/fuzz/a.txt", b"second")
    ask("PUT", "/v1/files/fuzz/b.bin", os.urandom(200_000))
    ask("PUT", "/v1/files/fuzz/docs/c.txt", b"third")
    return token


if __name__ == "__main__":
    main()
