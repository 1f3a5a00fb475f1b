"""The routes that say how the cluster is: what is wrong, where copies are, what is being repaired."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import doctor, explain
from fluffy.gateways.native.parameters import GENERATION
from fluffy.gateways.native.table import Parameter, Route

HEALTH: tuple[Route, ...] = (
    Route("GET", "/v1/explain/{path}", explain.explain, "Where each copy of a file is, why there, and what is pending.",
          Act.READ, is_read=True, query=(
              GENERATION, Parameter("chunk", "number", "this one only, counted from 0"),
              Parameter("limit", "number", "groups of chunks of a page, 1 to 200; 20 when absent"),
              Parameter("after", "number", "the chunk that the last page gave as `after`"))),
    Route("GET", "/v1/doctor", doctor.get_doctor, "What is wrong and what to do; what stopping a node would cost.",
          Act.SEE_CLUSTER, is_read=True, query=(
              Parameter("stop", "text", "the node that might be stopped now"),)),
)
