"""For each route, by method and pattern, how somebody would try it on what belongs to alice.

The rows speak of this world (`test_native_access.py` makes it): bucket `alice` with the files `docs/zq7-a` (two
generations, 6 bytes), the deleted `zq7-gone`, the folder `zq7-empty`, an unfinished upload of `zq7-up` with one part;
her bucket `more` with a lock of hers on `zq7-locked`, and the same grants; bob has the bucket `bob` with the file `b`.
`zq7` is in the name of everything of alice's that others must not see. `{…}` in a row is filled in from the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MARK = "zq7"

# see: anybody with a token. read, write, admin: that right in bucket alice. operate: admins only. account: alice and
# admins. shown: anybody may ask, and sees what is alice's only with the right to read. none: no right helps, because it
# is a thing of alice's own. open: no token at all. shown-write, shown-admin: as shown, with that right.
Need = Literal["see", "read", "write", "admin", "operate", "account", "shown", "shown-write", "shown-admin", "none",
               "open"]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to try a route. `mine`: for account rows, the same about the asker's own account.

    `changes`: what reads alice's changes something of the asker's, so it is nothing for read-only users. `but`: who may
    is still told this code, for a reason of the world's.
    """

    need: Need
    target: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    mine: str | None = None
    changes: bool = False
    but: str | None = None


def read(target: str, **more: Any) -> Row:
    return Row("read", target, **more)


def write(target: str, body: Any = None, **headers: str) -> Row:
    return Row("write", target, body, headers)


def administer(target: str, body: Any = None) -> Row:
    return Row("admin", target, body)


def operate(target: str, body: Any = None, but: str | None = None) -> Row:
    return Row("operate", target, body, but=but)


FILE = "/alice/docs/zq7-a"

EXAMPLES: dict[str, list[Row]] = {
    "PUT /v1/files/{path}": [write(f"/v1/files{FILE}", b"new"), write("/v1/files/alice/zq7-new", b"new"),
                             write("/v1/files/alice/zq7-big", b"x" * 5000)],
    "GET /v1/files/{path}": [read(f"/v1/files{FILE}"), read(f"/v1/files{FILE}?generation=1"),
                             read(f"/v1/files{FILE}?at={{then}}"), read(f"/v1/files{FILE}?download=1")],
    "POST /v1/files/{path}": [write(f"/v1/files{FILE}?append", b"more"), write(f"/v1/files{FILE}?touch"),
                              write("/v1/files/alice/zq7-new?touch")],
    "PATCH /v1/files/{path}": [write(f"/v1/files{FILE}", b"XY", **{"Content-Range": "bytes 0-1/*"})],
    "DELETE /v1/files/{path}": [write(f"/v1/files{FILE}"), write(f"/v1/files{FILE}?purge=1"),
                                write(f"/v1/files{FILE}?purge=1&generation=1"),
                                write("/v1/files/alice/docs?recursive=1"), administer("/v1/files/alice?recursive=1")],
    "GET /v1/files": [Row("account", "/v1/files?owner=alice", mine="/v1/files?owner=bob")],
    "GET /v1/info/{path}": [read(f"/v1/info{FILE}"), read("/v1/info/alice/docs"), read("/v1/info/alice")],
    "PUT /v1/dirs/{path}": [write("/v1/dirs/alice/zq7-folder"), write("/v1/dirs/alice/x/zq7-y?parents=1")],
    "GET /v1/dirs/{path}": [read("/v1/dirs/alice"), read("/v1/dirs/alice/docs?long=1&labels=1"),
                            read("/v1/dirs/alice?at={then}"), Row("shown", "/v1/dirs/")],
    "GET /v1/dirs": [Row("shown", "/v1/dirs"), Row("shown", "/v1/dirs?at={then}")],
    "DELETE /v1/dirs/{path}": [write("/v1/dirs/alice/zq7-empty"), write("/v1/dirs/alice/docs?recursive=1"),
                               administer("/v1/dirs/alice?recursive=1&purge=1")],
    "POST /v1/move": [write("/v1/move", {"src": FILE, "dst": "/alice/zq7-b"}),
                      write("/v1/move", {"src": FILE, "dst": "/bob/taken"}),
                      write("/v1/move", {"src": "/bob/b", "dst": "/alice/zq7-c"}),
                      administer("/v1/move", {"src": "/alice", "dst": "/zq7-renamed"})],
    "POST /v1/copy": [read("/v1/copy", changes=True, body={"src": FILE, "dst": "/bob/taken"}),
                      read("/v1/copy", changes=True, body={"src": FILE, "dst": "/bob/taken", "generation": 1}),
                      read("/v1/copy", changes=True, body={"src": "/alice/docs", "dst": "/bob/docs"}),
                      write("/v1/copy", {"src": "/bob/b", "dst": "/alice/zq7-c"}),
                      write("/v1/copy", {"src": "/bob/b", "dst": FILE, "overwrite": True})],
    "PUT /v1/tags/{path}": [write(f"/v1/tags{FILE}", {"k": "v"})],
    "PUT /v1/meta/{path}": [write(f"/v1/meta{FILE}", {"k": "v"})],
    "GET /v1/versions/{path}": [read(f"/v1/versions{FILE}")],
    "POST /v1/restore": [write("/v1/restore", {"path": FILE, "generation": 1}),
                         write("/v1/restore", {"path": "/alice/docs", "at": "{then}"})],
    "GET /v1/trash": [read("/v1/trash?path=/alice"), Row("shown", "/v1/trash")],
    "DELETE /v1/trash": [write("/v1/trash?path=/alice"), Row("shown-write", "/v1/trash")],
    "POST /v1/undelete": [write("/v1/undelete", {"path": "/alice/zq7-gone"}),
                          write("/v1/undelete", {"path": "/alice/zq7-gone", "target": "/bob/mine-now"})],
    "GET /v1/diff/{path}": [read("/v1/diff/alice?from={then}"), read("/v1/diff/alice/docs?from={then}&to=-0s")],
    "GET /": [Row("open", "/")],
    "GET /dashboard/{version}/{name}": [Row("open", "/dashboard/x/app.js")],
    "POST /v1/session": [Row("open", "/v1/session", {"user": "alice", "password": "not the right one"}),
                         Row("open", "/v1/session", {"token": "not the right one"})],
    "GET /v1/session": [Row("open", "/v1/session")],
    "DELETE /v1/session": [Row("see", "/v1/session")],
    "GET /v1/live": [Row("see", "/v1/live?turns=1")],
    "POST /v1/login": [Row("open", "/v1/login", {"user": "alice", "password": "not the right one"})],
    "POST /v1/logout": [Row("see", "/v1/logout")],
    "GET /v1/whoami": [Row("shown", "/v1/whoami")],
    "PUT /v1/password": [Row("see", "/v1/password", {"new": "a password of bob's"})],
    "GET /v1/tokens": [Row("account", "/v1/tokens?user=alice", mine="/v1/tokens")],
    "POST /v1/tokens": [Row("account", "/v1/tokens", {"label": "l", "user": "alice"}, mine="/v1/tokens")],
    "DELETE /v1/tokens/{id}": [Row("account", "/v1/tokens/{token_id}?user=alice", mine="/v1/tokens/all"),
                               Row("account", "/v1/tokens/all?user=alice"), Row("none", "/v1/tokens/{token_id}")],
    "GET /v1/keys": [Row("account", "/v1/keys?user=alice", mine="/v1/keys")],
    "POST /v1/keys": [Row("account", "/v1/keys", {"label": "l", "user": "alice"}, mine="/v1/keys")],
    "DELETE /v1/keys/{access_key}": [Row("account", "/v1/keys/ALICEKEY?user=alice"), Row("none", "/v1/keys/ALICEKEY")],
    "GET /v1/admin/users": [operate("/v1/admin/users")],
    "POST /v1/admin/users": [operate("/v1/admin/users", {"name": "eve", "role": "admin"})],
    "GET /v1/admin/users/{name}": [operate("/v1/admin/users/alice")],
    "PATCH /v1/admin/users/{name}": [operate("/v1/admin/users/alice", {"disabled": True}),
                                     operate("/v1/admin/users/bob", {"role": "admin"}),
                                     operate("/v1/admin/users/alice", {"password": "a new one for her"})],
    "DELETE /v1/admin/users/{name}": [operate("/v1/admin/users/alice?give_to=bob")],
    "GET /v1/admin/grants": [administer("/v1/admin/grants?bucket=alice"), Row("shown-admin", "/v1/admin/grants")],
    "POST /v1/admin/grants": [administer("/v1/admin/grants", {"bucket": "alice", "user": "carol", "right": "read"}),
                              administer("/v1/admin/grants", {"bucket": "alice", "grantee": "*", "right": "admin"})],
    "DELETE /v1/admin/grants": [administer("/v1/admin/grants?bucket=alice&user=zq7-friend")],
    "GET /v1/admin/buckets": [Row("shown-admin", "/v1/admin/buckets")],
    "GET /v1/admin/buckets/{name}": [administer("/v1/admin/buckets/alice")],
    "PUT /v1/admin/buckets/{name}": [administer("/v1/admin/buckets/alice", {"trash_days": 1}),
                                     operate("/v1/admin/buckets/alice", {"owner": "bob"})],
    "GET /v1/quotas": [Row("account", "/v1/quotas?user=alice", mine="/v1/quotas"), read("/v1/quotas?bucket=alice")],
    "PUT /v1/admin/quotas": [operate("/v1/admin/quotas", {"subject": "user", "name": "bob", "bytes_max": None}),
                             operate("/v1/admin/quotas", {"subject": "bucket", "name": "alice", "files_max": 1})],
    "GET /v1/admin/audit": [operate("/v1/admin/audit")],
    "POST /v1/locks": [write("/v1/locks", {"path": FILE, "ttl_s": 10}), write("/v1/locks", {"path": "/alice/docs"})],
    "GET /v1/locks": [read("/v1/locks?path=/more"), Row("shown", "/v1/locks")],
    "DELETE /v1/locks": [administer("/v1/locks?path=/more/zq7-locked")],
    "PUT /v1/locks/{token}": [Row("none", "/v1/locks/{lock}", {"ttl_s": 100})],
    "DELETE /v1/locks/{token}": [Row("none", "/v1/locks/{lock}")],
    "POST /v1/sign": [read("/v1/sign", body={"path": FILE, "method": "GET"}),
                      read("/v1/sign", body={"path": FILE, "method": "HEAD"}),
                      write("/v1/sign", {"path": FILE, "method": "PUT"})],
    "POST /v1/uploads": [write("/v1/uploads", {"path": "/alice/zq7-other"})],
    "GET /v1/uploads": [write("/v1/uploads?path=/alice"), Row("none", "/v1/uploads")],
    "GET /v1/uploads/{id}": [write("/v1/uploads/{upload}")],
    "PUT /v1/uploads/{id}/parts/{n}": [write("/v1/uploads/{upload}/parts/1", b"other bytes"),
                                       write("/v1/uploads/{upload}/parts/2", b"more bytes")],
    "POST /v1/uploads/{id}/complete": [write("/v1/uploads/{upload}/complete", {})],
    "DELETE /v1/uploads/{id}": [write("/v1/uploads/{upload}")],
    "GET /v1/search": [Row("shown", "/v1/search?q=zq7"), Row("shown", "/v1/search?q=zq7&bucket=alice"),
                       Row("shown", "/v1/search?q=&owner=alice")],
    "GET /v1/changes": [Row("shown", "/v1/changes?since=0&limit=1000")],
    "GET /v1/federation/feed": [operate("/v1/federation/feed?since=0")],
    "GET /v1/federation/rows": [operate("/v1/federation/rows")],
    "GET /v1/federation/folders/{no}": [operate("/v1/federation/folders/0")],
    "GET /v1/federation/hash": [operate("/v1/federation/hash")],
    "GET /v1/federation/sight": [Row("shown", "/v1/federation/sight")],
    "GET /v1/explain/{path}": [read(f"/v1/explain{FILE}"), read(f"/v1/explain{FILE}?generation=1")],
    "GET /v1/jobs": [Row("see", "/v1/jobs"), Row("see", "/v1/jobs?state=stuck&node=one")],
    "GET /v1/jobs/{no}": [Row("shown", "/v1/jobs/{job}")],
    "POST /v1/jobs/retry": [operate("/v1/jobs/retry", {"jobs": [1]}), operate("/v1/jobs/retry", {})],
    "POST /v1/admin/scrub": [operate("/v1/admin/scrub"), operate("/v1/admin/scrub?node=one")],
    "GET /v1/doctor": [Row("see", "/v1/doctor"), Row("see", "/v1/doctor?stop=one")],
    "GET /v1/status": [Row("see", "/v1/status")],
    "GET /v1/nodes": [Row("see", "/v1/nodes")],
    "GET /metrics": [Row("see", "/metrics")],
    "GET /healthz": [Row("open", "/healthz")],
    "GET /readyz": [Row("open", "/readyz")],
    "PUT /v1/admin/repair": [operate("/v1/admin/repair", {"mode": "quiet"})],
    "GET /v1/admin/quarantine": [operate("/v1/admin/quarantine")],
    "DELETE /v1/admin/quarantine": [operate("/v1/admin/quarantine")],
    "POST /v1/join": [Row("open", "/v1/join", {"node": {"name": "eve"}, "cluster": "test", "proof": "00"})],
    "POST /v1/admin/nodes/{name}/drain": [operate("/v1/admin/nodes/two/drain", {}),
                                          operate("/v1/admin/nodes/two/drain", {"cancel": True})],
    "GET /v1/admin/nodes/{name}/drain": [operate("/v1/admin/nodes/two/drain")],
    "POST /v1/admin/nodes/{name}/restart": [operate("/v1/admin/nodes/one/restart")],
    "DELETE /v1/admin/nodes/{name}": [operate("/v1/admin/nodes/four")],
    "POST /v1/admin/recover/{node}": [operate("/v1/admin/recover/two")],
    "POST /v1/admin/checkpoint": [operate("/v1/admin/checkpoint")],
    "GET /v1/admin/backup": [operate("/v1/admin/backup")],
    "GET /v1/admin/digest": [operate("/v1/admin/digest")],
    "GET /v1/admin/rebuild": [operate("/v1/admin/rebuild")],
    "POST /v1/admin/rebuild": [operate("/v1/admin/rebuild", {"source": "x"}, but="RebuildRefused")],
    "PUT /v1/admin/rebuild/{id}/steps/{n}": [operate("/v1/admin/rebuild/00ff/steps/0?table=users", b"x",
                                                     but="NotFound")],
    "POST /v1/admin/rebuild/{id}/end": [operate("/v1/admin/rebuild/00ff/end", {
        "step": 0, "seq": 0, "last_no": 0, "clock_ms": 0, "files": 0, "file_bytes": 0}, but="NotFound")],
    "DELETE /v1/admin/rebuild/{id}": [operate("/v1/admin/rebuild/00ff", but="NotFound")],
    "POST /v1/admin/chunks": [operate("/v1/admin/chunks", {"chunks": ["ab" * 32]})],
    "GET /v1/admin/manifests": [operate("/v1/admin/manifests")],
    "GET /v1/admin/manifests/{cluster}/{segment}": [operate("/v1/admin/manifests/x/y", but="FileNotFound")],
    "GET /v1/openapi.json": [Row("see", "/v1/openapi.json")],
}
