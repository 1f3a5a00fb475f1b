"""The gateway process of a node: the HTTP door, the S3 door, and in the first worker the data port.

Several workers share the ports of both doors (SO_REUSEPORT). SIGTERM: no new connections, what has begun is finished
within a bound, exit 0; a second SIGTERM stops at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable

import uvloop

from fluffy.apps.gateway_parts import Front, data_path, make_front, tls_context
from fluffy.apps.process import run_process
from fluffy.apps.returning import wait_for_welcome
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.apps.supervisor import tell_supervisor
from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import StartRefused
from fluffy.drivers.metric_sockets import telling_metrics
from fluffy.gateways.http.server import HttpServer
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.s3.call import S3Call
from fluffy.services.groups import first_failure

log = logging.getLogger("fluffy.gateway")

# The supervisor waits 15 s: a gateway that has to cut what is left still ends by itself.
DRAIN_S = 12.0
BACKLOG = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-port", action="store_true", help="also listen for the other nodes (one worker does)")
    parser.add_argument("--worker", type=int, default=0, help="which of the node's gateways this is, for its metrics")


def serve(settings: Settings, node: NodeSettings, arguments: argparse.Namespace) -> None:
    """Run until SIGTERM."""
    try:
        uvloop.run(_Gateway(settings, node, arguments).run())
    except BaseExceptionGroup as group:
        raise first_failure(group) from group


class _Gateway:
    def __init__(self, settings: Settings, node: NodeSettings, arguments: argparse.Namespace) -> None:
        self._settings = settings
        self._node = node
        self._owns_data_port = bool(arguments.data_port)
        self._worker = int(arguments.worker)
        self._bug: BaseException | None = None

    async def run(self) -> None:
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        front = make_front(self._settings, self._node, self._worker, lambda: server.connections + s3.connections)
        server: HttpServer[Call] = HttpServer(front.desk, front.senders, self._on_bug)
        s3: HttpServer[S3Call] = HttpServer(front.s3, front.senders, self._on_bug)
        metrics = front.desk.metrics
        async with (telling_metrics(self._node.dir / "run", f"gateway-{self._worker}", metrics.samples),
                    asyncio.TaskGroup() as group):
            tasks = [group.create_task(job) for job in (
                front.desk.gate.run(), front.desk.pulse.run(), front.desk.access_log.run(), server.run(), s3.run(),
                self._open_data_path(front), self._return_when_welcome(front))]
            listeners = [await self._listen(server.new_connection, "HTTP", self._node.http)]
            if self._node.s3 is not None:
                listeners.append(await self._listen(s3.new_connection, "S3", self._node.s3))
            log.info("gateway.started", extra={"port": self._node.http, "s3": self._node.s3, "worker": self._worker})
            await self._stop.wait()
            for listener in listeners:
                listener.close()
            drain_s = 0.0 if self._bug else DRAIN_S
            await asyncio.gather(server.drain(drain_s), s3.drain(drain_s))
            for task in tasks:
                task.cancel()
        await front.log.close()
        log.info("gateway.stopped")
        if self._bug is not None:
            raise self._bug

    async def _listen(self, protocol: Callable[[], asyncio.BaseProtocol], door: str,
                      port: int) -> asyncio.AbstractServer:
        """Open the port of a door, after its server can take connections."""
        await asyncio.sleep(0)
        host = self._node.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setblocking(False)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise StartRefused(f"the {door} port {host}:{port} cannot be opened: {error.strerror}") from error
        return await asyncio.get_running_loop().create_server(
            protocol, sock=listening, backlog=BACKLOG, ssl=tls_context(self._settings))

    async def _open_data_path(self, front: Front) -> None:
        """Give the desk its data path when the cluster is born, and keep it open until the end."""
        async with data_path(self._settings, self._node, front, owns_data_port=self._owns_data_port) as data:
            front.desk.data = data
            log.info("gateway.ready", extra={"node_no": data.node_no, "data_port": self._owns_data_port})
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                front.desk.data = None

    async def _return_when_welcome(self, front: Front) -> None:
        """A node with an emptied disk starts anew when the cluster lets it in. One gateway asks for all."""
        if self._owns_data_port and await wait_for_welcome(
                self._settings, self._node, lambda: front.desk.data is not None):
            log.info("gateway.welcome")
            tell_supervisor(self._node.dir)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            os._exit(0)
        self._stop.set()

    def _on_bug(self, error: BaseException) -> None:
        self._bug = error if isinstance(error, InvariantBroken) else InvariantBroken(str(error))
        self._stop.set()


def main() -> None:
    run_process("gateway", serve, add_arguments)


if __name__ == "__main__":
    main()
