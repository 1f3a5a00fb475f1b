"""The command about key pairs: credentials of programs that speak S3."""

from __future__ import annotations

import click

from fluffy.base.errors import QuerySyntax
from fluffy.client.shell.acts import say
from fluffy.client.shell.output import safe
from fluffy.client.shell.safety import shown_time
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row


@row("people", params=(
    click.Argument(["act"], required=False, type=click.Choice(["list", "create", "delete"])),
    click.Argument(["name"], required=False),
    click.Option(["--user"], metavar="NAME", help="Another user's; for admins."),
    click.Option(["--access-key"], metavar="KEY", help="Bring along a pair from elsewhere, with --secret-stdin."),
    click.Option(["--secret-stdin"], is_flag=True, help="Read the secret of that pair from standard input."),
), examples=(
    ("key", "yours, without their secrets"), ("key create backup", "shows the secret once"),
    ("fluffy key create restic --access-key AKIAOLD --secret-stdin < secret", "clients keep their pair"),
    ("key delete FLHQ3XK2J7T6V5N4M2ZY", "by the access key that 'key' shows")))
def key(session: Session, act: str | None, name: str | None, user: str | None, access_key: str | None,
        secret_stdin: bool) -> None:
    """Show, make and end key pairs: credentials for programs that speak S3."""
    if secret_stdin != (access_key is not None) or (access_key is not None and act != "create"):
        raise QuerySyntax("a pair from elsewhere: key create --access-key KEY --secret-stdin")
    if act in (None, "list"):
        _list(session, user)
    elif act == "create":
        secret = None
        if access_key is not None:
            secret = session.stdin.readline().decode("utf-8", errors="surrogateescape").rstrip("\r\n")
        made = session.client.add_key(name or "", user, access_key=access_key, secret=secret)
        if session.output.json:
            session.output.document(made.document)
            return
        session.output.line(f"access key  {made.access_key}")
        if secret is None:
            session.output.line(f"secret      {made.secret}")
            session.output.note("this is the only time that the secret is shown")
    elif name is None:
        raise QuerySyntax("which one? key delete ACCESS_KEY")
    else:
        document = session.client.remove_key(name, user)
        say(session, "deleted", f"key {name}")
        if session.output.json:
            session.output.document(document)


def _list(session: Session, user: str | None) -> None:
    found = session.client.keys(user)
    if session.output.json:
        session.output.document({"keys": [one.document for one in found]})
        return
    for one in found:
        made = shown_time(one.created) if one.created is not None else "-"
        session.output.line(f"{safe(one.access_key):<24} made {made:<19}  {safe(one.label)}".rstrip())


SPECS: tuple[Spec, ...] = (key,)
