"""A hundred thousand random steps of the whole tree against its model, on all processors: `make sim` runs it.

    python -m tests.support.long_trees --steps 100000

Twice as many in all: so many steps of the rules that Hypothesis draws (short lives, everything compared after each
step; what fails is shrunk and printed as a script), and as many of long seeded histories, each replayed in the end in
other transactions and with restarts. Exit code 1 when the model and the machine disagree anywhere.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.support.tree_machine import PeopleMachine, live

STEPS_OF_A_LIFE = 50
# One share of the work: long enough to pay for itself, short enough that all processors end together.
SHARE_STEPS = 5_000
# Hypothesis ends some lives early.
TRIES_MAX = 20


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the work, and when it is done what came of it. `trouble`: the traceback, or empty."""

    kind: str
    seed: int
    steps: int
    done: int = 0
    found: Counter[str] = field(default_factory=Counter)
    trouble: str = ""


def work(share: Share) -> Share:
    """Do a share; in a process of its own."""
    try:
        if share.kind == "history":
            return Share(share.kind, share.seed, share.steps, share.steps, live(share.steps, share.seed))
        return Share(share.kind, share.seed, share.steps, _draw(share))
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding, and told with its seed
        return Share(share.kind, share.seed, share.steps, trouble=traceback.format_exc())


def _draw(share: Share) -> int:
    """Lives drawn by Hypothesis until there were so many steps; returns how many."""
    PeopleMachine.steps = 0
    for turn in range(TRIES_MAX):
        left = share.steps - PeopleMachine.steps
        if left <= 0:
            break
        how = settings(max_examples=-(-left // STEPS_OF_A_LIFE), stateful_step_count=STEPS_OF_A_LIFE, deadline=None,
                       database=None, phases=(Phase.generate, Phase.shrink))
        run_state_machine_as_test(seeded(share.seed * TRIES_MAX + turn)(PeopleMachine), settings=how)
    return PeopleMachine.steps


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.long_trees", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes at once")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    began_s = time.monotonic()
    shares = [Share(kind, options.seed + number, min(SHARE_STEPS, options.steps - number * SHARE_STEPS))
              for number in range(-(-options.steps // SHARE_STEPS)) for kind in ("drawn", "history")]
    done: Counter[str] = Counter()
    found: Counter[str] = Counter()
    broken = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for share in pool.imap_unordered(work, shares):
            done[share.kind] += share.done
            found += share.found
            if share.trouble:
                broken += 1
                print(f"seed {share.seed} ({share.kind}, {share.steps} steps):\n{share.trouble}", flush=True)
    print(f"whole tree: {done['drawn']:,} steps drawn by Hypothesis and {done['history']:,} of long histories agree "
          f"with the model, {broken} shares do not; {time.monotonic() - began_s:.0f} s")
    print("of the histories: " + ", ".join(f"{name} {count}" for name, count in found.most_common()))
    return 1 if broken or min(done["drawn"], done["history"]) < options.steps else 0


if __name__ == "__main__":
    sys.exit(main())
