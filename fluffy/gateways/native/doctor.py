"""What is wrong with the cluster and what to do, and what stopping a node would cost, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fluffy.core.health.diagnosis import SEVERITIES, Finding, NodeFacts, is_healthy
from fluffy.core.health.doctor import CHECKS
from fluffy.core.metadata.queries_redundancy import AffectedFiles
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.services.doctor import Examined, Stop
from fluffy.wire.conditions import rfc3339


async def get_doctor(desk: Desk, call: Call) -> Answer:
    """GET /v1/doctor: findings, the worst first; ?stop=NODE also what stopping that node now would cost."""
    status = await desk.pulse.recent()
    examined = await desk.data_path().doctor.examine(
        status, lambda bucket: desk.sees(call.user, bucket), call.query.get("stop"))
    return json_answer({"at": rfc3339(desk.clock.now_ms()), "age_s": call.point.age_s or 0, **_examined_json(examined)})


def _examined_json(examined: Examined) -> dict[str, Any]:
    facts, findings = examined.facts, examined.findings
    return {
        "node": facts.asked, "healthy": is_healthy(findings),
        "counts": {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES},
        "findings": [_finding_json(finding) for finding in findings], "checked": [check.__name__ for check in CHECKS],
        "copies": None if facts.coverage is None else {"chunks": facts.coverage.chunks, **asdict(facts.coverage)},
        "unreadable": _files_json(facts.unreadable),
        "nodes": [_node_json(node, facts.seq) for node in facts.nodes],
        "stop": None if examined.stop is None else _stop_json(examined.stop)}


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {"code": finding.code, "severity": finding.severity, "message": finding.message, "advice": finding.advice,
            "nodes": list(finding.nodes), "facts": finding.facts}


def _files_json(files: AffectedFiles) -> dict[str, Any]:
    return {"files": files.files, "old_or_deleted": files.kept, "names": [f"/{path}" for _, path in files.names],
            "at_least": not files.is_whole}


def _node_json(node: NodeFacts, seq: int) -> dict[str, Any]:
    """What a node that does not answer would have told is null."""
    line: dict[str, Any] = {"name": node.name, "state": node.state, "zone": node.zone, "votes": node.votes,
                            "answers": node.about is not None}
    about = node.about
    if about is None:
        return line | {"version": None, "level": None, "free_bytes": None, "total_bytes": None, "clock_ms": None,
                       "behind": None, "search": None, "quarantined": None}
    return line | {
        "version": about.version, "level": about.level, "free_bytes": about.free_bytes,
        "total_bytes": about.total_bytes or None, "clock_ms": about.skew_ms,
        "behind": None if about.seq < 0 else max(0, seq - about.seq), "quarantined": about.quarantined,
        "search": {"state": about.search_state, "behind": about.search_behind, "lag_ms": about.search_lag_ms}}


def _stop_json(stop: Stop) -> dict[str, Any]:
    verdict, cost = stop.verdict, stop.cost
    return {
        "node": verdict.node, "safe": verdict.safe, "lines": list(verdict.lines), "voters": verdict.voters,
        "voters_left": verdict.voters_left, "writes_go_on": verdict.writes_go_on,
        "without_copy": _files_json(stop.files), "chunks_without_copy": cost.gone_chunks,
        "chunks_with_one_copy": cost.last_chunks,
        "held_chunks": cost.held_chunks, "held_bytes": cost.held_bytes}
