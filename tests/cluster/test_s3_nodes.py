"""The S3 door of real nodes: one truth at all of them, and a leader that dies while objects are put."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from fluffy.services.s3_keys import KeyPair
from tests.support.cluster import Cluster
from tests.support.s3_door import client

# A drill waits for the cluster by bounds of its own, and says what was missing.
pytestmark = pytest.mark.timeout(400)

PAIR = KeyPair("NODESKEY", "a-secret-of-nodes")
LARGE_BYTES = 20 << 20


def clients(cluster: Cluster) -> dict[str, Any]:
    """A client for each node, which retries as boto3 does by itself."""
    found = {}
    for name in cluster.names:
        host, port = cluster.s3_address(name)
        found[name] = client(f"http://{host}:{port}", PAIR, retries={"max_attempts": 8, "mode": "standard"})
    return found


def test_what_one_node_took_all_give_and_a_leader_may_die(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    cluster.add_s3_key(PAIR.access_key, PAIR.secret)
    doors = clients(cluster)
    leader = cluster.leader()
    others = [doors[name] for name in cluster.names if name != leader]
    doors[leader].create_bucket(Bucket="photos")
    large = os.urandom(LARGE_BYTES)
    others[0].put_object(Bucket="photos", Key="large", Body=large)
    for door in doors.values():
        assert door.get_object(Bucket="photos", Key="large")["Body"].read() == large
    for number in range(20):
        if number == 5:
            cluster.kill(leader)
        door = others[number % 2]
        put = door.put_object(Bucket="photos", Key=f"d/{number:02}", Body=b"%d" % number)
        assert put["ETag"] == f'"{hashlib.md5(b"%d" % number).hexdigest()}"'
        listed = others[(number + 1) % 2].list_objects_v2(Bucket="photos", Prefix="d/")
        assert listed["KeyCount"] == number + 1, "what was acknowledged is seen at once, at the other node"
    assert others[1].get_object(Bucket="photos", Key="large", Range="bytes=-9")["Body"].read() == large[-9:]
    others[0].delete_objects(Bucket="photos", Delete={
        "Objects": [{"Key": "large"}, *({"Key": f"d/{number:02}"} for number in range(20))]})
    others[1].delete_bucket(Bucket="photos")
