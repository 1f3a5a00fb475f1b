"""What is typed into the terminal for the groups sync, safety, people and cluster: each command at least once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.client.terminal_steps import Prepare, Step, local, steps


def gone(name: str) -> Prepare:
    """A local file that is deleted."""
    def remove(folder: Path) -> None:
        (folder / name).unlink()
    return remove


TREE = local({f"src/{name}": name.encode() * 100 for name in ("a.py", "sub/b.py", "sub/ü c.py", "日本/d")})

SYNC = steps(
    Step("push src", before=TREE),
    "push src",
    Step("push src --dry-run", before=local({"src/a.py": b"changed", "src/new.py": b"new"})),
    "push src",
    "tree src",
    Step("push src --delete", before=gone("src/new.py"), answers=((r"\[y/N\]", "n"),)),
    Step("push src --delete", answers=((r"\[y/N\]", "y"),)),
    Step("pull src", before=gone("src/sub/b.py")),
    Step("pull src", before=local({"src/a.py": b"mine, nowhere else"})),
    Step("sync src", before=local({"src/from-here": b"here"})),
    "append --text theirs src/a.py",
    Step("sync src", before=local({"src/a.py": b"mine"})),
    "push src/a.py",
    "sync src --delete",
    "import src copies/",
    "import src/a.py copies/one.py",
    "export copies/src out/src",
    "export copies/one.py out/",
    "pull nothing",
    "push nothing",
    "pull src --from copies/src -n",
    "sync src --json",
)

SAFETY = steps(
    Step("upload plan.txt", before=local({"plan.txt": b"first\n"})),
    Step("upload plan.txt", before=local({"plan.txt": b"second\n"})),
    "versions plan.txt",
    "restore -n plan.txt",
    "restore plan.txt",
    "cat plan.txt",
    "restore plan.txt --generation 2",
    "restore plan.txt --generation 77",
    "rm plan.txt",
    "trash",
    "undelete plan.txt",
    "undelete plan.txt",
    "upload plan.txt --to old/plan.txt",
    "rm old/plan.txt",
    "trash old | undelete",
    "rm old/plan.txt",
    "trash --empty -n",
    Step("trash --empty", answers=((r"\[y/N\]", "n"),)),
    Step("trash --empty", answers=((r"\[y/N\]", "y"),)),
    "trash --empty --yes",
    "lock plan.txt --note 'until noon'",
    "locks",
    "update plan.txt plan.txt",
    "unlock plan.txt",
    "unlock plan.txt",
    "lock --shared /admin/old --ttl 5m",
    Step("unlock --break /admin/old", answers=((r"\[y/N\]", "y"),)),
    "locks /",
    "verify plan.txt",
    "verify --each-peer plan.txt",
    "tag plan.txt year=2026 draft=",
    "tag -d draft plan.txt",
    "find . -name 'plan*' | tag seen=yes",
    "share plan.txt --ttl 5m",
    "share nothing.txt",
)

PEOPLE = steps(
    "whoami",
    Step("users add bob --password", answers=(("new password:", "a long pass phrase"),
                                              ("the same again:", "a long pass phrase"))),
    Step("users add carol --password", answers=(("new password:", "one pass phrase"),
                                                ("the same again:", "another phrase"))),
    "users add bob",
    "users",
    "grant admin bob",
    "grant admin bob read",
    "grant admin",
    "quota bob --bytes 1MiB --files 100",
    "buckets",
    "buckets bob --versions 5 --trash-days 3",
    "token add backup --ttl 1h --user bob",
    "token --user bob",
    "token revoke all --user bob",
    Step("login bob", answers=(("password of bob:", "wrong"),)),
    Step("login bob", answers=(("password of bob:", "a long pass phrase"),)),
    "whoami",
    "pwd",
    "quota",
    "mkdir /admin/not-mine",
    "users add eve",
    Step("password", answers=(("present password:", "a long pass phrase"), ("new password:", "a newer pass phrase"),
                              ("the same again:", "a newer pass phrase"))),
    "logout",
    "logout",
    "revoke admin bob",
    "users change bob --disable",
    "audit --who admin --limit 3",
    Step("users remove bob", answers=((r"\[y/N\]", "y"),)),
    "key",
)

CLUSTER = steps(
    "status",
    "nodes",
    "jobs",
    "explain plan.txt",
    "doctor --stop nine",
    "peer",
    "checkpoint",
    "recover two",
    Step("drain two", answers=((r"\[y/N\]", "y"),)),
    "scrub",
    "repair quiet",
    "quarantine",
    Step("remove nine", answers=((r"\[y/N\]", "y"),)),
    "admin",
    "watch --since 0 --no-follow --limit 2",
    "bench --large 1 --small 10",
)

SAME_IN_ALL_RUNS: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\(([\d.]+ [KMGT]?i?B) in \d+\.\d s(?:, \d+ files/s)?\)"), r"(\1 in N s)"),
    (re.compile(r'"(seconds|hashed)": [\d.]+'), r'"\1": N'),
    (re.compile(r"/\S+/here/"), "~/here/"),
    (re.compile(r"/replaced/[\w-]+"), "/replaced/RUN"),
    (re.compile(r"^token [\w-]{32}$"), "token SECRET"),
    (re.compile(r"^[\w-]{32}$"), "SECRET"),
    (re.compile(r"signed=\S+"), "signed=SIGNATURE"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "0123456789abcdef"),
    (re.compile(r"^ +\d+( +\S+ \w+  deleted )"), r"  N\1"),
    (re.compile(r"(would delete for good) \d+"), r"\1 N"),
    (re.compile(r"^ +\d+  \d\d:\d\d:\d\d  "), "  SEQ  TIME  "),
    (re.compile(r"^(one|two|three)\*? +(up|joining|suspect|down) .*"), r"\1 …"),
    (re.compile(r"^(leader|files|chunks|copies|log) {2,}.*"), r"\1 …"),
    (re.compile(r"\bnode (one|two|three) has a checkpoint at position \d+"), "node X has a checkpoint at position N"),
    (re.compile(r"\b(answered by +|\(node )(one|two|three)\b"), r"\1X"),
    (re.compile(r"\b\d+ files, [\d.]+ [KMG]?i?B"), "N files, N bytes"),
    (re.compile(r"^from here: .*"), "from here: …"),
    (re.compile(r"\bfluffy \d[\w.+-]*$"), "fluffy N"),
    (re.compile(r"^(\w+) +[\d,.]+ (ms|\S+/s)(?: .*)?$"), r"\1 N \2"),
]
