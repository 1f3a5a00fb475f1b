"""docs/OPERATIONS.md by the letter: three bare machines, TLS, upgrades and every disaster, all commands from the page.

    python -m tests.faults.newcomer            (root, with namespaces; some minutes)
    python -m tests.faults.newcomer --until start

The fenced commands of the page are executed in its order, each on the machine that the page says, with an empty
environment (tests/support/bare_machines.py); only names, paths and addresses are filled in. After each chapter the
files are what they were and `fluffy doctor` finds nothing wrong. So a command of the page that fails, asks for what
the page does not tell, or leaves something behind that stops the next one, ends the drill.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.bare_machines import CommandFailed, Machine, can_make_machines, enter
from tests.support.cluster import ROOT
from tests.support.page_blocks import blocks, lines

WAIT_S = 120.0
WHEEL = "fluffy-0.1.0-py3-none-any.whl"


class Newcomer:
    """Somebody with the page and three machines. `first` is where the page says "anywhere"."""

    def __init__(self, folder: Path, wheels: Path, *, is_quick: bool) -> None:
        self.is_quick = is_quick
        self.source = folder / "source"
        self.page = self.source / "docs/OPERATIONS.md"
        self.machines = {name: Machine(name, folder / name, wheels) for name in ("one", "two", "three")}
        self.first = self.machines["one"]
        self.sums = ""

    # -- what the page says

    def block(self, heading: str, number: int = 0, language: str = "sh") -> str:
        text = blocks(self.page, heading, language)[number]
        return text.replace("/path/to/the/source", str(self.source))

    def lines(self, heading: str, *wanted: str) -> list[str]:
        """The commands below a heading, which begin with these words: a page that has others needs another drill."""
        found = [line for block in blocks(self.page, heading) for line in lines(block)]
        assert len(found) == len(wanted) and all(map(str.startswith, found, wanted)), f"{heading}: {found}"
        return found

    # -- the chapters, in the page's order

    def prepare(self) -> None:
        self.first.run(self.block("1. Prepare"))
        (self.first.home / "config.yaml").write_text(self.block("1. Prepare", language="yaml"))
        for name, machine in self.machines.items():
            here = "" if machine is self.first else f"{machine.home}/"
            for file in (WHEEL, "fluffy@.service", "config.yaml", "alpha.secret", "admin.token", "ca.pem"):
                self.first.run(f"cp {file} {here}" if here else "true")
            self.first.run(f"cp {machine.number}.pem {machine.home}/node.pem; cp {machine.number}.key "
                           f"{machine.home}/node.key", more={"NAME": name})

    def install(self) -> None:
        block = self.block("2. Install")
        self.first.run(block)
        if self.is_quick:
            block = "\n".join(line for line in block.splitlines()
                              if not line.startswith(("python3 -m venv", "/opt/fluffy/bin/pip")))
        for machine in list(self.machines.values())[1:]:
            if self.is_quick:
                self.first.run(f"cp -a /opt/. {machine.opt}/")
            machine.run(block)

    def start(self) -> None:
        for name, machine in self.machines.items():
            machine.run(self.block("3. Start").replace("fluffy@one", f"fluffy@{name}"))
        curl, doctor, users = lines(blocks(self.page, "3. Start")[1])
        self.wait(lambda: '"ready"' in self.first.run(curl, code=None), "ready")
        self.wait_well(doctor)
        self.first.run(users.replace("--password", "--password-stdin"), given="a password of alice\n")  # no terminal
        self.first.run("head -c 30000000 /dev/urandom > large; mkdir tree; for n in $(seq 40); do echo $n > tree/$n; "
                       "done; fluffy upload large /admin/large; fluffy push tree")
        self.sums = self.first.run("sha256sum large; cd tree; sha256sum *")

    def machine_dies(self) -> None:
        recover, *again = self.lines("A machine dies", "fluffy recover", "install ", "systemctl restart")
        three = self.machines["three"]
        three.kill()
        three.run("systemctl start fluffy@three")
        self.check("it starts again")
        three.kill()
        three.lose_disk()
        self.first.run(recover)
        for line in again:
            three.run(line)
        self.check("its disk is gone")

    def upgrade(self) -> None:
        install, restart = self.lines("Upgrade, and new certificates", "/opt/fluffy/bin/pip", "fluffy admin rolling")
        for machine in self.machines.values():
            machine.run(install)
            machine.run("cp /etc/fluffy/node.pem /etc/fluffy/node.key .")
        self.first.run(restart)
        self.check("all restarted")

    def watch(self) -> None:
        doctor, backup = self.lines("Watch it, back it up", "fluffy --json doctor", "fluffy admin backup")
        assert "somebody should look" not in self.first.run(doctor)
        for line in self.lines("Watching it by Prometheus", "fluffy users add", "fluffy token add", "curl "):
            said = self.first.run(line)
        assert 'fluffy_process_up{node="two",process="log"} 1.0' in said, said[-2000:]
        self.first.run("mkdir -p /var/backups")
        self.first.run(backup.replace("/var/backups", str(self.first.home)))

    def readmit(self) -> None:
        reset, recover, start = self.lines("Readmit a node", "fluffy admin reset-node two", "fluffy recover two",
                                           "python server.py two")
        two = self.machines["two"]
        two.kill()
        two.run("rm -rf /var/lib/fluffy/two/log")
        two.run("systemctl start fluffy@two")
        self.wait(lambda: two.run("systemctl is-active fluffy@two", code=None, more={}) == "" and "reset-node" in
                  two.log(), "it refuses to start")
        two.run(reset)
        self.first.run(recover)
        self.as_unit(two, start)
        self.check("readmitted")

    def back_up(self) -> None:
        backup, digest = self.lines("Back up", "fluffy admin backup", "fluffy admin digest")
        self.first.run(backup.replace("/safe/place", str(self.first.home)))
        self.digest = self.first.run(digest)

    def force(self) -> None:
        show, force, start, reset = self.lines(
            "Force a new cluster", "fluffy admin force-new-cluster two -n", "fluffy admin force-new-cluster two",
            "python server.py two", "fluffy admin reset-node three --yes")
        one, two, three = self.machines.values()
        for machine in (one, two, three):
            machine.kill()
        one.lose_disk()
        two.run(show)
        two.run(f"{force} --yes")
        self.as_unit(two, start)
        three.run(reset)
        self.first = two
        for machine in (three, one):
            self.as_unit(machine, f"python server.py {machine.name} --join 10.0.0.2:7101")
        self.check("a new cluster")
        self.first = one
        self.check("seen by the one that came last")

    def restore(self) -> None:
        reset, start, restore, digest = self.lines(
            "Restore a backup", "fluffy admin reset-node NAME", "python server.py NAME", "fluffy admin restore /safe",
            "fluffy admin digest")
        self.anew(reset, start)
        self.first.run(restore.replace("/safe/place", str(self.first.home)))
        assert self.first.run(digest) == self.digest, "the restored tree is another one"
        self.check("restored")

    def restore_from_storage(self) -> None:
        reset, start, look, restore = self.lines(
            "Restore from storage", "fluffy admin reset-node NAME", "python server.py NAME",
            "fluffy admin restore --from-storage -n", "fluffy admin restore --from-storage")
        time.sleep(10)  # manifests lag some seconds behind, as the page says
        self.anew(reset, start)
        self.first.run(look)
        self.first.run(f"{restore} --yes")
        self.check("restored from storage")

    # -- helpers

    def anew(self, reset: str, start: str) -> None:
        for machine in self.machines.values():
            machine.kill()
            machine.run("rm -f /etc/fluffy/*.env")
            machine.run(reset.replace("NAME", machine.name))
        for machine in self.machines.values():
            self.as_unit(machine, start.replace("NAME", machine.name))
        self.wait(lambda: "alpha" in self.first.run("fluffy status", code=None), "a new cluster is born")

    def as_unit(self, machine: Machine, command: str) -> None:
        """`python server.py NAME --join HOST:PORT` as chapter 3 says it is done on such machines."""
        words = command.split()
        assert words[:3] == ["python", "server.py", machine.name], command
        if "--join" in words:
            address = words[-1].replace("HOST:HTTP_PORT", f"10.0.0.{self.first.number}:7101")
            machine.run(f"echo FLUFFY_JOIN={address} > /etc/fluffy/{machine.name}.env")
        machine.run(f"systemctl restart fluffy@{machine.name}")

    def check(self, what: str) -> None:
        """Nothing is wrong, and the files are what they were."""
        self.wait_well("fluffy doctor")
        got = self.first.run("rm -rf back; mkdir back; fluffy download /admin/large back/large >/dev/null; fluffy pull "
                             "back/tree --from /admin/tree >/dev/null; cd back; sha256sum large; cd tree; sha256sum *")
        assert got == self.sums, f"{what}: the files are not as they were\n{got}"

    def wait_well(self, doctor: str) -> None:
        """Until nothing is wrong and every node takes part."""
        def is_well() -> bool:
            status = self.first.run("fluffy --json status", code=None)
            if self.first.run(f"{doctor} >/dev/null && echo well", code=None) != "well\n":
                return False
            nodes = json.loads(status)["nodes"]
            return len(nodes) == 3 and all(node["state"] == "up" and node["voter"] for node in nodes)

        self.wait(is_well, "all is well")

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + WAIT_S
        while not holds():
            if time.monotonic() > end_s:
                said = self.first.run("fluffy doctor; fluffy status", code=None)
                logs = "\n".join(f"-- {name}\n{machine.log()}" for name, machine in self.machines.items())
                raise CommandFailed(f"not within {WAIT_S:g} s: {what}\n{said}\n{logs}")
            time.sleep(0.5)


CHAPTERS = ("prepare", "install", "start", "machine_dies", "upgrade", "watch", "readmit", "back_up", "force", "restore",
            "restore_from_storage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", choices=CHAPTERS, default=CHAPTERS[-1], help="end after this chapter")
    parser.add_argument("--wheels", type=Path, help="wheels of all dependencies (default: fetched from the index)")
    parser.add_argument("--quick", action="store_true", help="pip works on one machine; the others get a copy")
    given = parser.parse_args()
    if not can_make_machines():
        sys.exit("this needs root, network and mount namespaces, and overlay file systems")
    wheels = given.wheels or _fetch_wheels()
    if given.wheels is None:
        sys.orig_argv += ["--wheels", str(wheels)]
    enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and end the machines
    with tempfile.TemporaryDirectory(prefix="fluffy-newcomer-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "source")], check=True)
        newcomer = Newcomer(folder, wheels, is_quick=given.quick)
        try:
            for chapter in CHAPTERS[:CHAPTERS.index(given.until) + 1]:
                began_s = time.monotonic()
                getattr(newcomer, chapter)()
                print(f"{chapter}: as the page says, {time.monotonic() - began_s:.0f} s", flush=True)
        except (CommandFailed, AssertionError) as error:
            sys.exit(f"BROKEN: {error}")
        finally:
            for machine in newcomer.machines.values():
                machine.close()
    print("promises kept")


def _fetch_wheels() -> Path:
    """Dependencies, and what builds a wheel: in the machines' network there is no index."""
    wheels = Path(tempfile.gettempdir()) / "fluffy-newcomer-wheels"
    wheels.mkdir(exist_ok=True)
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(wheels / "venv")], check=True)
    subprocess.run([str(wheels / "venv/bin/pip"), "wheel", "--quiet", "--wheel-dir", str(wheels), str(ROOT),
                    "setuptools>=68", "wheel"], check=True)
    for own in wheels.glob("fluffy-*.whl"):
        own.unlink()
    return wheels


if __name__ == "__main__":
    main()
