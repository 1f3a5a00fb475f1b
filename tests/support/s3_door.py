"""The S3 door on a free port of this machine, beside the native one, and boto3 clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from fluffy.base.ids import UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_s3 import AddKey
from fluffy.gateways.http.server import HttpServer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.operation import Operations
from fluffy.gateways.s3.operations import MORE_HEADERS, OPERATIONS
from fluffy.services.s3_keys import KeyPair
from tests.support.local_log import header
from tests.support.native_door import Door, running_door

T = TypeVar("T")


@dataclass(slots=True)
class S3:
    """A running S3 door; `native` is the native one over the same state."""

    native: Door
    door: S3Door
    port: int
    threads: ThreadPoolExecutor

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def add_key(self, user: str, access_key: str, secret: str = "a secret key") -> KeyPair:
        """Give a user a key pair, through the log."""
        pair = KeyPair(access_key, secret)
        found = self.native.cluster.reader.read(lambda db: queries.user_by_name(db, user))
        assert found is not None
        sealed = self.door.keys().seal(pair)
        outcome = await self.native.desk.propose(AddKey(header(UserNo(1)), user, access_key, sealed, "test"))
        self.native.desk.gate.learned(outcome.seq)
        return pair

    def client(self, pair: KeyPair | None, **more: Any) -> Any:
        """A boto3 client; None: one without a credential."""
        return client(self.url, pair, **more)

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work of a client in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)


def client(url: str, pair: KeyPair | None, **more: Any) -> Any:
    from botocore import UNSIGNED
    config: dict[str, Any] = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"},
                              "max_pool_connections": 50, **more}
    if pair is None:
        config["signature_version"] = UNSIGNED
    return boto3.session.Session().client(
        "s3", endpoint_url=url, region_name="us-east-1", config=Config(**config),
        aws_access_key_id=None if pair is None else pair.access_key,
        aws_secret_access_key=None if pair is None else pair.secret)


@asynccontextmanager
async def running_s3(folder: Path, **more: Any) -> AsyncIterator[S3]:
    """Start everything, and end it in order."""
    async with running_door(folder, **more) as native:
        with ThreadPoolExecutor(4) as threads, ThreadPoolExecutor(16) as clients:
            door = S3Door(native.desk, Operations(OPERATIONS), threads, more_headers=MORE_HEADERS)
            server: HttpServer[S3Call] = HttpServer(door, threads, native.bugs.append)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(server.run())
                await asyncio.sleep(0)
                listener = await asyncio.get_running_loop().create_server(server.new_connection, "127.0.0.1", 0)
                try:
                    yield S3(native, door, listener.sockets[0].getsockname()[1], clients)
                finally:
                    listener.close()
                    await server.drain(1.0)
                    task.cancel()


def failure(work: Callable[[], object]) -> tuple[int, str]:
    """(status, code) of the error that `work` must end in."""
    try:
        work()
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    raise AssertionError("it should have been refused")
