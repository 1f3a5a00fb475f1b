"""How the processes of a node share the cores."""

from __future__ import annotations

import subprocess
import sys

SHOW = """
import os, sys
sys.argv = ["x", "nobody", "--config", os.devnull]
from fluffy.apps import process
process._leave = lambda code: None
process.run_process("log", lambda *_: None)
print(not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) == os.SCHED_BATCH)
"""


def test_a_process_does_not_take_the_core_at_every_message() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "True", done.stderr
