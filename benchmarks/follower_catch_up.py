"""A follower that was away catches up from a checkpoint while writes go on; no commit may take longer than 500 ms.

    python -m benchmarks.follower_catch_up [--files 200000] [--rounds 1]
"""

from __future__ import annotations

from tests.faults.drill import drill_main
from tests.faults.lagging_follower import CLUSTER, run

FILES = 200_000

if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER,
               arguments={"files": (int, FILES, "files in the metadata before")})
