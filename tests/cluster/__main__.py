"""`make faults`: every drill at full length, one after the other.

    python -m tests.cluster [--only NAME]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

DRILLS: dict[str, tuple[str, ...]] = {
    "real_input": (), "leader_kills": ("--rounds", "20"), "all_kills": ("--rounds", "20"), "minority": (),
    "linearizable": ("--rounds", "30"), "big_moves": (), "whole_files": (), "bad_chunks": (),
    "killed_client": (), "lagging_follower": ("--files", "200000"), "bad_input": (), "disk_full": (),
    "paused_node": (), "bit_rot": (), "returning_node": (), "slow_node": (),
    "wrong_clock": (), "lost_metadata": (), "backup_restore": (), "forced_cluster": (), "lost_log": ()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=tuple(DRILLS))
    only = parser.parse_args().only
    failed = []
    for name, arguments in DRILLS.items():
        if only and name not in only:
            continue
        print(f"=== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.faults.{name}", *arguments]).returncode:
            failed.append(name)
    print(f"broken: {', '.join(failed)}" if failed else "every promise kept")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
