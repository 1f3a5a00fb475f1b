"""Three bare machines on this one, for drills that do what a page says, as root, command by command.

Each is a mount namespace with its own /etc, /opt, /usr/local and /var/lib; together they have one network namespace in
which 10.0.0.1 to 10.0.0.3 are addresses. What a machine has and this one cannot give is stood in for by small programs:
`systemctl` starts and ends what the unit files say, `apt-get` has installed everything already, and pip takes wheels
from a folder, because there is no way out of the network. `enter` first.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

NUMBERS = {"one": 1, "two": 2, "three": 3}
INSIDE = "FLUFFY_INSIDE_BARE_MACHINES"
COMMAND_S = 180.0

_SYSTEMCTL = """#!/usr/bin/python3
# systemctl, as far as the page needs it: one simple service a unit, User, Environment, EnvironmentFile, ExecStart.
import os, pathlib, pwd, re, shlex, signal, subprocess, sys, time
words = [word for word in sys.argv[1:] if not word.startswith("-")]
act, units = words[0], words[1:]
runs = pathlib.Path("/etc/stand-in"); runs.mkdir(exist_ok=True)
def pid_of(unit):
    try:
        pid = int((runs / unit).read_text())
        return pid if pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" else None
    except (OSError, ValueError):
        return None
def stop(unit):
    pid = pid_of(unit)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        for _ in range(600):
            if pid_of(unit) is None: break
            time.sleep(0.1)
        else:
            sys.exit(f"{unit} does not end")
def start(unit):
    if pid_of(unit) is not None: return
    name, _, instance = unit.partition("@")
    lines = [line for line in pathlib.Path(f"/etc/systemd/system/{name}@.service").read_text().splitlines()
             if "=" in line and not line.startswith("#")]
    keys = {}
    for line in lines:
        key, _, value = line.replace("%i", instance).partition("=")
        keys.setdefault(key, []).append(value)
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    environ.update(text.split("=", 1) for text in keys.get("Environment", []))
    for path in keys.get("EnvironmentFile", []):
        file = pathlib.Path(path.lstrip("-"))
        if file.exists():
            environ.update(line.split("=", 1) for line in file.read_text().split())
    user = pwd.getpwnam(keys["User"][0])
    state = pathlib.Path("/var/lib") / keys["StateDirectory"][0]
    state.mkdir(exist_ok=True); state.chmod(0o700); os.chown(state, user.pw_uid, user.pw_gid)
    log = open(runs / f"{unit}.log", "ab")
    process = subprocess.Popen(shlex.split(keys["ExecStart"][0]), env=environ, cwd=keys["WorkingDirectory"][0],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                               user=user.pw_uid, group=user.pw_gid, extra_groups=[], umask=0o077)
    (runs / unit).write_text(str(process.pid))
for unit in units:
    if act in ("stop", "restart"): stop(unit)
    if act in ("start", "restart") or (act == "enable" and "--now" in sys.argv): start(unit)
    if act == "is-active" and pid_of(unit) is None: sys.exit(3)
if act not in ("daemon-reload", "enable", "start", "stop", "restart", "is-active"):
    sys.exit(f"the stand-in for systemctl knows no {act}")
"""
_STAND_INS = {"systemctl": _SYSTEMCTL, "apt-get": "#!/bin/sh\nexit 0\n"}


def can_make_machines() -> bool:
    """Root, with namespaces and overlays."""
    if os.geteuid() != 0:
        return False
    probe = ("mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w; "
             "mount -t overlay o -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc")
    return subprocess.run(["unshare", "--mount", "--net", "sh", "-ec", probe], capture_output=True,
                          check=False).returncode == 0


def enter() -> None:
    """Run this program again in a network of its own, with the machines' addresses; returns there only."""
    if os.environ.get(INSIDE) is None:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--propagation", "private", *sys.orig_argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for number in NUMBERS.values():
        subprocess.run(["ip", "address", "add", f"10.0.0.{number}/32", "dev", "lo"], check=True)


class CommandFailed(Exception):
    """A command of the page did not do what the page says."""


class Machine:
    """`home`: where root stands on it. Its commands begin with an empty environment."""

    def __init__(self, name: str, folder: Path, wheels: Path) -> None:
        self.name = name
        self.number = NUMBERS[name]
        self.home = folder / "root"
        self.opt = folder / "opt"
        self._folder = folder
        self._wheels = wheels
        for part in ("root", "bin", "opt", "disk", "small"):
            (folder / part).mkdir(parents=True)
        folder.chmod(0o755)
        for program, text in _STAND_INS.items():
            (folder / "bin" / program).write_text(text)
            (folder / "bin" / program).chmod(0o755)
        small = folder / "small"
        script = f"mount -t tmpfs tmpfs {small}; "
        for place in ("etc", "var/lib", "usr/local"):
            here = small / place.replace("/", "-")
            script += (f"mkdir {here} {here}-work; mount -t overlay overlay -o lowerdir=/{place},upperdir={here},"
                       f"workdir={here}-work /{place}; ")
        script += (f"mkdir -p /var/lib/fluffy; mount --bind {folder}/disk /var/lib/fluffy; mount --bind {folder}/opt "
                   "/opt; echo ready; exec sleep infinity")
        self._holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script],
                                        stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            raise CommandFailed(f"no machine {name} could be made here")

    def run(self, command: str, *, given: str = "", code: int | None = 0, more: Mapping[str, str] | None = None) -> str:
        """What `bash` printed for the command, its errors included. `code`: its exit code; None: any."""
        environ = {"HOME": str(self.home), "PATH": f"{self._folder}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self._wheels), "LANG": "C.UTF-8", **(more or {})}
        done = subprocess.run(["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--wd=/", "bash", "-euc",
                               f"cd {shlex.quote(str(self.home))}\n{command}"], input=given, text=True, env=environ,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND_S, check=False)
        if code is not None and done.returncode != code:
            raise CommandFailed(f"on machine {self.name}: exit {done.returncode}\n{command}\n{done.stdout[-3000:]}")
        return done.stdout

    def kill(self) -> None:
        """The node's processes end at once, as when the machine loses power."""
        pid = int(self.run(f"cat /etc/stand-in/fluffy@{self.name}"))
        os.kill(pid, signal.SIGKILL)  # its children end with it
        self.run(f"while [ -d /proc/{pid} ] && ! grep -q '^State:.Z' /proc/{pid}/status; do sleep 0.05; done")

    def lose_disk(self) -> None:
        self.run("rm -rf /var/lib/fluffy/* /var/lib/fluffy/.[!.]*", code=None)

    def log(self) -> str:
        return self.run(f"tail -c 3000 /etc/stand-in/fluffy@{self.name}.log", code=None)

    def close(self) -> None:
        self.run(f"systemctl stop fluffy@{self.name}", code=None)
        self._holder.kill()
        self._holder.wait()
