"""Writes the dashboards of this folder. Change this file, not the JSON:

    python deploy/grafana/make_dashboards.py

A test compares both, and every metric and label with those that exist (tests/deploy/test_monitoring.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """`queries`: pairs of expression and legend."""

    title: str
    kind: str  # Grafana's: stat, timeseries
    unit: str
    queries: Sequence[tuple[str, str]]
    width: int = 8
    height: int = 7
    help: str = ""


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    job_of: str  # the metric by which its jobs are found
    has_nodes: bool
    panels: Sequence[Panel]


def stat(title: str, expr: str, unit: str = "short", legend: str = "", width: int = 4, help_: str = "") -> Panel:
    return Panel(title, "stat", unit, [(expr, legend)], width, 4, help_)


def graph(title: str, unit: str, *queries: tuple[str, str], help_: str = "") -> Panel:
    return Panel(title, "timeseries", unit, queries, help=help_)


def quantile(q: float, metric: str, by: str, where: str) -> str:
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def rate(metric: str, by: str, where: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


J = 'job=~"$job"'
N = 'job=~"$job",node=~"$node"'
REQUESTS = "fluffy_http_request_duration_seconds"

CLUSTER = Dashboard("fluffy-cluster", "Fluffy: cluster", "fluffy_node_info", False, [
    stat("Nodes that answer", f"sum(up{{{J}}})"),
    stat("Nodes that take part", f"sum(max by (member) (fluffy_cluster_member_up{{{J}}}))"),
    stat("Leader", f"max by (node) (fluffy_log_is_leader{{{J}}}) == 1", legend="{{node}}",
         help_="More than one for a moment: the older one does not know yet."),
    stat("Files", f"max(fluffy_cluster_files{{{J}}})"),
    stat("Bytes of files", f"max(fluffy_cluster_bytes{{{J}}})", "bytes"),
    stat("Free on all disks", f"sum(fluffy_disk_free_bytes{{{J}}})", "bytes"),
    graph("Chunks that are not whole", "short",
          (f'max by (state) (fluffy_cluster_chunks_living{{{J},state!="whole"}})', "{{state}}"),
          help_="short: fewer living copies than wanted; endangered: one left; away: only on nodes that do not answer; "
                "lost: nowhere."),
    graph("Jobs in the queues", "short",
          (f"max by (member) (fluffy_cluster_jobs_queued{{{J}}} + fluffy_cluster_jobs_leased{{{J}}})", "{{member}}"),
          (f"sum(max by (member) (fluffy_cluster_jobs_stuck{{{J}}}))", "stuck")),
    graph("Repair", "Bps", (rate("fluffy_repair_moved_bytes_total", "node", J), "{{node}}")),
    graph("Requests", "reqps", (rate(f"{REQUESTS}_count", "node", J), "{{node}}")),
    graph("Requests that failed (5xx)", "reqps",
          (f'sum(rate({REQUESTS}_count{{{J},status=~"5.."}}[$__rate_interval])) or vector(0)', "all nodes")),
    graph("Time of 99 % of the requests, by what was asked", "s",
          (f"topk(8, {quantile(0.99, REQUESTS, 'method, route', J)} > 0)", "{{method}} {{route}}")),
    graph("Bytes of files, in and out", "Bps", (rate("fluffy_http_received_bytes_total", "job", J), "in"),
          (rate("fluffy_http_sent_bytes_total", "job", J), "out")),
    graph("Commit", "s", (quantile(0.5, "fluffy_log_commit_duration_seconds", "job", J), "half"),
          (quantile(0.99, "fluffy_log_commit_duration_seconds", "job", J), "99 %"),
          help_="From handing a group of changes to the log until it is applied."),
    graph("Changes", "ops", (rate("fluffy_log_commands_total", "node", J), "{{node}}")),
    graph("Used space", "percentunit",
          (f"1 - fluffy_disk_free_bytes{{{J}}} / fluffy_disk_size_bytes{{{J}}}", "{{node}}")),
    graph("Copies by node", "bytes", (f"max by (member) (fluffy_cluster_member_bytes{{{J}}})", "{{member}}")),
    graph("Elections", "short", (f"max(fluffy_log_term{{{J}}})", "term")),
    graph("Errors between nodes", "ops", (rate("fluffy_peer_errors_total", "peer, error", J), "{{peer}}: {{error}}"),
          help_="By the node that was asked."),
    graph("Behind the leader", "short", (f"max by (peer) (fluffy_log_peer_behind_entries{{{J}}})", "{{peer}}")),
    graph("Refused because the house was full", "ops",
          (rate("fluffy_requests_refused_total", "node, kind", J), "{{node}} {{kind}}")),
])
NODE = Dashboard("fluffy-node", "Fluffy: node", "fluffy_node_info", True, [
    stat("Processes that tell", f"sum(fluffy_process_up{{{N}}})"),
    stat("Leads", f"max(fluffy_log_is_leader{{{N}}})"),
    stat("Caught up", f"min(fluffy_log_caught_up{{{N}}})"),
    stat("Free", f"min(fluffy_disk_free_bytes{{{N}}})", "bytes"),
    stat("Set aside", f"sum(fluffy_quarantined_files{{{N}}})", help_="Damaged files; `fluffy quarantine` lists them."),
    stat("Running since", f"max(time() - fluffy_process_start_time_seconds{{{N}}})", "s"),
    graph("Processor", "percentunit",
          (rate("fluffy_process_cpu_seconds_total", "node, process", N), "{{node}} {{process}}")),
    graph("Memory", "bytes", (f"fluffy_process_resident_memory_bytes{{{N}}}", "{{node}} {{process}}")),
    graph("Open files and connections", "short", (f"fluffy_process_open_fds{{{N}}}", "{{node}} {{process}}")),
    graph("Requests", "reqps",
          (rate(f"{REQUESTS}_count", "method, route, status", N), "{{method}} {{route}} {{status}}")),
    graph("Time of 99 % of the requests", "s", (quantile(0.99, REQUESTS, "method, route", N), "{{method}} {{route}}")),
    graph("Being answered", "short", (f"sum by (kind) (fluffy_requests_running{{{N}}})", "{{kind}}"),
          (f"sum(fluffy_http_connections{{{N}}})", "connections")),
    graph("Disk of the log (fsync)", "s",
          (quantile(0.5, "fluffy_log_fsync_duration_seconds", "node", N), "{{node}} half"),
          (quantile(0.99, "fluffy_log_fsync_duration_seconds", "node", N), "{{node}} 99 %")),
    graph("Commit", "s", (quantile(0.99, "fluffy_log_commit_duration_seconds", "node", N), "{{node}} 99 %")),
    graph("Changes that share an entry", "short",
          (rate("fluffy_log_group_commands_sum", "node", N) + " / "
           + rate("fluffy_log_group_commands_count", "node", N) + " >= 0", "{{node}}")),
    graph("Log", "bytes", (f"fluffy_log_size_bytes{{{N}}}", "{{node}}")),
    graph("Entries since the checkpoint", "short",
          (f"fluffy_log_applied_index{{{N}}} - fluffy_log_checkpoint_index{{{N}}}", "{{node}}")),
    graph("Links of the log", "short",
          (f"min by (node, peer) (fluffy_log_peer_connected{{{N}}})", "{{node}} to {{peer}}")),
    graph("Time of other nodes' answers (99 %)", "s",
          (quantile(0.99, "fluffy_peer_request_duration_seconds", "peer, operation", N), "{{peer}} {{operation}}")),
    graph("Errors of other nodes", "ops", (rate("fluffy_peer_errors_total", "peer, error", N), "{{peer}}: {{error}}")),
    graph("Answers to other nodes", "ops",
          (rate("fluffy_data_port_request_duration_seconds_count", "operation", N), "{{operation}}")),
    graph("Memory of other nodes' chunks", "bytes", (f"sum(fluffy_cache_bytes{{{N}}})", "kept"),
          (f"sum(fluffy_cache_limit_bytes{{{N}}})", "at most")),
    graph("Reads from that memory", "ops", (rate("fluffy_cache_hits_total", "node", N), "{{node}} found"),
          (rate("fluffy_cache_misses_total", "node", N), "{{node}} fetched")),
    graph("Memory for uploads", "short",
          (f"min by (node, process) (fluffy_upload_buffers_free{{{N}}})", "{{node}} {{process}}"),
          help_="Chunks for which there is room; at 0 uploads wait for each other."),
    graph("Repair", "Bps", (rate("fluffy_repair_moved_bytes_total", "node", N), "{{node}} moved"),
          (f"fluffy_repair_allowed_bytes_per_second{{{N}}}", "{{node}} allowed")),
    graph("Jobs", "ops", (rate("fluffy_jobs_ended_total", "end", N), "{{end}}"),
          (rate("fluffy_jobs_stolen_total", "node", N), "{{node}} stolen")),
    graph("Time of jobs (99 %)", "s", (quantile(0.99, "fluffy_job_duration_seconds", "kind", N), "{{kind}}")),
    graph("Rounds of the keeper (99 %)", "s",
          (quantile(0.99, "fluffy_keeper_round_duration_seconds", "loop", N), "{{loop}}")),
    graph("Rounds that failed", "ops", (rate("fluffy_keeper_rounds_failed_total", "loop", N), "{{loop}}")),
    graph("Reading again (scrub)", "Bps", (rate("fluffy_scrub_bytes_total", "node", N), "{{node}}"),
          (f"sum by (node) (fluffy_scrub_bad_total{{{N}}})", "{{node}} bad copies")),
    graph("Search index behind", "s", (f"fluffy_search_lag_seconds{{{N}}}", "{{node}}")),
])
SUPERNODE = Dashboard("fluffy-supernode", "Fluffy: supernode", "fluffy_supernode_clusters", False, [
    stat("Clusters", f"sum(fluffy_supernode_clusters{{{J}}})"),
    stat("That answer", f"sum(fluffy_supernode_cluster_reachable{{{J}}})"),
    stat("Level", f"sum(fluffy_supernode_cluster_fresh{{{J}}})"),
    stat("Owed", f"sum(fluffy_supernode_owed{{{J}}})", help_="Copies and deletions for clusters that were away."),
    stat("Given up", f"sum(fluffy_supernode_owed_given_up_total{{{J}}})"),
    stat("Kept bytes of files", f"sum(fluffy_supernode_cache_bytes{{{J}}})", "bytes"),
    graph("Age of the names", "s", (f"fluffy_supernode_cluster_age_seconds{{{J}}}", "{{cluster}}")),
    graph("Changes to follow", "short", (f"fluffy_supernode_cluster_lag_changes{{{J}}}", "{{cluster}}")),
    graph("Reachable", "short", (f"fluffy_supernode_cluster_reachable{{{J}}}", "{{cluster}}")),
    graph("Requests", "reqps", (rate(f"{REQUESTS}_count", "method, route", J), "{{method}} {{route}}")),
    graph("Time of 99 % of the requests", "s", (quantile(0.99, REQUESTS, "method, route", J), "{{method}} {{route}}")),
    graph("Sent on, and answered by another copy", "reqps",
          (rate("fluffy_supernode_redirects_total", "job", J), "sent on"),
          (rate("fluffy_supernode_fallbacks_total", "job", J), "another copy")),
    graph("Names taken over", "ops", (rate("fluffy_supernode_rows_loaded_total", "cluster", J), "{{cluster}}")),
    graph("Names mended or set aside", "ops",
          (rate("fluffy_supernode_rows_mended_total", "cluster", J), "{{cluster}} mended"),
          (rate("fluffy_supernode_rows_rejected_total", "cluster", J), "{{cluster}} set aside")),
    graph("Failures", "ops", (rate("fluffy_supernode_cluster_failures_total", "cluster", J), "{{cluster}}")),
    graph("Cache", "ops", (rate("fluffy_supernode_cache_hits_total", "job", J), "found"),
          (rate("fluffy_supernode_cache_misses_total", "job", J), "fetched")),
    graph("Owed", "short", (f"sum(fluffy_supernode_owed{{{J}}})", "owed"),
          (f"sum(fluffy_supernode_owed_aside{{{J}}})", "for clusters that are not joined"),
          (f"sum(fluffy_supernode_owed_done_total{{{J}}})", "carried out")),
    graph("Process", "percentunit", (rate("fluffy_process_cpu_seconds_total", "process", J), "processor")),
    graph("Mirrors: behind", "s", (f"fluffy_supernode_mirror_lag_seconds{{{J}}}", "{{mirror}}"),
          help_="How long ago the target was as the source; 0 when it is."),
    graph("Mirrors: still to be done", "short",
          (f"fluffy_supernode_mirror_lag_changes{{{J}}}", "{{mirror}} changes to follow"),
          (f"fluffy_supernode_mirror_pending{{{J}}}", "{{mirror}} files and folders")),
    graph("Mirrors: level, and stopped", "short", (f"fluffy_supernode_mirror_level{{{J}}}", "{{mirror}} level"),
          (f"fluffy_supernode_mirror_stopped{{{J}}}", "{{mirror}} stopped"), help_="`fluffy mirrors` says why."),
    graph("Mirrors: bytes copied", "Bps",
          (rate("fluffy_supernode_mirror_copied_bytes_total", "mirror", J), "{{mirror}}")),
    graph("Mirrors: files", "ops",
          (rate("fluffy_supernode_mirror_copied_files_total", "mirror", J), "{{mirror}} copied"),
          (rate("fluffy_supernode_mirror_deleted_files_total", "mirror", J), "{{mirror}} removed")),
    graph("Mirrors: files of others at the target", "short",
          (f"fluffy_supernode_mirror_kept_files{{{J}}}", "{{mirror}}"),
          help_="Set aside or left; `fluffy mirrors` names them."),
])
DASHBOARDS = (CLUSTER, NODE, SUPERNODE)


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """What Grafana 9 and later read from a file."""
    variables = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"},
                 _variable("job", f"label_values({dashboard.job_of}, job)", "Job")]
    if dashboard.has_nodes:
        variables.append(_variable("node", 'label_values(fluffy_node_info{job=~"$job"}, node)', "Node"))
    return {
        "uid": dashboard.uid, "title": dashboard.title, "tags": ["fluffy"], "schemaVersion": 37, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
        "templating": {"list": variables}, "panels": _placed(dashboard.panels),
        "links": [{"type": "dashboards", "tags": ["fluffy"], "title": "Fluffy", "asDropdown": False}]}


def _variable(name: str, query: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": name}, "refresh": 2, "includeAll": True, "multi": True,
            "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}, "sort": 1}


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """From left to right, line by line; the panels of one line have one height."""
    placed: list[dict[str, Any]] = []
    x, y, line_height = 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH or (x and panel.height != line_height):
            x, y = 0, y + line_height
        line_height = panel.height
        placed.append(_panel_json(panel, number, x, y))
        x += panel.width
    return placed


def _panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    targets = [{"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
               for index, (expr, legend) in enumerate(panel.queries)]
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none",
                   "textMode": "name" if panel.queries[0][1] else "auto"}
    return {"id": number, "title": panel.title, "description": panel.help, "type": panel.kind, "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}, "targets": targets, "options": options,
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []}}


def files() -> dict[str, str]:
    """Text by name of file."""
    return {f"{dashboard.uid}.json": json.dumps(dashboard_json(dashboard), indent=1) + "\n"
            for dashboard in DASHBOARDS}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
