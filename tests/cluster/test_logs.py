"""What real nodes write while they are used: a request is found in every process, a secret in none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def spans_of(cluster: Cluster) -> list[dict[str, Any]]:
    found = []
    for name in cluster.names:
        for line in (cluster.folder / f"{name}.log").read_text(errors="replace").splitlines():
            if line.startswith('{"name"') and TRACE in line:
                found.append(json.loads(line))
    return found


def test_a_request_is_found_in_all_processes_and_no_secret_in_any_log(tmp_path: Path) -> None:
    environment = {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with Cluster(tmp_path / "cluster", nodes=2, env=environment) as cluster:
        cluster.start_ready()
        secrets = use_secrets(cluster)
        headers = {"traceparent": PARENT, "Fluffy-Request-Id": "find-me"}

        def stored() -> bool:
            return cluster.request("one", "PUT", "/v1/files/admin/f", os.urandom(300_000), headers=headers)[0] == 201

        cluster.wait_until(stored, 20.0, "both nodes take copies")

        def places() -> set[tuple[str, str]]:
            return {(span["resource"]["attributes"]["service.instance.id"], span["name"]) for span in spans_of(cluster)}

        wanted = {("one/gateway", "PUT /v1/files/{path}"), ("one/gateway", "log propose"), ("one/log", "propose"),
                  ("one/gateway", "data put"), ("two/gateway", "put")}
        cluster.wait_until(lambda: wanted <= places(), 20.0, "spans of all processes")
        assert {span["attributes"]["fluffy.request_id"] for span in spans_of(cluster)} == {"find-me"}
        cluster.wait_until(lambda: any(line["fields"]["request_id"] == "find-me"
                                       for line in cluster.log_lines("one", "request")), 10.0, "its line")
        cluster.stop()
        logs = {path: path.read_text(errors="replace") for path in cluster.folder.rglob("*.log")}
        assert len(logs) >= 2 and all(logs.values())
        for what, secret in secrets.items():
            for path, text in logs.items():
                assert secret not in text, f"{what} stands in {path.name}"


def use_secrets(cluster: Cluster) -> dict[str, str]:
    """Every way in which a secret comes to a node or leaves it; what must not be written down."""
    def ask(method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        status, _, answer = cluster.request("one", method, path, None if body is None else json.dumps(body).encode(),
                                            **more)
        return status, json.loads(answer) if answer.startswith(b"{") else answer

    password, other = "correct-horse-battery", "staple-of-another-horse"
    assert ask("POST", "/v1/admin/users", {"name": "alice", "password": password})[0] == 201
    status, login = ask("POST", "/v1/login", {"user": "alice", "password": password}, token=None)
    assert status in (200, 201), login
    assert ask("POST", "/v1/login", {"user": "alice", "password": other}, token=None)[0] == 401
    stranger = "a-token-that-nobody-has-0123456789"
    assert ask("GET", "/v1/status", token=stranger)[0] == 401
    status, made = ask("POST", "/v1/tokens", {"label": "program"})
    assert status == 201, made
    status, pair = ask("POST", "/v1/keys", {})
    assert status == 201, pair
    cluster.request("one", "PUT", "/v1/files/admin/small", b"x")
    status, lock = ask("POST", "/v1/locks", {"path": "/admin/small"})
    assert status in (200, 201), lock
    ask("DELETE", "/v1/files/admin/small", headers={"Fluffy-Lock": "not-the-token-of-this-lock"})
    ask("DELETE", f"/v1/locks/{lock['token']}")
    status, signed = ask("POST", "/v1/sign", {"method": "GET", "path": "/admin/small"})
    assert status in (200, 201), signed
    url = signed["url"]
    signature = url.rpartition("=")[2]
    cluster.request("one", "GET", url[url.index("/v1/"):], token=None)
    return {
        "the admin's token": cluster.token, "a password": password, "a wrong password": other,
        "an unknown token": stranger, "a session": login["token"], "a program's token": made["token"],
        "a key's secret": pair["secret"], "a lock's token": lock["token"],
        "a wrong lock's token": "not-the-token-of-this-lock", "a signature": signature,
        "the cluster's secret": (cluster.folder / "drill.secret").read_text().strip()}
