"""The verbs on the cluster itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fluffy.base.errors import Unavailable
from fluffy.base.paths import parse_path
from fluffy.client.peers import peers_in_nodes
from fluffy.client.results import number_in
from fluffy.client.results_cluster import (
    DoctorReport,
    Explanation,
    JobExplanation,
    JobsPage,
    doctor_report_of,
    explanation_of,
    job_explanation_of,
    jobs_page_of,
)
from fluffy.client.transport import Call
from fluffy.client.upload import new_request_id, remote_url
from fluffy.client.verbs.asking import Asking, given

# A million files are copied and synced in 10 s; the server's own deadline is 60 s.
CHECKPOINT_S = 65.0
# Counting the copies of some million chunks; the server's own bound is 20 s.
DOCTOR_S = 30.0
# Of one node among many; one that is down must not hold up the others' answers.
NODE_ANSWER_S = 5.0
QUARANTINE_URL = "/v1/admin/quarantine"


class ClusterVerbs(Asking):
    """Its state, for people and programs that run it."""

    async def status(self) -> Mapping[str, Any]:
        """The cluster as the answering peer sees it."""
        return await self._read("/v1/status")

    async def readiness(self) -> Mapping[str, Any]:
        """Of the peer that answers: `node`, `started_ms`. Raises Unavailable while it is not ready."""
        return await self._read("/readyz")

    async def nodes(self) -> Mapping[str, Any]:
        """`nodes`: each node with its address, state and space."""
        return await self._read("/v1/nodes")

    async def jobs(self, *, node: str | None = None, state: str | None = None, limit: int | None = None,
                   after: int | None = None) -> JobsPage:
        """The queues of all nodes, how far repair is, and a page of jobs: of one `node`, or in one `state`, if given.

        `state`: queued, leased or stuck.
        """
        return jobs_page_of(await self._read("/v1/jobs", node=node, state=state, limit=limit, after=after))

    async def explain_job(self, job: int) -> JobExplanation:
        """What a job does, for which files, what holds it up, when it will be done."""
        return job_explanation_of(await self._read(f"/v1/jobs/{job}"))

    async def retry_jobs(self, jobs: Sequence[int] = ()) -> int:
        """Let stuck jobs begin afresh, these or all; returns how many there were."""
        return number_in(await self._write("POST", "/v1/jobs/retry", document={"jobs": list(jobs)}), "retried")

    async def explain(self, path: str, *, generation: int | None = None, chunk: int | None = None,
                      after: int | None = None, limit: int | None = None) -> Explanation:
        """Where each copy of a file is, and why. `chunk`: of this one only, counted from 0.

        Chunks that are alike are put together; `limit` groups a page, the next one begins `after` what the last said.
        """
        return explanation_of(await self._read(remote_url("explain", parse_path(path).text), generation=generation,
                                               chunk=chunk, after=after, limit=limit))

    async def doctor(self, *, stop: str | None = None) -> DoctorReport:
        """What is wrong and what to do; with `stop` also what stopping that node now would cost."""
        return doctor_report_of(await self._read("/v1/doctor", answer_s=DOCTOR_S, stop=stop))

    async def recover(self, node: str) -> Mapping[str, Any]:
        """Copy back to a node what it lost."""
        return await self._write("POST", f"/v1/admin/recover/{quote(node, safe='')}")

    async def drain(self, node: str, *, cancel: bool = False) -> Mapping[str, Any]:
        """Empty a node before it leaves, or stop doing so."""
        return await self._write("POST", _node_path(node, "/drain"), document={"cancel": cancel}, answer_s=DOCTOR_S)

    async def drain_progress(self, node: str) -> Mapping[str, Any]:
        """How empty a node is, and whether it may go (`safe`, `verdict`)."""
        return await self._read(_node_path(node, "/drain"), answer_s=DOCTOR_S)

    async def remove_node(self, node: str, *, force: bool = False) -> Mapping[str, Any]:
        """End the membership of an emptied node; with `force` of a dead one, whatever is only there."""
        return await self._write("DELETE", _node_path(node), answer_s=DOCTOR_S, force=force)

    async def restart_node(self, node: str) -> Mapping[str, Any]:
        """Let a node drain and start again; it must be the peer that is asked (`use_peer`)."""
        return await self._write("POST", _node_path(node, "/restart"))

    async def scrub(self, node: str | None = None) -> Mapping[str, Any]:
        """Let all nodes, or this one, re-read what they hold and check it, now."""
        return await self._write("POST", "/v1/admin/scrub", node=node)

    async def set_repair(self, mode: str | None) -> Mapping[str, Any]:
        """How much repair may take: `quiet`, `balanced`, `fast`; None: what each node's config says."""
        return await self._write("PUT", "/v1/admin/repair", document={"mode": mode})

    async def quarantine(self) -> Mapping[str, Any]:
        """`nodes`: what each node has set aside, or the `error` of one that does not answer."""
        return {"nodes": await self._of_each_node(lambda: Call("GET", QUARANTINE_URL))}

    async def purge_quarantine(self, chunk: str | None = None) -> Mapping[str, Any]:
        """Remove what all nodes have set aside (of one chunk, or all) for good."""
        return {"nodes": await self._of_each_node(lambda: Call(
            "DELETE", QUARANTINE_URL, query=given(chunk=chunk), request_id=new_request_id()))}

    async def _of_each_node(self, make: Callable[[], Call]) -> list[dict[str, Any]]:
        """Ask every node itself, once, one after the other."""
        document = await self.nodes()
        answers: list[dict[str, Any]] = []
        for node, url in zip(document["nodes"], peers_in_nodes(document, self._peers.current), strict=True):
            try:
                answers.append((await self._transport.ask_peer(url, make(), answer_s=NODE_ANSWER_S)).document)
            except Unavailable as error:
                answers.append({"node": node["name"], "error": error.message})
        return answers

    async def checkpoint(self) -> Mapping[str, Any]:
        """Make a checkpoint of the metadata now."""
        return await self._write("POST", "/v1/admin/checkpoint", answer_s=CHECKPOINT_S)


def _node_path(node: str, rest: str = "") -> str:
    return f"/v1/admin/nodes/{quote(node, safe='')}{rest}"
