"""Whole trees kept the same here and in the cluster: look, compare, plan, and only then move.

    task = Task(Path("docs"), "/alice/docs", Way.PUSH)
    prepared = await prepare(client, memory, task)      # prepared.plan says what would be done
    report = await carry_out(client, memory, prepared)

`items` the values, `looking` both trees, `plan` the decision (pure), `moving` the steps, `memory` what is remembered
between two runs, `running` one after the other.
"""

from fluffy.client.syncing.items import Act, Plan, Report, Step
from fluffy.client.syncing.memory import SyncMemory
from fluffy.client.syncing.moving import LockFor, OnStep
from fluffy.client.syncing.running import Prepared, Task, Way, carry_out, prepare

__all__ = ["Act", "LockFor", "OnStep", "Plan", "Prepared", "Report", "Step", "SyncMemory", "Task", "Way", "carry_out",
           "prepare"]
