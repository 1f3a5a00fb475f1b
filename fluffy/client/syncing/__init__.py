"""Whole trees kept the same here and in the cluster: look, compare, plan, and only then move.

    task = Task(Path("docs"), "/alice/docs", Way.PUSH)
    prepared = await prepare(client, memory, task)      # prepared.plan says what would be done
    report = await carry_out(client, memory, prepared)

`items` the values, `looking` both trees, `plan` the decision (pure), `moving` the steps, `memory` what is remembered
between two runs, `running` one after the other.
"""

from fluffy.base.later import found_later

__all__ = ["Act", "LockFor", "OnStep", "Plan", "Prepared", "Report", "Step", "SyncMemory", "Task", "Way", "carry_out",
           "prepare"]

__getattr__ = found_later(__name__, {
    **dict.fromkeys(("Act", "Plan", "Report", "Step"), "fluffy.client.syncing.items"),
    "SyncMemory": "fluffy.client.syncing.memory",
    **dict.fromkeys(("LockFor", "OnStep"), "fluffy.client.syncing.moving"),
    **dict.fromkeys(("Prepared", "Task", "Way", "carry_out", "prepare"), "fluffy.client.syncing.running")})
