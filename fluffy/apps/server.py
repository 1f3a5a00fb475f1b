"""`python server.py NAME`: one node of a cluster, in the foreground.

The node is a handful of processes: the log (alone, so that nothing delays a heartbeat), the gateways (one per two
cores, sharing the ports) and the keeper. This one starts them, watches them and ends them; it stores nothing.
"""

from __future__ import annotations

import logging
import os
import resource
import shlex
import socket
import sys
import time
from pathlib import Path

import click

from fluffy.apps.children import Backoff, Child, ChildSpec
from fluffy.apps.identity import load_or_create_identity
from fluffy.apps.joining import join_cluster
from fluffy.apps.node_lock import node_lock
from fluffy.apps.returning import return_if_welcome
from fluffy.apps.settings import NodeSettings, Settings, check_for_birth, load
from fluffy.apps.supervisor import RESTART, STOP_SIGNALS, Supervisor, signal_inbox
from fluffy.base.checks import EXIT_REFUSED_TO_START
from fluffy.base.errors import StartRefused
from fluffy.base.units import MIB
from fluffy.drivers.logs import setup_logging
from fluffy.wire.iptable import format_host

log = logging.getLogger(__name__)

# For tests and drills: further options of the keeper, as `python -m fluffy.apps.keeper_process --help` tells them.
KEEPER_OPTIONS_ENV = "FLUFFY_KEEPER_OPTIONS"
# A gateway finishes the requests it has begun; a long download is cut then (clients resume).
GATEWAY_DRAIN_S = 15.0
KEEPER_DRAIN_S = 5.0
# The log hands over what it leads and syncs; a checkpoint being written is thrown away.
LOG_DRAIN_S = 10.0
# One connection or open chunk is one descriptor; the usual soft limit of 1,024 is a relic of select(2).
DESCRIPTORS_MAX = 65_536
# Freed memory that a process of the node keeps at hand (glibc's M_TRIM_THRESHOLD).
MALLOC_KEPT_BYTES = 32 * MIB
# Another program's outgoing connection may sit on a port for a moment; a server sits there longer.
PORT_WAIT_S = 3.0


def child_specs(settings: Settings, node: NodeSettings) -> tuple[ChildSpec, ...]:
    """The processes of this node, the log first because the others wait for it."""

    def spec(name: str, module: str, *extra: str, stage: int, drain_s: float) -> ChildSpec:
        config = ("--config", str(settings.path)) if settings.from_file else ()
        argv = (sys.executable, "-m", module, node.name, *config, *extra)
        return ChildSpec(name, argv, stage, drain_s)

    gateways = (
        spec(f"gateway-{worker}", "fluffy.apps.gateway_process", *(("--data-port",) if worker == 0 else ()),
             "--worker", str(worker), stage=0, drain_s=GATEWAY_DRAIN_S)
        for worker in range(settings.cluster.workers))
    return (spec("log", "fluffy.apps.log_process", stage=2, drain_s=LOG_DRAIN_S), *gateways,
            spec("keeper", "fluffy.apps.keeper_process", *shlex.split(os.environ.get(KEEPER_OPTIONS_ENV, "")), stage=1,
                 drain_s=KEEPER_DRAIN_S))


def run_node(name: str, config: Path | None, join: str | None = None) -> int:
    """Run the node until it is told to stop; returns the exit status. Raises StartRefused with what to do.

    `join`: HOST:PORT of a member that is asked to let this machine in, if no cluster has yet.
    """
    settings = load(config)
    node = settings.node(name)
    setup_logging("server", node.name)
    _prepare_folder(node)
    with signal_inbox() as inbox, node_lock(node.dir, node.name) as lock_fd:
        identity = load_or_create_identity(settings, node, joins=join is not None)
        if identity.cluster_uuid is None and join is None:
            check_for_birth(settings)
        _prepare_surroundings()
        check_ports_free(node)
        if identity.cluster_uuid is None and join is not None and not join_cluster(
                settings, node, identity, join, lambda rest_s: bool(STOP_SIGNALS.intersection(inbox.wait(rest_s))),
                lambda text: click.echo(f"server.py: node {node.name}: {text}", err=True)):
            return 0
        if identity.cluster_uuid is None and join is None and return_if_welcome(settings, node, identity):
            click.echo(f"server.py: node {node.name} is a member again, with a new disk", err=True)
        log.info("server.starting", extra={"disk_uuid": identity.disk_uuid, "cluster_uuid": identity.cluster_uuid,
                                           "folder": node.dir, "fsync": settings.cluster.fsync})
        children = [Child(spec, node.dir / "run", Backoff(), lock_fd) for spec in child_specs(settings, node)]
        status = Supervisor(children).run(inbox)
    if status == EXIT_REFUSED_TO_START:
        raise StartRefused(f"node {node.name} stopped: one of its processes refuses to start; the reason stands above")
    return status


@click.command(help="Run the node NAME of the configuration in the foreground. SIGTERM drains and ends it.")
@click.argument("name", envvar="FLUFFY_NODE")
@click.option("--config", type=click.Path(path_type=Path), help="default: FLUFFY_CONFIG, then config.yaml")
@click.option("--join", metavar="HOST:PORT", envvar="FLUFFY_JOIN",
              help="add this machine to the cluster of the node with this HTTP address (or FLUFFY_JOIN)")
def main(name: str, config: Path | None, join: str | None) -> None:
    try:
        status = run_node(name, config, join)
    except StartRefused as error:
        click.echo(f"server.py: {error.message}", err=True)
        sys.exit(EXIT_REFUSED_TO_START)
    if status == RESTART:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, sys.orig_argv)
    sys.exit(status)


def _prepare_folder(node: NodeSettings) -> None:
    """The node's folder, for its owner only: it holds everybody's files, and a socket that obeys who can open it."""
    run_dir = node.dir / "run"
    try:
        node.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        run_dir.mkdir(exist_ok=True, mode=0o700)
        run_dir.chmod(0o700)
    except OSError as error:
        raise StartRefused(f"the folder {node.dir} cannot be made or used: {error.strerror}") from error


def check_ports_free(node: NodeSettings) -> None:
    """Say whose port is taken now, instead of letting a child fail at it again and again."""
    end_s = time.monotonic() + PORT_WAIT_S
    for door, port in (("http", node.http), ("raft", node.raft), ("data", node.data), ("s3", node.s3)):
        while port is not None and (problem := bind_problem(node.host, port)) is not None:
            if time.monotonic() >= end_s:
                raise StartRefused(f"node {node.name} cannot use {format_host(node.host)}:{port} (its {door} port): "
                                   f"{problem}; stop the program that has it, or change the address", port=port)
            time.sleep(0.1)


def bind_problem(host: str, port: int) -> str | None:
    """Why this address cannot be listened at now; None: it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _prepare_surroundings() -> None:
    """What the children inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(hard, DESCRIPTORS_MAX)) if hard != resource.RLIM_INFINITY else DESCRIPTORS_MAX
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # The children run `-m fluffy.apps...`: let them find the same code wherever they were started.
    root = str(Path(__file__).resolve().parents[2])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *paths])
    # Many threads, each with its own malloc arena, would keep freed memory: two arenas are enough for one core's work.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    # Groups and messages of a few hundred KiB come and go all the time. By default each is mapped, faulted in page by
    # page and unmapped again: a tenth of the log process's time. At most this much freed memory is kept per arena.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(MALLOC_KEPT_BYTES // 4))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(MALLOC_KEPT_BYTES))


if __name__ == "__main__":
    main()
