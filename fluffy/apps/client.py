"""`python client.py`, `fluffy`: the shell, composed with the settings of the local cluster and `up` and `down`.

What only some commands need is loaded by them: a command line is used for a moment.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Sequence

from fluffy.base.later import later
from fluffy.client.shell.index import Row
from fluffy.client.shell.main import build_cli, run_command_line
from fluffy.client.shell.table import ShellGroup
from fluffy.client.thread_names import UPLOAD_THREADS

LOCAL_ROWS = (
    Row("fluffy.apps.local_cluster", "up", "machine",
        "Start a whole cluster on this machine and open the REPL; leaving it stops the cluster."),
    Row("fluffy.apps.local_cluster", "down", "machine",
        "Stop the nodes of a cluster on this machine: drain them, then end them."),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command or the REPL, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows escapes, not a traceback
    code = run_command_line(make_cli(), sys.argv[1:] if arguments is None else arguments)
    if any(thread.name.startswith(UPLOAD_THREADS) for thread in threading.enumerate()):
        # After Ctrl-C: still inside a read of a pipe or of the terminal that may never return. Do not wait for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def make_cli() -> ShellGroup:
    """All commands of the shell, and those for a cluster on this machine."""
    cli = build_cli(later("fluffy.apps.connecting", "connect"))
    cli.take_over("admin", "fluffy.apps.offline_acts")
    for row in LOCAL_ROWS:
        cli.add_row(row)
    return cli


if __name__ == "__main__":
    main()
