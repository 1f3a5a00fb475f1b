"""The verbs of people: login, tokens, users, rights, quotas, buckets, and what the log remembers of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from fluffy.client.pages import Pages
from fluffy.client.results import Lines, lines_of
from fluffy.client.results_people import (
    AuditLine,
    Bucket,
    Grant,
    Login,
    Myself,
    NewS3Key,
    NewToken,
    Quota,
    S3Key,
    Token,
    User,
    audit_line_of,
    bucket_of,
    grant_of,
    login_of,
    myself_of,
    new_s3_key_of,
    new_token_of,
    quota_of,
    s3_key_of,
    token_of,
    user_of,
)
from fluffy.client.verbs.asking import KEEP, PAGE_ENTRIES, Asking, Keep, changed, gathered, told


class PeopleVerbs(Asking):
    """People and their rights. What is about others is for admins; grants also for a bucket's owner."""

    async def login(self, user: str, password: str, *, label: str | None = None, ttl_s: int | None = None) -> Login:
        """Exchange a password for a token (for 30 days, or `ttl_s`), and use it from now on. It is stored nowhere."""
        login = login_of(await self._write("POST", "/v1/login", document=told(
            user=user, password=password, label=label, ttl_s=ttl_s)))
        self._transport.use_token(login.token)
        return login

    async def logout(self) -> Mapping[str, Any]:
        """End the token in use."""
        return await self._write("POST", "/v1/logout")

    async def whoami(self) -> Myself:
        """Whose token this is."""
        return myself_of(await self._read("/v1/whoami"))

    async def set_password(self, old: str, new: str) -> Mapping[str, Any]:
        """Change one's own password."""
        return await self._write("PUT", "/v1/password", document={"old": old, "new": new})

    async def tokens(self, user: str | None = None) -> list[Token]:
        """One's tokens, or a user's."""
        return [*lines_of(await self._read("/v1/tokens", user=user), "tokens", token_of).items]

    async def add_token(self, label: str, ttl_s: int | None = None, user: str | None = None) -> NewToken:
        """Make a token, for oneself or for a user; without `ttl_s` it does not end by itself."""
        return new_token_of(await self._write("POST", "/v1/tokens", document=told(
            label=label, ttl_s=ttl_s, user=user)))

    async def revoke_token(self, token_id: str, user: str | None = None) -> Mapping[str, Any]:
        """End a token at once; `all`: all of them."""
        return await self._write("DELETE", _url("tokens", token_id), user=user)

    async def keys(self, user: str | None = None) -> list[S3Key]:
        """One's key pairs of S3, or a user's."""
        return [*lines_of(await self._read("/v1/keys", user=user), "keys", s3_key_of).items]

    async def add_key(self, label: str = "", user: str | None = None, *, access_key: str | None = None,
                      secret: str | None = None) -> NewS3Key:
        """Make a key pair for programs that speak S3; or bring along one from elsewhere."""
        return new_s3_key_of(await self._write("POST", "/v1/keys", document=told(
            label=label, user=user, access_key=access_key, secret=secret)))

    async def remove_key(self, access_key: str, user: str | None = None) -> Mapping[str, Any]:
        """End a key pair at once."""
        return await self._write("DELETE", _url("keys", access_key), user=user)

    async def users(self) -> list[User]:
        """All users."""
        async def page(after: str | None) -> Lines[User]:
            return lines_of(await self._read("/v1/admin/users", after=after), "users", user_of)
        return await gathered(Pages(page))

    async def user(self, name: str) -> User:
        """One user."""
        return user_of(await self._read(_url("admin/users", name)))

    async def add_user(self, name: str, role: str = "user", password: str | None = None) -> User:
        """Make a user and the home bucket. `role`: admin, user or readonly. Without a password: tokens only."""
        document = await self._write("POST", "/v1/admin/users", document=told(name=name, role=role, password=password))
        return user_of({"name": name, "role": role, **document})

    async def change_user(self, name: str, *, role: str | None = None, password: str | None = None,
                          drop_password: bool = False, disabled: bool | None = None) -> Mapping[str, Any]:
        """Change what is given. A disabled user's tokens and signed URLs stop working at once.

        `drop_password`: the user logs in by tokens only from now on.
        """
        document = told(role=role, password=password, disabled=disabled) | ({"password": None} if drop_password else {})
        return await self._write("PATCH", _url("admin/users", name), document=document)

    async def remove_user(self, name: str, *, give_to: str | None = None) -> Mapping[str, Any]:
        """Remove a user. `give_to`: who gets the buckets; without it they must be empty (UserOwnsFiles)."""
        return await self._write("DELETE", _url("admin/users", name), give_to=give_to)

    async def grants(self, bucket: str | None = None) -> list[Grant]:
        """Who else has rights on the bucket; without one: on all buckets that one administers."""
        return [*lines_of(await self._read("/v1/admin/grants", bucket=bucket), "grants", grant_of).items]

    async def grant(self, bucket: str, user: str, right: str) -> Mapping[str, Any]:
        """Give `user` (a name, or `*` for everybody) the right `read`, `write` or `admin` on the bucket."""
        return await self._write("POST", "/v1/admin/grants", document={"bucket": bucket, "user": user, "right": right})

    async def revoke(self, bucket: str, user: str) -> Mapping[str, Any]:
        """Take back what was granted."""
        return await self._write("DELETE", "/v1/admin/grants", bucket=bucket, user=user)

    async def quota(self, user: str | None = None, bucket: str | None = None) -> Quota:
        """What one has used and may use; a user's or a bucket's."""
        return quota_of(await self._read("/v1/quotas", user=user, bucket=bucket))

    async def set_quota(self, subject: str, name: str, *, bytes_max: int | Keep | None = KEEP,
                        files_max: int | Keep | None = KEEP) -> Quota:
        """Limit a `user` or a `bucket`: only what is given; None: no limit."""
        return quota_of(await self._write("PUT", "/v1/admin/quotas", document=changed(
            subject=subject, name=name, bytes_max=bytes_max, files_max=files_max)))

    async def buckets(self) -> list[Bucket]:
        """The buckets that one administers, with their rules; for admins all."""
        async def page(after: str | None) -> Lines[Bucket]:
            return lines_of(await self._read("/v1/admin/buckets", after=after), "buckets", bucket_of)
        return await gathered(Pages(page))

    async def bucket(self, name: str) -> Bucket:
        """One bucket with its rules."""
        return bucket_of({"name": name, **await self._read(_url("admin/buckets", name))})

    async def set_bucket(self, name: str, *, owner: str | None = None, trash_days: int | Keep | None = KEEP,
                         versions_max: int | Keep | None = KEEP, replication: int | Keep | None = KEEP) -> Bucket:
        """Give a bucket to somebody, change its rules: only what is given; a rule of None is the cluster's again."""
        rules = changed(trash_days=trash_days, versions_max=versions_max, replication=replication)
        document = await self._write("PUT", _url("admin/buckets", name), document=rules | told(owner=owner))
        return bucket_of(document)

    async def audit_page(self, *, who: str | None = None, target: str | None = None, refused: bool = False,
                         before: int | None = None, limit: int = PAGE_ENTRIES) -> list[AuditLine]:
        """What the log remembers, latest first, from before line `before` on."""
        document = await self._read("/v1/admin/audit", who=who, target=target, refused=refused, before=before,
                                    limit=limit)
        return [*lines_of(document, "audit", audit_line_of).items]

    def audit(self, *, who: str | None = None, target: str | None = None,
              refused: bool = False) -> AsyncIterator[AuditLine]:
        """Changes of rights and refusals, latest first: who did what to what."""
        async def page(after: str | None) -> Lines[AuditLine]:
            lines = await self.audit_page(who=who, target=target, refused=refused,
                                          before=None if after is None else int(after))
            return Lines(tuple(lines), str(lines[-1].no) if len(lines) == PAGE_ENTRIES else None)
        return Pages(page)


def _url(door: str, name: str) -> str:
    return f"/v1/{door}/{quote(name, safe='')}"
