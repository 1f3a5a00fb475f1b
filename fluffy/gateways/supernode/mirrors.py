"""How mirrors look in JSON, and who sees them: how far each is behind, what fails, what of others was kept."""

from __future__ import annotations

from typing import Any

from fluffy.gateways.native.exchange import Call
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.services.federation.askers import Asker
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_sides import Side
from fluffy.wire.conditions import rfc3339

LISTED_MAX = 100


async def visible_mirrors(desk: SupernodeDesk, call: Call) -> list[Mirror]:
    """Those of which the asker may read both ends; the operator sees all."""
    askers = await desk.askers_of(call)
    return [mirror for mirror in desk.mirrors
            if desk.is_operator(call) or (_sees(askers, mirror.source) and _sees(askers, mirror.target))]


def mirror_json(mirror: Mirror) -> dict[str, Any]:
    status = mirror.status()
    fresh_ms = status.fresh_as_of_ms
    return {"name": mirror.name, "from": str(mirror.source), "to": str(mirror.target), "state": status.state,
            "fresh_as_of": None if fresh_ms is None else rfc3339(fresh_ms),
            "lag": {"seconds": round(status.lag_ms / 1000, 1), "changes": status.changes, "pending": status.pending},
            "error": status.error or None}


def mirror_details(mirror: Mirror) -> dict[str, Any]:
    counts = mirror.files.counts
    return {
        "since_start": {"copied": counts.copied, "copied_bytes": counts.copied_bytes, "changed": counts.changed,
                        "moved": counts.moved, "deleted": counts.deleted, "circles": counts.circles,
                        "noticed": mirror.watch.noticed},
        "target_error": mirror.watch.error or None,
        "failing": [{"path": f"/{mirror.source.path(work.path)}", "attempts": work.attempts, "error": work.error}
                    for work in mirror.failed(LISTED_MAX)],
        "kept_count": mirror.kept_count(),
        "kept": [{"path": f"/{mirror.target.path(kept.path)}", "kept_as": f"/{mirror.target.path(kept.kept_as)}",
                  "at": rfc3339(kept.at_ms)} for kept in mirror.kept(LISTED_MAX)]}


def _sees(askers: dict[str, Asker], side: Side) -> bool:
    asker = askers.get(side.cluster)
    return asker is not None and asker.sight.sees(side.bucket)
