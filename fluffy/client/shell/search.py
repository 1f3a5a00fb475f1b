"""Finding things: `search` asks the cluster's index for names, `find` walks a folder with predicates."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from fluffy.base.errors import IsFile
from fluffy.client.results import Entry, entry_of
from fluffy.client.shell.acts import PIPED_PATHS
from fluffy.client.shell.listing import entry_of_info, long_columns, show_entries
from fluffy.client.shell.output import safe
from fluffy.client.shell.session import Session
from fluffy.client.shell.table import Spec, row
from fluffy.client.shell.walking import DEPTH_MAX, walk
from fluffy.client.shell.whens import size, until, when
from fluffy.client.verbs.asking import PAGE_ENTRIES

LIMIT = click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="At most so many.")
LONG = click.Option(["-l", "--long"], is_flag=True, help="With size, time and owner.")


@row("files", gives="paths", params=(
    click.Argument(["query"], required=False, default=""),
    click.Option(["--tag"], metavar="KEY[=VALUE]", multiple=True, help="Has this tag; several: has all of them."),
    click.Option(["--type", "content_type"], metavar="TYPE", help="A content type, or its beginning: image/."),
    click.Option(["--owner"], metavar="NAME", help="Only what this user owns."),
    click.Option(["--bucket"], metavar="NAME", help="Only in this bucket."),
    click.Option(["--min-size"], type=size, metavar="SIZE", help="At least so large: 10MiB."),
    click.Option(["--max-size"], type=size, metavar="SIZE", help="At most so large."),
    click.Option(["--since"], type=when, metavar="TIME", help="Changed at or after: -7d, 2026-07-01."),
    click.Option(["--until"], type=until, metavar="TIME", help="Changed at or before; a day is meant whole."),
    click.Option(["--everywhere"], is_flag=True, help="In all clusters that the supernode has joined."),
    click.Option(["--cluster"], metavar="NAME", help="In that cluster, by the supernode; several joined by commas."),
    click.Option(["--fresh"], is_flag=True, help="With --everywhere: ask the clusters themselves."),
    LIMIT, LONG,
), examples=(
    ("search report", "every file and folder with 'report' in its name, in letters of either case"),
    ("search '*.pdf' --bucket docs --since -7d", "a pattern, in one bucket, of the last week"),
    ("search --tag year=2026 --type image/ --min-size 1MiB", "only by what is known about files"),
    ("search draft --owner alice | rm -n", "what another command would do with all that is found"),
    ("search report --everywhere", "in all clusters, as CLUSTER:/path"),
))
def search(session: Session, query: str, tag: tuple[str, ...], content_type: str | None, owner: str | None,
           bucket: str | None, min_size: int | None, max_size: int | None, since: str | None, until: str | None,
           everywhere: bool, cluster: str | None, fresh: bool, limit: int | None, long: bool) -> None:
    """Find files and folders anywhere by words or patterns of their names, tag, type, owner, size and time."""
    filters = (tag, content_type, owner, bucket, min_size, max_size, since, until)
    if not query and not any(value not in (None, ()) for value in filters):
        raise click.UsageError("say what to look for: words, a pattern, or a filter", click.get_current_context())
    if everywhere or cluster is not None:
        _everywhere(session, limit, long, query=query, cluster=cluster, fresh=fresh, bucket=bucket, owner=owner,
                    type=content_type, tag="&".join(tag) or None, min_size=min_size, max_size=max_size, since=since,
                    until=until)
        return
    tags = {key: value if equals else None for key, equals, value in (word.partition("=") for word in tag)}
    hits = session.client.search(
        query, bucket=bucket, owner=owner, type=content_type, tags=tags or None, min_size=min_size,
        max_size=max_size, since=since, until=until)
    show_entries(session, islice(hits, limit), key="hits", paths=True, long=long)


def _everywhere(session: Session, limit: int | None, long: bool, *, query: str, **filters: Any) -> None:
    """Hits of all clusters as `CLUSTER:/path`, and a note for each cluster that the answer does not speak for."""
    left, after, hits, coverage = limit, None, [], []
    while left is None or left > 0:
        page = session.client.search_everywhere_page(query, after=after, limit=min(left or PAGE_ENTRIES, PAGE_ENTRIES),
                                                     **filters)
        found = [hit for hit in page.get("hits", ()) if isinstance(hit, dict)]
        coverage = page.get("coverage", [])
        if session.output.json:
            hits += found
        for hit in () if session.output.json else found:
            entry = entry_of(hit)
            slash = "/" if entry.is_folder else ""
            place = safe(f"{hit.get('cluster')}:{entry.path}") + slash
            session.output.line(f"{long_columns(entry)}  {place}" if long else place)
        left, after = None if left is None else left - len(found), page.get("after")
        if after is None:
            break
    if session.output.json:
        session.output.document({"hits": hits, "coverage": coverage})
        return
    for line in coverage:
        if line.get("state") != "fresh":
            as_of = f" as of {line['fresh_as_of']}" if line.get("fresh_as_of") else ""
            reason = f": {line['reason']}" if line.get("reason") else ""
            session.output.note(f"cluster {safe(str(line.get('cluster')))} is {line.get('state')}{as_of}{safe(reason)}")


Test = Callable[[Entry], bool]


@dataclass(frozen=True, slots=True)
class SizeTest:
    """`+10MiB` is larger, `-1KiB` smaller, `512` just so many bytes; as the old `find` has it."""

    sign: str
    size_bytes: int

    def __call__(self, entry: Entry) -> bool:
        if entry.is_folder:
            return False
        if self.sign == "+":
            return entry.size > self.size_bytes
        return entry.size < self.size_bytes if self.sign == "-" else entry.size == self.size_bytes


def size_test_of(text: str) -> SizeTest:
    """The type of an option. Raises BadParameter."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    return SizeTest(sign, size(text.removeprefix(sign)))


@row("folders", takes="remote", gives="paths", params=(
    PIPED_PATHS,
    click.Option(["--name", "-name"], metavar="PATTERN", help="The name fits, like '*.log'."),
    click.Option(["--iname", "-iname"], metavar="PATTERN", help="The same in letters of either case."),
    click.Option(["--type", "-type", "kind"], type=click.Choice(["f", "d"]), help="f: only files; d: only folders."),
    click.Option(["--size", "-size", "size_test"], type=size_test_of, metavar="[+-]SIZE",
                 help="+10MiB: larger than; -1KiB: smaller; 512: just so many bytes."),
    click.Option(["--newer", "-newer"], type=when, metavar="TIME", help="Changed after: -2h, 2026-07-01."),
    click.Option(["--older", "-older"], type=when, metavar="TIME", help="Changed before."),
    click.Option(["--owner", "-owner"], metavar="NAME", help="Owned by this user."),
    click.Option(["--depth", "-maxdepth"], type=click.IntRange(0, DEPTH_MAX), metavar="N",
                 help="Not deeper than this."),
    LIMIT, LONG,
), examples=(
    ("find", "all below the present folder"), ("find docs -name '*.pdf' -size +10MiB", "large documents"),
    ("find /admin -type d -maxdepth 1", "the folders right below"),
    ("find . -name '*.tmp' -older -30d | rm", "away with old leftovers"),
    ("find photos -newer 2026-07-01 | tag album=summer", "another command for each"),
))
def find(session: Session, paths: tuple[str, ...], name: str | None, iname: str | None, kind: str | None,
         size_test: SizeTest | None, newer: str | None, older: str | None, owner: str | None, depth: int | None,
         limit: int | None, long: bool) -> None:
    """Walk folders and show what passes all tests, whole paths, each folder before what is in it."""
    tests: list[Test] = [size_test] if size_test is not None else []
    if name is not None:
        tests.append(_name_test(name, 0))
    if iname is not None:
        tests.append(_name_test(iname, re.IGNORECASE))
    if kind is not None:
        tests.append(lambda entry: entry.is_folder == (kind == "d"))
    if newer is not None:
        tests.append(_time_test(newer, later=True))
    if older is not None:
        tests.append(_time_test(older, later=False))
    if owner is not None:
        tests.append(lambda entry: entry.owner == owner)
    depth_max = DEPTH_MAX if depth is None else depth
    found = (entry for path in (session.remote(paths) if paths else [session.cwd])
             for entry in _entries(session, path, depth_max) if all(test(entry) for test in tests))
    show_entries(session, islice(found, limit), paths=True, long=long)


def _entries(session: Session, path: str, depth_max: int) -> Iterator[Entry]:
    """All below a folder; a file itself."""
    try:
        yield from (found.entry for found in walk(session, path, depth_max=depth_max))
    except IsFile:
        yield entry_of_info(session.client.info(path))


def _name_test(pattern: str, flags: int) -> Test:
    wanted = re.compile(fnmatch.translate(pattern), re.DOTALL | flags)
    return lambda entry: wanted.match(entry.name) is not None


def _time_test(moment: str, *, later: bool) -> Test:
    limit = datetime.fromisoformat(moment).astimezone(UTC)

    def test(entry: Entry) -> bool:
        return entry.modified is not None and (entry.modified > limit if later else entry.modified < limit)
    return test


SPECS: tuple[Spec, ...] = (search, find)
