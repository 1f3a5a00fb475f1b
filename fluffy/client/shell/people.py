"""The commands about people: who one is, who there is, who may do what, and how much."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from fluffy.base.errors import QuerySyntax, TokenNotFound, Unauthenticated
from fluffy.base.units import format_size
from fluffy.client.keepsakes import Logins, StoredLogin
from fluffy.client.results_people import Bucket, Quota, User
from fluffy.client.shell.acts import YES, confirm, prompt, say
from fluffy.client.shell.output import safe
from fluffy.client.shell.safety import shown_time
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row
from fluffy.client.shell.whens import duration_s, size

PASSWORD_STDIN = click.Option(["--password-stdin"], is_flag=True, help="Read the password from standard input.")
ROLE = click.Choice(["admin", "user", "readonly", "supernode"])
RIGHT = click.Choice(["read", "write", "admin"])


NO_LIMIT = -1


def bytes_limit(text: str) -> int:
    """The type of an option: a size, or `none`."""
    return NO_LIMIT if text == "none" else size(text)


def files_limit(text: str) -> int:
    """The type of an option: a number, or `none`."""
    if text == "none":
        return NO_LIMIT
    if not text.isdecimal() or len(text) > 15:
        raise click.BadParameter(f"{text!r} is neither a number nor 'none'")
    return int(text)


@row("people", params=(
    click.Argument(["user"], required=False), PASSWORD_STDIN,
    click.Option(["--ttl"], type=duration_s, metavar="TIME", help="How long the login lasts: 12h, 30d."),
    click.Option(["--label"], default="login", help="What 'token' shows it as."),
), examples=(
    ("login alice", "asks for the password"), ("fluffy login alice --password-stdin < secret", "from a script"),
    ("login alice --ttl 1h", "on a machine that is not yours")))
def login(session: Session, user: str | None, password_stdin: bool, ttl: float | None, label: str) -> None:
    """Become a user, by password, and stay it on this machine until 'logout'.

    What is stored is a token, not the password: in ~/.config/fluffy/logins.json, which only you can read, and it is
    sent to this cluster only. FLUFFY_TOKEN and --token go before it.
    """
    name = user or _asked(session, "user: ", secret=False)
    password = _password(session, f"password of {name}: ", stdin=password_stdin)
    client = session.client
    found = client.login(name, password, label=label, ttl_s=None if ttl is None else int(ttl))
    session.become(found.user)
    client.nodes()  # so that all peers are known
    Logins(os.environ).put(StoredLogin(
        cluster=session.cluster_uuid, cluster_name=session.cluster, peers=client.peers, user=found.user,
        token=found.token, token_id=found.token_id,
        expires=found.expires.isoformat() if found.expires is not None else ""))
    if session.output.json:
        session.output.document({"user": found.user, "role": found.role, "token_id": found.token_id,
                                 "expires": found.expires, "cluster": session.cluster})
        return
    until = f" until {shown_time(found.expires)}" if found.expires is not None else ""
    session.output.line(f"you are {safe(found.user)} ({safe(found.role)}) in cluster {safe(session.cluster)}{until}")


@row("people", examples=(("logout", "ends the login on this machine, and its token everywhere"),))
def logout(session: Session) -> None:
    """End the login that is stored on this machine; its token stops working at once."""
    logins = Logins(os.environ)
    stored = logins.for_peers(session.client.peers)
    if stored is None:
        raise Unauthenticated("nobody is logged in on this machine: the token in use comes from a file or an option, "
                              "and stays; 'token revoke' ends it")
    try:
        me = session.client.whoami()
        if me.token_id == stored.token_id:
            session.client.logout()
        else:
            session.client.revoke_token(stored.token_id, None if me.user == stored.user else stored.user)
    except (Unauthenticated, TokenNotFound):
        session.output.note("the cluster did not know that login any more; it is forgotten here")
    logins.remove(stored)
    session.forget_login()
    if session.output.json:
        session.output.document({"user": stored.user, "cluster": stored.cluster_name, "logged_out": True})
    else:
        session.output.line(f"{safe(stored.user)} is logged out of cluster {safe(stored.cluster_name)}")


@row("people", examples=(("whoami", "user, role, quota, buckets"),))
def whoami(session: Session) -> None:
    """Show who you are here, and what you may use."""
    me = session.client.whoami()
    if session.output.json:
        session.output.document(me.document)
        return
    until = f"until {shown_time(me.expires)}" if me.expires is not None else "without an end"
    for key, value in (("user", me.user), ("role", me.role), ("cluster", session.cluster),
                       ("token", f"{me.token_id}, {until}"), ("quota", quota_text(me.quota)),
                       ("buckets", ", ".join(me.buckets) or "none of your own")):
        session.output.line(f"{session.output.style(f'{key:<9}', 'cyan')} {safe(value)}")


@row("people", params=(PASSWORD_STDIN,), examples=(("password", "asks for the old and the new one"),))
def password(session: Session, password_stdin: bool) -> None:
    """Change your password. From standard input: the old one, then the new one, a line each."""
    old = _password(session, "present password: ", stdin=password_stdin)
    new = _new_password(session, stdin=password_stdin)
    document = session.client.set_password(old, new)
    if session.output.json:
        session.output.document(document)
    else:
        session.output.line("the password is changed; logins and tokens stay as they are")


@row("people", params=(
    click.Argument(["act"], required=False, type=click.Choice(["add", "change", "remove"])),
    click.Argument(["name"], required=False),
    click.Option(["--role"], type=ROLE, help="admin, user, readonly, or supernode."),
    click.Option(["--password"], is_flag=True, help="Ask for a (new) password."), PASSWORD_STDIN,
    click.Option(["--disable/--enable"], default=None, help="A disabled user can do nothing; files stay."),
    click.Option(["--give-to"], metavar="USER", help="Who gets the buckets of a user who is removed."), YES,
), examples=(
    ("users", "all of them"), ("users add alice --password", "and the bucket /alice"),
    ("users add backup --role readonly", "without a password: by token only"),
    ("users change alice --disable", "until --enable"), ("users remove alice --give-to bob", "with all buckets")))
def users(session: Session, act: str | None, name: str | None, role: str | None, password: bool, password_stdin: bool,
          disable: bool | None, give_to: str | None, yes: bool) -> None:
    """Show users, and for admins: add, change, remove them."""
    if act is None:
        _show_users(session)
        return
    if name is None:
        raise QuerySyntax(f"which user? users {act} NAME")
    secret = _new_password(session, stdin=password_stdin) if password or password_stdin else None
    document: Mapping[str, Any]
    if act == "add":
        document = session.client.add_user(name, role or "user", secret).document
        say(session, "added", name, f"{role or 'user'}; home bucket /{name}")
    elif act == "change":
        if role is None and secret is None and disable is None:
            raise QuerySyntax("what is to change? --role, --password, --disable or --enable")
        document = session.client.change_user(name, role=role, password=secret, disabled=disable)
        say(session, "changed", name)
    else:
        goes = f"the buckets go to {give_to}" if give_to else "empty buckets go too"
        confirm(session, f"user {name} is removed; {goes}. Go on?", yes=yes)
        document = session.client.remove_user(name, give_to=give_to)
        say(session, "removed", name)
    if session.output.json:
        session.output.document(document)


def _show_users(session: Session) -> None:
    found = session.client.users()
    if session.output.json:
        session.output.document({"users": [user.document for user in found]})
        return
    session.output.line(session.output.style(f"{'user':<20} {'role':<9} {'state':<9} uses", bold=True))
    for user in found:
        session.output.line(_user_line(user))


def _user_line(user: User) -> str:
    state = "disabled" if user.is_disabled else "-"
    return f"{safe(user.name):<20} {safe(user.role):<9} {state:<9} {quota_text(user.quota)}"


@row("people", params=(
    click.Argument(["bucket"]), click.Argument(["user"], required=False),
    click.Argument(["right"], required=False, type=RIGHT),
), examples=(("grant team", "who may do what in /team"), ("grant team bob read", "bob may read"),
             ("grant team '*' read", "everybody may")))
def grant(session: Session, bucket: str, user: str | None, right: str | None) -> None:
    """Let somebody read, write or administer a bucket; without a user, show who may."""
    name = _bucket(bucket)
    if user is None:
        found = session.client.grants(name)
        if session.output.json:
            session.output.document({"grants": [{"bucket": one.bucket, "user": one.user, "right": one.right}
                                                for one in found]})
        for one in found if not session.output.json else ():
            session.output.line(f"{safe(one.user):<20} {one.right}")
        return
    if right is None:
        raise QuerySyntax(f"which right? grant {name} {user} read, write or admin")
    document = session.client.grant(name, user, right)
    say(session, "granted", f"{user} {right} in /{name}")
    if session.output.json:
        session.output.document(document)


@row("people", params=(click.Argument(["bucket"]), click.Argument(["user"])),
     examples=(("revoke team bob", "bob has no right there any more"),))
def revoke(session: Session, bucket: str, user: str) -> None:
    """Take back what was granted."""
    name = _bucket(bucket)
    document = session.client.revoke(name, user)
    say(session, "revoked", f"the right of {user} in /{name}")
    if session.output.json:
        session.output.document(document)


@row("people", params=(
    click.Argument(["act"], required=False, type=click.Choice(["add", "revoke"])),
    click.Argument(["name"], required=False),
    click.Option(["--user"], metavar="NAME", help="Another user's; for admins."),
    click.Option(["--ttl"], type=duration_s, metavar="TIME", help="How long it works; by default until revoked."),
), examples=(
    ("token", "yours, without their secrets"), ("token add backup-script --ttl 90d", "shows the secret once"),
    ("token revoke 3fa2c1", "by the id that 'token' shows"), ("token revoke all", "also the one in use")))
def token(session: Session, act: str | None, name: str | None, user: str | None, ttl: float | None) -> None:
    """Show, make and revoke tokens: passwords for programs."""
    if act is None:
        found = session.client.tokens(user)
        if session.output.json:
            session.output.document({"tokens": [one.document for one in found]})
        for one in found if not session.output.json else ():
            until = shown_time(one.expires) if one.expires is not None else "never"
            used = "  (in use)" if one.document.get("current") is True else ""
            session.output.line(f"{safe(one.token_id):<20} ends {until:<19}  {safe(one.label)}{used}")
        return
    if name is None:
        raise QuerySyntax("token add LABEL, or token revoke ID")
    if act == "add":
        made = session.client.add_token(name, None if ttl is None else int(ttl), user)
        if session.output.json:
            session.output.document(made.document)
            return
        session.output.line(made.token)
        session.output.note(f"token {made.token_id}: this is the only time that it is shown")
        return
    document = session.client.revoke_token(name, user)
    say(session, "revoked", f"token {name}" if name != "all" else "all tokens")
    if session.output.json:
        session.output.document(document)


@row("people", params=(
    click.Argument(["name"], required=False), click.Option(["--bucket"], is_flag=True, help="NAME is a bucket."),
    click.Option(["--bytes", "bytes_max"], type=bytes_limit, metavar="SIZE", help="10GiB, or none."),
    click.Option(["--files", "files_max"], type=files_limit, metavar="N", help="1000, or none."),
), examples=(("quota", "what you use and may use"), ("quota alice --bytes 10GiB --files 100000", "limit a user"),
             ("quota team --bucket --bytes none", "no limit of bytes any more")))
def quota(session: Session, name: str | None, bucket: bool, bytes_max: int | None, files_max: int | None) -> None:
    """Show what a user or bucket uses and may use; with --bytes or --files, set that."""
    if bucket and name is None:
        raise QuerySyntax("which bucket? quota NAME --bucket")
    subject = {"bucket" if bucket else "user": _bucket(name) if bucket and name else name}
    if bytes_max is not None or files_max is not None:
        if name is None:
            raise QuerySyntax("whose quota? quota NAME --bytes SIZE")
        # What is not said stays as it is.
        before = session.client.quota(**subject)
        session.client.set_quota("bucket" if bucket else "user", _bucket(name) if bucket else name,
                                 bytes_max=_limit(bytes_max, before.bytes_max),
                                 files_max=_limit(files_max, before.files_max))
    found = session.client.quota(**subject)
    if session.output.json:
        session.output.document({"name": name or session.user, "subject": "bucket" if bucket else "user",
                                 "files": found.files, "bytes": found.bytes, "files_max": found.files_max,
                                 "bytes_max": found.bytes_max})
    else:
        session.output.line(f"{safe(name or session.user)}: {quota_text(found)}")


def _limit(given: int | None, before: int | None) -> int | None:
    if given is None:
        return before
    return None if given == NO_LIMIT else given


def quota_text(quota: Quota) -> str:
    """`3 of 100 files, 1.2 MiB of 10.0 GiB`."""
    files = f"{quota.files} files" if quota.files_max is None else f"{quota.files} of {quota.files_max} files"
    used = format_size(quota.bytes)
    return f"{files}, {used}" + ("" if quota.bytes_max is None else f" of {format_size(quota.bytes_max)}")


@row("people", params=(
    click.Argument(["name"], required=False), click.Option(["--owner"], metavar="USER", help="Give it to somebody."),
    click.Option(["--trash-days"], type=click.IntRange(0), metavar="N", help="How long deleted files are kept."),
    click.Option(["--versions"], type=click.IntRange(1), metavar="N", help="How many versions of a file are kept."),
    click.Option(["--copies"], type=click.IntRange(1), metavar="N", help="How many copies of its bytes there are."),
), examples=(("buckets", "all, with their rules"), ("buckets team", "one"),
             ("buckets team --versions 10 --trash-days 30", "change its rules")))
def buckets(session: Session, name: str | None, owner: str | None, trash_days: int | None, versions: int | None,
            copies: int | None) -> None:
    """Show buckets and their rules, and change them."""
    given = (("owner", owner), ("trash_days", trash_days), ("versions_max", versions), ("replication", copies))
    rules: dict[str, Any] = {key: value for key, value in given if value is not None}
    if name is None:
        if rules:
            raise QuerySyntax("which bucket? buckets NAME --versions 10")
        found = session.client.buckets()
    else:
        if rules:
            session.client.set_bucket(_bucket(name), **rules)
        found = [session.client.bucket(_bucket(name))]
    if session.output.json:
        session.output.document({"buckets": [bucket.document for bucket in found]})
        return
    session.output.line(session.output.style(
        f"{'bucket':<20} {'owner':<12} {'trash days':>10} {'versions':>8} {'copies':>6}  uses", bold=True))
    for bucket in found:
        session.output.line(_bucket_line(bucket))


def _bucket_line(bucket: Bucket) -> str:
    holds = bucket.document.get("holds")
    kept = holds if isinstance(holds, dict) else {}
    return (f"{safe(bucket.name):<20} {safe(bucket.owner):<12} {kept.get('trash_days', '-')!s:>10} "
            f"{kept.get('versions_max', '-')!s:>8} {kept.get('replication', '-')!s:>6}  {quota_text(bucket.quota)}")


@row("people", params=(
    click.Option(["--who"], metavar="USER", help="Only what this user did."),
    click.Option(["--target"], metavar="NAME", help="Only what was done to this path or name."),
    click.Option(["--refused"], is_flag=True, help="Only what was refused."),
    click.Option(["--limit"], type=click.IntRange(1), metavar="N", default=100, help="So many lines; 100 by default."),
), examples=(("audit", "what was done lately"), ("audit --refused", "who tried what")))
def audit(session: Session, who: str | None, target: str | None, refused: bool, limit: int) -> None:
    """Show the audit log, latest first: changes of rights, and what was refused."""
    lines = _first(session.client.audit(who=who, target=target, refused=refused), limit)
    if session.output.json:
        session.output.stream("audit", (line.document for line in lines))
        return
    for line in lines:
        mark = session.output.style("refused ", "red") if line.is_refused else ""
        session.output.line(f"{shown_time(line.at)}  {safe(line.who):<12} {mark}{safe(line.act)} {safe(line.target)} "
                            f"{safe(line.detail)}".rstrip())


def _first(lines: Iterable[Any], count: int) -> Iterable[Any]:
    for number, line in enumerate(lines, start=1):
        yield line
        if number >= count:
            return


def _bucket(word: str) -> str:
    """`team` and `/team/` are the same bucket."""
    name = word.strip("/")
    if not name or "/" in name:
        raise QuerySyntax(f"{word} is not a bucket: the first part of a path, like team")
    return name


def _password(session: Session, question: str, *, stdin: bool) -> str:
    if not stdin:
        return _asked(session, question, secret=True)
    line = session.stdin.readline().decode("utf-8", errors="surrogateescape").rstrip("\r\n")
    if not line:
        raise QuerySyntax("there is no password on standard input")
    return line


def _new_password(session: Session, *, stdin: bool) -> str:
    first = _password(session, "new password: ", stdin=stdin)
    if not stdin and _asked(session, "the same again: ", secret=True) != first:
        raise QuerySyntax("these were two different passwords; nothing was changed")
    return first


def _asked(session: Session, question: str, *, secret: bool) -> str:
    if not session.can_ask or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: name the user, and say --password-stdin",
                               click.get_current_context())
    try:
        return str(prompt(question, is_password=secret))
    except EOFError as error:
        raise click.Abort from error


SPECS: tuple[Spec, ...] = (login, logout, whoami, password, users, grant, revoke, token, quota, buckets, audit)
