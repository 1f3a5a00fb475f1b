"""`fluffy up` and `fluffy down`: a whole cluster on this machine, as real as any, for trying out and for tests.

`up` writes a configuration (or takes the one that is there), starts each node with `server.py` in a session of its own,
and waits until all are ready. `down` ends exactly the processes that hold these nodes' folders.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from fluffy.apps.local_clusters import note_cluster
from fluffy.apps.local_config import NAMES, Wanted, add_node, prepare_config
from fluffy.apps.local_nodes import (
    NodeProcess,
    end_processes,
    majority_runs,
    running_pid,
    start_node,
    wait_ready,
    why_not_ready,
)
from fluffy.apps.local_supernode import start_supernode, supernode_pid
from fluffy.apps.server import bind_problem, check_ports_free
from fluffy.apps.settings import CONFIG_ENV, Settings, find_config, load
from fluffy.base.errors import ConfigIllegal, StartRefused
from fluffy.client.shell.table import Spec
from fluffy.wire.iptable import format_host

# Until every /readyz says 200: a cold start takes about 3 s, a busy machine several times that.
READY_WAIT_S = 60.0
TOKEN_NAME = "admin.token"
_REPL = "from fluffy.apps.client import main; main()"


@click.command(name="up", help="Start a whole cluster on this machine and open the REPL; leaving it stops the cluster.")
@click.option("--nodes", type=click.IntRange(1, len(NAMES)),
              help="how many nodes (default 3); those behind the seventh join without a vote")
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False),
              help="the cluster's folder (default: that of the config.yaml that is found)")
@click.option("--base-port", type=click.IntRange(1, 65_000), help="node 1 serves HTTP on this + 101 (default 7000)")
@click.option("--name", help="the cluster's name (default alpha)")
@click.option("--no-supernode", is_flag=True, help="without the supernode")
@click.option("--detach", is_flag=True, help="leave the nodes running and return when they are ready")
@click.option("--node", help="start only this node of the cluster")
@click.option("--add", metavar="NAME", help="add a node of this name to the running cluster")
@click.option("--join", metavar="HOST:PORT", help="with --node: let it join the cluster of the node there")
def up_command(nodes: int | None, folder: Path | None, base_port: int | None, name: str | None, no_supernode: bool,
               detach: bool, node: str | None, add: str | None, join: str | None) -> None:
    wanted = Wanted(nodes, base_port, name, with_supernode=not no_supernode)
    if (add is not None and node is not None) or (join is not None and node is None):
        raise click.UsageError("--add stands alone, and --join with --node")
    try:
        settings = load(prepare_config(folder, wanted))
        if add is not None:
            node, join = add, _a_running_peer(settings)
            settings = load(add_node(settings.path, add))
        if node is not None:
            settings.node(node)
    except StartRefused as error:
        raise click.ClickException(error.message) from error
    note_cluster(os.environ, settings.path)
    names: list[str] = [node] if node is not None else list(settings.nodes)
    _start(settings, names, join, alive_is_enough=node is not None and join is None)
    if node is None:
        settings = _grow(settings, nodes or 0)
        names = list(settings.nodes)
    show_token(settings)
    if node is None and not no_supernode:
        _start_supernode(settings, [settings.node(name).dir for name in names])
    if detach:
        click.echo(f"{_what_is_up(settings, node)}; talk to it with: {_client_line(settings)}")
        return
    try:
        sys.exit(_repl(settings))
    finally:
        _stop([*_running(settings, names), *_running_supernode(settings)])


@click.command(name="down", help="Stop the nodes of a cluster on this machine: drain them, then end them.")
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False),
              help="the cluster's folder (default: that of the config.yaml that is found)")
def down_command(folder: Path | None) -> None:
    path = folder / "config.yaml" if folder is not None else find_config(of_machine=False)
    if path is None or not path.is_file():
        raise click.ClickException(f"there is no cluster here: {path or 'config.yaml'} does not exist")
    try:
        settings = load(path)
    except StartRefused as error:
        raise click.ClickException(error.message) from error
    pids = _running(settings, settings.nodes)
    _stop([*pids, *_running_supernode(settings)])
    stopped = f"{len(pids)} node{'s' if len(pids) > 1 else ''}" if pids else "no node was running, so none"
    click.echo(f"cluster {settings.cluster.name}: {stopped} stopped")


def _a_running_peer(settings: Settings) -> str:
    for node in settings.nodes.values():
        if running_pid(node.dir) is not None:
            return f"{node.host}:{node.http}"
    raise ConfigIllegal(f"no node of the cluster {settings.cluster.name} runs here; start it first: fluffy up --detach")


def _start(settings: Settings, names: Iterable[str], join: str | None = None, *, alive_is_enough: bool = False) -> None:
    """Start what does not run yet, and wait. A failure ends what was started here and says why.

    `alive_is_enough`: a node that is not ready in time stays, for it may wait for machines that nobody knows here.
    """
    started: list[NodeProcess] = []
    check_ports(settings, names)
    for name in names:
        node = settings.node(name)
        if running_pid(node.dir) is None:
            started.append(start_node(settings, node, join))
        else:
            click.echo(f"node {name} runs already", err=True)
    problem: str | None = "interrupted"
    try:
        problem = wait_ready(settings, [settings.node(name) for name in names], started, READY_WAIT_S,
                             lambda text: click.echo(text, err=True), alive_is_enough=alive_is_enough)
    finally:
        if problem is not None:
            _stop([process.process.pid for process in started if process.process.poll() is None])
    if problem is not None:
        raise click.ClickException(problem)


def _grow(settings: Settings, wanted: int) -> Settings:
    """Let the nodes join that a cluster cannot be born with. When one does not, all are ended again."""
    for name in NAMES[len(settings.nodes):wanted]:
        settings = load(add_node(settings.path, name))
        try:
            _start(settings, [name], _a_running_peer(settings))
        except click.ClickException:
            _stop(_running(settings, settings.nodes))
            raise
    return settings


def show_token(settings: Settings) -> None:
    """`admin.token` beside the configuration leads to the admin's token, wherever that configuration keeps it."""
    shown, token = settings.path.with_name(TOKEN_NAME), settings.cluster.admin_token_file
    if os.path.lexists(shown) or not token.is_file():
        return
    try:
        shown.symlink_to(os.path.relpath(token, shown.parent))
    except OSError as error:
        click.echo(f"{shown} could not be made ({error.strerror}); the admin's token is in {token}", err=True)


def check_ports(settings: Settings, names: Iterable[str]) -> None:
    """Whoever has a port of ours would answer in our nodes' place, and be taken for them."""
    try:
        for name in names:
            node = settings.node(name)
            if running_pid(node.dir) is None:
                check_ports_free(node)
    except StartRefused as error:
        raise click.ClickException(f"{error.message}; or start this cluster in another folder with another "
                                   "--base-port") from error


def _start_supernode(settings: Settings, node_dirs: list[Path]) -> None:
    """Start the supernode when the configuration has one. When that fails, the nodes are ended again."""
    supernode = settings.supernode
    if supernode is None:
        return
    if supernode_pid(supernode) is not None:
        click.echo("the supernode runs already", err=True)
        return
    taken = bind_problem(supernode.host, supernode.http)
    trouble = None if taken is None else (
        f"the supernode cannot use {format_host(supernode.host)}:{supernode.http}: {taken}; stop the program that has "
        "it, change supernode.http, or say --no-supernode")
    trouble = trouble or start_supernode(settings, supernode)
    if trouble is not None:
        _stop([pid for folder in node_dirs if (pid := running_pid(folder)) is not None])
        raise click.ClickException(trouble)


def _running_supernode(settings: Settings) -> list[int]:
    pid = None if settings.supernode is None else supernode_pid(settings.supernode)
    return [] if pid is None else [pid]


def _running(settings: Settings, names: Iterable[str]) -> list[int]:
    pids = (running_pid(settings.node(name).dir) for name in names)
    return [pid for pid in pids if pid is not None]


def _stop(pids: list[int]) -> None:
    stuck = end_processes(pids)
    if stuck:
        raise click.ClickException(f"these processes do not end: {', '.join(map(str, stuck))}")


def _repl(settings: Settings) -> int:
    """Run the REPL until the user leaves it. Ctrl-C is the REPL's; SIGTERM or a lost terminal ends all in order."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    repl = subprocess.Popen([sys.executable, "-c", _REPL], env=os.environ | {CONFIG_ENV: str(settings.path)},
                            preexec_fn=_listen_to_ctrl_c)
    try:
        return repl.wait()
    finally:
        if repl.poll() is None:
            repl.terminate()
            repl.wait()


def _listen_to_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _what_is_up(settings: Settings, node: str | None) -> str:
    if node is None:
        return f"the cluster {settings.cluster.name} is up"
    why_not = why_not_ready(settings.node(node))
    if why_not is None:
        return f"node {node} is up"
    if majority_runs(settings):
        return f"node {node} runs, but is not ready: {why_not}"
    return f"node {node} runs, but is not ready: it waits until more than half of the nodes run"


def _client_line(settings: Settings) -> str:
    """A command that works where the user stands: the one installed beside this Python, by its shortest path."""
    found = find_config()
    here = found is not None and found.resolve() == settings.path.resolve()
    program = Path(sys.executable).with_name("fluffy")
    command = os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)
    command = command if program.is_file() else "fluffy"
    return command if here else f"{CONFIG_ENV}={settings.path} {command}"


SPECS: tuple[Spec, ...] = (Spec("up", "machine", up_command), Spec("down", "machine", down_command))
