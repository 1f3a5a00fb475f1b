"""The node processes of a cluster on this machine: started in the background, watched until ready, ended."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fluffy.apps.node_lock import LOCK_NAME, PID_NAME, is_alive, read_pid
from fluffy.apps.settings import CONFIG_ENV, NodeSettings, Settings

LOG_NAME = "server.log"
# A node's log beyond this is set aside (one old one is kept) at the next start.
LOG_BYTES_MAX = 64 * 1024 * 1024
TAIL_LINES = 12
TAIL_BYTES = 16 * 1024
PROBE_TIMEOUT_S = 1.0
PROBE_BODY_BYTES_MAX = 2000
POLL_S = 0.1
# A cold start takes about 3 s: whoever waits longer wants to know for what.
TELL_AFTER_S = 5.0
# A supervisor gives its stages 15 + 5 + 10 s to drain (apps/server.py); then it kills them itself.
DRAIN_WAIT_S = 40.0
KILL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeProcess:
    node: NodeSettings
    process: subprocess.Popen[bytes]


def running_pid(node_dir: Path) -> int | None:
    """The supervisor that runs in this folder now; None when there is none.

    A pid file alone proves nothing (process ids are used again): the process must hold this folder's lock file open.
    """
    pid = read_pid(node_dir / PID_NAME)
    if pid is None or not is_alive(pid):
        return None
    lock = os.path.realpath(node_dir / "run" / LOCK_NAME)
    try:
        open_files = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return pid if lock in open_files else None


def start_node(settings: Settings, node: NodeSettings, join: str | None = None) -> NodeProcess:
    """Start `server.py` for the node in a session of its own (no terminal reaches it), its log in DIR/server.log.

    `join`: the HTTP address of a member, for a node that is to become one.
    """
    words = () if join is None else ("--join", join)
    return NodeProcess(node, start_program(settings, node.dir / LOG_NAME, "fluffy.apps.server", node.name, *words))


def start_program(settings: Settings, log_path: Path, module: str, *words: str) -> subprocess.Popen[bytes]:
    """Start one of our programs in the background, with this configuration and a log of its own."""
    log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log_path.exists() and log_path.stat().st_size > LOG_BYTES_MAX:
        os.replace(log_path, log_path.with_suffix(".log.1"))
    root = str(Path(__file__).resolve().parents[2])
    with log_path.open("ab") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words, "--config", str(settings.path)],
            stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True,
            env=os.environ | {CONFIG_ENV: str(settings.path),
                              "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))})


def wait_ready(settings: Settings, nodes: Sequence[NodeSettings], started: Sequence[NodeProcess], timeout_s: float,
               tell: Callable[[str], None], *, alive_is_enough: bool = False) -> str | None:
    """Until each of `nodes` is ready. None: they are; else what a person should know, with the end of the log.

    A node that cannot become ready because less than a majority of the cluster runs counts as started once it is alive;
    with `alive_is_enough` also one that is not ready in time. `tell`: gets what is waited for, from TELL_AFTER_S on,
    when that has changed.
    """
    begin_s = asked_s = time.monotonic()
    told: set[str] = set()
    silent: list[str] = []
    while True:
        for process in started:
            if process.process.poll() is not None:
                return _problem(process.node, f"ended with status {process.process.returncode}")
        waiting = [node for node in nodes if why_not_ready(node) is not None]
        if not waiting:
            return None
        if time.monotonic() - asked_s >= TELL_AFTER_S:
            asked_s, silent = time.monotonic(), _silent_nodes(settings, nodes)
            for line in sorted({_waits_for(node, silent) for node in waiting} - told):
                told.add(line)
                tell(line)
        lacks_majority = not majority_runs(settings) or 2 * len(silent) >= len(settings.nodes)
        is_over = time.monotonic() - begin_s >= timeout_s
        if (lacks_majority or (is_over and alive_is_enough)) and all(_is_alive(node) for node in waiting):
            return None
        if is_over:
            return _problem(waiting[0], f"is not ready after {timeout_s:.0f} s: {why_not_ready(waiting[0])}")
        time.sleep(POLL_S)


def why_not_ready(node: NodeSettings) -> str | None:
    """A node's own sentence; None: it is ready."""
    status, body = _probe(node, "/readyz")
    if status == 200:
        return None
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return f"/readyz: {status} {body.strip()}" if status else "it does not answer yet"


def _silent_nodes(settings: Settings, besides: Sequence[NodeSettings]) -> list[str]:
    """The other nodes of the configuration, also those of other machines, that do not answer."""
    others = [node for node in settings.nodes.values() if node not in besides]
    with ThreadPoolExecutor(max(1, len(others))) as threads:
        return [node.name for node, alive in zip(others, threads.map(_is_alive, others), strict=True) if not alive]


def _waits_for(node: NodeSettings, silent: Sequence[str]) -> str:
    missing = f" ({', '.join(silent)} {'does' if len(silent) == 1 else 'do'} not answer)" if silent else ""
    return f"still waiting for node {node.name}: {why_not_ready(node) or 'it is ready now'}{missing}"


def _is_alive(node: NodeSettings) -> bool:
    return _probe(node, "/healthz")[0] == 200


def end_processes(pids: Sequence[int]) -> list[int]:
    """SIGTERM to all at once, SIGKILL to those that do not drain in time. Returns the ids that are still there.

    The caller has just seen that they are ours; from here on a pidfd makes sure that it stays so.
    """
    handles: dict[int, int] = {}
    for pid in pids:
        try:
            handles[pid] = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
    try:
        for number, wait_s in ((signal.SIGTERM, DRAIN_WAIT_S), (signal.SIGKILL, KILL_WAIT_S)):
            left = _not_ended(list(handles.values()), 0.0)
            for handle in left:
                signal.pidfd_send_signal(handle, number)
            _not_ended(left, wait_s)
        stuck = _not_ended(list(handles.values()), 0.0)
        return [pid for pid, handle in handles.items() if handle in stuck]
    finally:
        for handle in handles.values():
            os.close(handle)


def _not_ended(handles: list[int], wait_s: float) -> list[int]:
    """The processes among `handles` (pidfds) that still run after at most `wait_s`."""
    end_s = time.monotonic() + wait_s
    left = list(handles)
    while left:
        poller = select.poll()
        for handle in left:
            poller.register(handle, select.POLLIN)
        ended = {handle for handle, _ in poller.poll(max(0.0, end_s - time.monotonic()) * 1000)}
        left = [handle for handle in left if handle not in ended]
        if not ended:
            break
    return left


def probe(host: str, port: int, scheme: str, path: str) -> tuple[int, str]:
    """(status, beginning of the body) of a door of this machine; status 0 when nobody answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = (http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S) if scheme == "http" else
                  http.client.HTTPSConnection(host, port, timeout=PROBE_TIMEOUT_S, context=_any_certificate()))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(PROBE_BODY_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"no answer ({error})"
    finally:
        connection.close()


def _probe(node: NodeSettings, path: str) -> tuple[int, str]:
    return probe(node.host, node.http, node.scheme, path)


def _any_certificate() -> ssl.SSLContext:
    """For the probes only: they send no secret, and ask a process that was just started here whether it is ready."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def majority_runs(settings: Settings) -> bool:
    """Whether enough nodes run here to choose a leader. Nodes on other machines are unknown and count as running."""
    local = [node for node in settings.nodes.values() if node.dir.exists()]
    stopped = sum(1 for node in local if running_pid(node.dir) is None)
    return 2 * (len(settings.nodes) - stopped) > len(settings.nodes)


def _problem(node: NodeSettings, what: str) -> str:
    return problem(f"node {node.name} {what}", node.dir / LOG_NAME)


def problem(what: str, log_path: Path) -> str:
    """What went wrong, with the end of the log; who was started by hand has none here."""
    if not log_path.exists():
        return what
    with log_path.open("rb") as file:
        file.seek(max(0, log_path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
    return f"{what}; the end of {log_path}:\n" + "\n".join(f"  {line}" for line in lines)
