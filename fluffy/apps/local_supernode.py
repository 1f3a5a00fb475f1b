"""The supernode of a cluster on this machine: started in the background, watched until ready, ended."""

from __future__ import annotations

import time

from fluffy.apps.local_nodes import LOG_NAME, POLL_S, end_processes, probe, problem, running_pid, start_program
from fluffy.apps.settings import Settings, SupernodeSettings
from fluffy.apps.supernode_folder import keep_folder

READY_WAIT_S = 30.0


def supernode_pid(supernode: SupernodeSettings) -> int | None:
    """The process that runs as this supernode now."""
    return running_pid(keep_folder(supernode))


def start_supernode(settings: Settings, supernode: SupernodeSettings) -> str | None:
    """Start it and wait until it is ready. None: it is; else what a person should know, and it is ended again."""
    log_path = keep_folder(supernode) / LOG_NAME
    process = start_program(settings, log_path, "fluffy.apps.supernode")
    end_s = time.monotonic() + READY_WAIT_S
    scheme = "http" if settings.tls.cert is None else "https"
    while True:
        if process.poll() is not None:
            return problem(f"the supernode ended with status {process.returncode}", log_path)
        if probe(supernode.host, supernode.http, scheme, "/readyz")[0] == 200:
            return None
        if time.monotonic() >= end_s:
            end_processes([process.pid])
            return problem(f"the supernode is not ready after {READY_WAIT_S:.0f} s", log_path)
        time.sleep(POLL_S)
