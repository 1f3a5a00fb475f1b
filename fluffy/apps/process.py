"""What the processes of a node have in common: arguments, logging, and how they end.

Exit codes: 0 after SIGTERM; 70 for a bug (`InvariantBroken`, or anything nobody expected); 74 when the disk failed;
78 when starting is refused, with one sentence on stderr (the supervisor then does not try again).
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from fluffy.apps import settings as settings_module
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.apps.traces import setup_tracing
from fluffy.base.checks import EXIT_BUG, EXIT_REFUSED_TO_START, InvariantBroken
from fluffy.base.errors import StartRefused
from fluffy.drivers.logs import setup_logging

log = logging.getLogger(__name__)

# New objects of the container kind between two looks of the garbage collector (Python's default: 700).
GARBAGE_OBJECTS = 20_000

Body = Callable[[Settings, NodeSettings, argparse.Namespace], None]


def run_process(kind: str, body: Body, add_arguments: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """Parse `NAME --config FILE`, read the settings, run `body` to its end and leave with the fitting code."""
    parser = argparse.ArgumentParser(prog=f"fluffy {kind} process")
    parser.add_argument("name", help="the node, as in config.yaml")
    parser.add_argument("--config", type=Path, default=None)
    if add_arguments is not None:
        add_arguments(parser)
    arguments = parser.parse_args()
    setup_logging(kind, arguments.name)
    _run_to_the_end_of_slices()
    _collect_garbage_seldom()
    try:
        settings = settings_module.load(arguments.config)
        end_tracing = setup_tracing(arguments.name, kind)
        body(settings, settings.node(arguments.name), arguments)
        end_tracing()
    except StartRefused as error:
        log.error("process.refused", extra={"reason": error.message})
        print(f"fluffy: node {arguments.name}: {error.message}", file=sys.stderr, flush=True)
        _leave(EXIT_REFUSED_TO_START)
    except InvariantBroken:
        log.critical("process.bug", exc_info=True)
        _leave(EXIT_BUG)
    except Exception:
        log.critical("process.unexpected", exc_info=True)
        _leave(EXIT_BUG)
    _leave(0)


def _run_to_the_end_of_slices() -> None:
    """Be no task that takes the core from another the moment a message comes in (sched(7), SCHED_BATCH).

    A gateway that sends a log process the first of fifty proposals shall send the other forty-nine before the log
    process wakes up for them: larger groups, a tenth less CPU time. A core that is free is taken at once all the same.
    """
    if hasattr(os, "SCHED_BATCH"):
        try:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError as error:
            log.info("process.not_batched", extra={"error": str(error)})


def _collect_garbage_seldom() -> None:
    """Spare the collector what lives as long as the process; requests leave hardly any cycles behind.

    A twentieth of a small request's CPU time; the objects between two collections weigh some megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def _leave(code: int) -> None:
    """End without waiting for threads: what must be durable already is."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
