"""What is typed into the terminal: one script a group, each command of the group at least once."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.client.terminal_scripts_care import CLUSTER, PEOPLE, SAFETY, SYNC
from tests.client.terminal_steps import Step, local, steps


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "endless")


def _until_somebody_reads(folder: Path) -> None:
    """From the pipe without an end; it is held open, so that the reader waits."""
    until_s = time.monotonic() + 30
    while True:
        try:
            os.open(folder / "endless", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return
        except OSError:
            assert time.monotonic() < until_s, "nobody reads"
            time.sleep(0.02)


FILES = steps(
    "help upload",
    "mkdir f",
    "cd f",
    Step("upload hello.txt", before=local({"hello.txt": b"hello\nworld\n"})),
    Step("put 'two words.txt' ü.txt 日本.txt docs/", before=local({
        name: name.encode() * 100 for name in ("two words.txt", "ü.txt", "日本.txt")})),
    Step("upload -r tree --to docs", before=local({
        f"tree/{name}": b"x" * 2000 for name in ("a", "sub/b", "sub/c d")})),
    Step("update hello.txt hello.txt", before=local({"hello.txt": b"hello\nnew world\n"})),
    "cat hello.txt",
    "head -n 1 hello.txt",
    "head -c 3 docs/*",
    'touch "it\'s new" --json',
    "touch -- -dash 100% '[x]' 'a*b'",
    "append --text 'one more line' hello.txt",
    "append hello.txt log.txt",
    "cat hello.txt log.txt",
    "ls",
    Step("ls", columns=30),
    Step("ls -l", columns=100),
    "ls docs/*.txt",
    "ls 'a*b' \\[x]",
    "ls --at -1d",
    "list",
    "search hello",
    "search '*.txt' --type text/ --max-size 1KiB --since -1h",
    "search nothing-like-this",
    "info hello.txt",
    "stat docs --json",
    Step("edit hello.txt"),
    "cat hello.txt",
    "download hello.txt",
    "get hello.txt copy.txt",
    "get -r docs docs-here",
    "download log.txt -",
    Step("cat he", answers=(("cat he$", "Tab"), (r"cat hello\.txt", ""))),
    "ls | head -n 2",
    "search '*.txt' | info --json",
    "find docs -type f | head -n 1 | cat | head -c 5",
    "cat hello.txt | head -n 1 | upload first.txt",
    "cat hello.txt > elsewhere",
    "cat nothing.txt",
    "rm first.txt 100%",
    "rm -n *.txt",
    Step("rm -r docs", answers=((r"\[y/N\]", "n"),)),
    Step("rm -r docs", answers=((r"\[y/N\]", "y"),)),
    Step("delete --purge log.txt", answers=((r"\[y/N\]", "y"),)),
    Step("upload endless", before=_fifo, during=_until_somebody_reads, answers=(("upload endless", "C-c"),)),
    "ls",
    "cat none docs hello.txt",
    "uplaod x",
)

FOLDERS = steps(
    "pwd",
    "mkdir -p d/deep/er",
    "cd d",
    "pwd",
    "cd deep/er",
    "cd ..",
    "cd -",
    "cd ~",
    "cd d",
    Step("upload -r tree --to .", before=local({
        "tree/a.log": b"x" * 10, "tree/sub/b.log": b"x" * 3000, "tree/sub/ü c.txt": b"x" * 200, "tree/日本/-d": b"x"})),
    "tree",
    "tree -L 1 tree",
    "du",
    "du -sh *",
    "du -h -d 3 tree --json",
    "find",
    "find tree -name '*.log' -size +1KiB",
    "find . -type d -maxdepth 1",
    "find . -newer -1h -type f -l",
    "mv tree/a.log b.log",
    "cp b.log c.log",
    "cp b.log c.log",
    "cp -f b.log c.log",
    "cp -r tree/sub copy",
    "cp -n -r tree other",
    "mv b.log c.log deep/",
    "mv tree tree/sub",
    "mv tree renamed",
    "find . -name '*.log' | mv logs/",
    "find . -name '*.txt' | cp texts/",
    "tree",
    "diff --from -1d",
    "rmdir deep",
    "rmdir -n deep/er",
    "rmdir deep/er deep",
    "mkdir logs",
    "cd nowhere",
    "cd /",
    "ls",
    "cd ~/d",
    Step("rm -r ~/d/*", answers=((r"\[y/N\]", "y"),)),
    "ls",
    "exit",
)

SESSION = steps(
    "help",
    "help find",
    "help nonsense",
    "",
    "# a comment",
    "ls 'open",
    "ls --peer x",
    "quit",
)

# In this order, in sessions of their own, all as the same admin of one cluster.
SCRIPTS: dict[str, tuple[Step, ...]] = {
    "files": FILES, "folders": FOLDERS, "sync": SYNC, "safety": SAFETY, "people": PEOPLE, "cluster": CLUSTER,
    "session": SESSION}
# The groups of which every command must be in a script.
SHOWN = ("files", "folders", "sync", "safety", "people", "cluster", "session")
