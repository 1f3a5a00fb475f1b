"""The routes about people: credentials, users, rights, limits, locks, signed URLs. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import grants, locks, people, s3_keys, sign, tokens
from fluffy.gateways.native.parameters import AFTER, LIMIT
from fluffy.gateways.native.table import Parameter, Route

OF_USER = Parameter("user", "text", "for admins: another user's")
BUCKET = Parameter("bucket", "text", "which bucket")

PEOPLE: tuple[Route, ...] = (
    Route("POST", "/v1/login", tokens.login, "Exchange name and password for a token: {user, password, label, ttl_s}.",
          None, body="json", success=201),
    Route("POST", "/v1/logout", tokens.logout, "End the token that asks.", Act.OWN_ACCOUNT),
    Route("GET", "/v1/whoami", tokens.whoami, "Who the token belongs to, its end, quota and buckets.", Act.OWN_ACCOUNT,
          is_read=True),
    Route("PUT", "/v1/password", tokens.set_password, "Change one's own password: {old, new}.", Act.OWN_ACCOUNT,
          body="json"),
    Route("GET", "/v1/tokens", tokens.list_tokens, "One's tokens, without their secrets.", Act.OWN_ACCOUNT,
          is_read=True, query=(OF_USER,)),
    Route("POST", "/v1/tokens", tokens.add_token, "Make a token, told only now: {label, ttl_s, user}.",
          Act.OWN_ACCOUNT, body="json", success=201),
    Route("DELETE", "/v1/tokens/{id}", tokens.revoke_token, "End a token; `all`: all of them.", Act.OWN_ACCOUNT,
          query=(OF_USER,)),
    Route("GET", "/v1/keys", s3_keys.list_keys, "One's key pairs of S3, without their secrets.", Act.OWN_ACCOUNT,
          is_read=True, query=(OF_USER,)),
    Route("POST", "/v1/keys", s3_keys.add_key,
          "Make a key pair of S3, told only now: {label, user}; or bring one along: {access_key, secret}.",
          Act.OWN_ACCOUNT, body="json", success=201),
    Route("DELETE", "/v1/keys/{access_key}", s3_keys.remove_key, "End a key pair.", Act.OWN_ACCOUNT,
          query=(OF_USER,)),
    Route("GET", "/v1/admin/users", people.list_users, "Users, by name.", Act.OPERATE, is_read=True,
          query=(LIMIT, AFTER)),
    Route("POST", "/v1/admin/users", people.add_user, "Make a user with a home bucket: {name, role, password}.",
          Act.OPERATE, body="json", success=201),
    Route("GET", "/v1/admin/users/{name}", people.get_user, "One user.", Act.OPERATE, is_read=True),
    Route("PATCH", "/v1/admin/users/{name}", people.change_user, "Change a user: {role, password, disabled}.",
          Act.OPERATE, body="json"),
    Route("DELETE", "/v1/admin/users/{name}", people.remove_user, "Remove a user.", Act.OPERATE,
          query=(Parameter("give_to", "text", "who gets the buckets that are not empty"),)),
    Route("GET", "/v1/admin/grants", grants.list_grants, "Who may do what in a bucket.", Act.ADMINISTER, is_read=True,
          query=(BUCKET,)),
    Route("POST", "/v1/admin/grants", grants.set_grant, "Give a right: {bucket, user, right}.", Act.ADMINISTER,
          body="json", success=201),
    Route("DELETE", "/v1/admin/grants", grants.remove_grant, "Take a right back, or give up one's own.",
          Act.ADMINISTER, query=(BUCKET, Parameter("user", "text", "whose right; everyone or *: everybody's"))),
    Route("GET", "/v1/admin/buckets", grants.list_buckets, "Buckets with owner, rules, quota, grants.", Act.ADMINISTER,
          is_read=True, query=(LIMIT, AFTER)),
    Route("GET", "/v1/admin/buckets/{name}", grants.get_bucket, "One bucket.", Act.ADMINISTER, is_read=True),
    Route("PUT", "/v1/admin/buckets/{name}", grants.set_bucket,
          "Change a bucket: {owner, trash_days, versions_max, replication}, only what is given.", Act.ADMINISTER,
          body="json"),
    Route("GET", "/v1/quotas", grants.get_quota, "What is used of which limit: one's own.", Act.OWN_ACCOUNT,
          is_read=True, query=(OF_USER, Parameter("bucket", "text", "of a bucket that one may read"))),
    Route("PUT", "/v1/admin/quotas", grants.set_quota, "Limit a user or bucket: {subject, name, bytes_max, files_max}.",
          Act.OPERATE, body="json"),
    Route("GET", "/v1/admin/audit", grants.list_audit, "The audit log, newest first.", Act.OPERATE, is_read=True,
          query=(Parameter("before", "number", "the last `no` that the asker has"), LIMIT,
                 Parameter("who", "text", "only what this user did"),
                 Parameter("target", "text", "only what concerns this"), Parameter("act", "text", "only this act"),
                 Parameter("refused", "flag", "1: only refusals"))),
    Route("POST", "/v1/locks", locks.acquire, "Lock a path for a while: {path, mode, ttl_s, wait_s, note}.", Act.WRITE,
          body="json", success=201),
    Route("GET", "/v1/locks", locks.list_locks, "Locks on a path and below it.", Act.READ, is_read=True, query=(
        Parameter("path", "text", "where; everywhere when absent"), LIMIT, AFTER)),
    Route("DELETE", "/v1/locks", locks.break_locks, "Break all locks on a path; for those who administer the bucket.",
          Act.ADMINISTER, query=(Parameter("path", "text", "exactly this path"),)),
    Route("PUT", "/v1/locks/{token}", locks.renew, "Renew a lock: {ttl_s}.", Act.WRITE, body="json"),
    Route("DELETE", "/v1/locks/{token}", locks.release, "Give a lock back.", Act.WRITE),
    Route("POST", "/v1/sign", sign.sign, "A signed URL: {path, method, ttl_s, generation, download}.", Act.READ,
          body="json"),
)
