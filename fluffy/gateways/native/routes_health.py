"""The routes that say how the cluster is: what is wrong, where copies are, what is being repaired."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import doctor, explain, jobs, schemas_cluster, schemas_health
from fluffy.gateways.native.parameters import GENERATION
from fluffy.gateways.native.table import Parameter, Route

HEALTH: tuple[Route, ...] = (
    Route("GET", "/v1/explain/{path}", explain.explain, "Where each copy of a file is, why there, and what is pending.",
          Act.READ, is_read=True, query=(
              GENERATION, Parameter("chunk", "number", "this one only, counted from 0"),
              Parameter("limit", "number", "groups of chunks of a page, 1 to 200; 20 when absent"),
              Parameter("after", "number", "the chunk that the last page gave as `after`")),
          answer=schemas_health.EXPLANATION, refuses=(416,)),
    Route("GET", "/v1/jobs", jobs.list_jobs, "Every node's queue of background work, how far repair is, jobs.",
          Act.SEE_CLUSTER, is_read=True, query=(
              Parameter("node", "text", "only jobs of this node's queue"),
              Parameter("state", "text", "only queued, leased or stuck jobs"),
              Parameter("limit", "number", "jobs of a page, at most 1000; 100 when absent"),
              Parameter("after", "number", "the job that the last page gave as `after`")), answer=schemas_health.JOBS),
    Route("GET", "/v1/jobs/{no}", jobs.explain_job, "What a job does, for which files, what blocks it, when it ends.",
          Act.SEE_CLUSTER, is_read=True, answer=schemas_health.JOB),
    Route("POST", "/v1/jobs/retry", jobs.retry_jobs, "Begin stuck jobs afresh, all or {jobs: [numbers]}.", Act.OPERATE,
          body="json", sent=schemas_cluster.RETRY, answer=schemas_cluster.RETRIED),
    Route("POST", "/v1/admin/scrub", jobs.scrub, "Let the nodes re-read all they hold and check it, now.", Act.OPERATE,
          query=(Parameter("node", "text", "only this node"),), answer=schemas_cluster.SCRUBBING),
    Route("GET", "/v1/doctor", doctor.get_doctor, "What is wrong and what to do; what stopping a node would cost.",
          Act.SEE_CLUSTER, is_read=True, query=(
              Parameter("stop", "text", "the node that might be stopped now"),), answer=schemas_health.DOCTOR),
)
