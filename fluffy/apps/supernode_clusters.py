"""The clusters of a supernode: those of the configuration, and those that were joined while it ran.

What must outlive the state folder stands beside it, in `DIR.keep/`: the clusters that were joined with their tokens,
the operator's token, what is owed to clusters that were away. The folder itself can be thrown away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fluffy.apps.cluster_secret import given_admin_token, write_private_once
from fluffy.apps.settings import Settings, SupernodeSettings
from fluffy.apps.supernode_folder import OPERATOR_NAME, keep_folder
from fluffy.base.errors import ClusterNotFound, ClusterUnreachable, ConfigIllegal, Conflict, FluffyError
from fluffy.client.api import AsyncFluffy
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.gateways.supernode.joined import JoinedCluster, JoinedClusters
from fluffy.ports_federation import Catalog
from fluffy.services.federation.follower import ClusterFollower

log = logging.getLogger("fluffy.supernode")

JOINED_NAME = "joined.json"
TOKEN_BYTES = 32
TOKEN_LABEL = "supernode"
# A cluster of the same configuration may be born later than its supernode starts.
BOOTSTRAP_EVERY_S = 1.0
BOOTSTRAP_PATIENCE_S = 5.0
TOKEN_CHARS_MAX = 512


def operator_token(folder: Path) -> str:
    """The operator's token from its file, which is made if it does not exist."""
    path = folder / OPERATOR_NAME
    if not path.exists():
        write_private_once(path, secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    return path.read_text(encoding="ascii").strip()


class TokenFile:
    """A token, read when it is needed and when it changed. `missing`: what to say while there is none."""

    def __init__(self, path: Path, missing: str) -> None:
        self.path = path
        self._missing = missing
        self._read_at: tuple[int, int] | None = None
        self._text = ""

    def __call__(self) -> str:
        """Raises ClusterUnreachable while there is none."""
        try:
            stat = self.path.stat()
            if self._read_at != (stat.st_mtime_ns, stat.st_ino):
                self._text = self.path.read_text(encoding="ascii", errors="replace").strip()
                self._read_at = (stat.st_mtime_ns, stat.st_ino)
        except OSError as error:
            raise ClusterUnreachable(f"{self._missing} ({self.path})") from error
        if not (0 < len(self._text) <= TOKEN_CHARS_MAX and self._text.isascii() and self._text.isprintable()):
            raise ClusterUnreachable(f"{self.path} holds no token")
        return self._text


class Clusters:
    """Joins, follows, leaves. Implements `gateways.supernode.joining.Joining`. `run` must be running."""

    def __init__(self, settings: Settings, supernode: SupernodeSettings, catalog: Catalog,
                 context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._supernode = supernode
        self._catalog = catalog
        self._context = context
        self._folder = keep_folder(supernode)
        self._group: asyncio.TaskGroup | None = None
        self.joined = JoinedClusters(SystemClock())
        self.operator_token = operator_token(self._folder)

    async def run(self) -> None:
        """The parent of all followers, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for cluster in self._supernode.clusters:
                file = TokenFile(cluster.token_file, f"there is no token for cluster {cluster.name} yet: make one "
                                 "with 'fluffy admin federate SUPERNODE_URL' at that cluster")
                self._add(cluster.name, "config", cluster.peers, file)
                if cluster.name == self._settings.cluster.name and not file.path.exists():
                    group.create_task(self._bootstrap(file, cluster.peers))
            for line in self._read():
                if line["name"] not in self.joined.by_name:
                    self._add(line["name"], "joined", line["peers"], _fixed(line["token"]))
            await self._forget_others()
            await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        for cluster in self.joined.by_name.values():
            await cluster.client.close()

    async def join(self, name: str, peers: Sequence[str], token: str) -> None:
        old = self.joined.by_name.get(name)
        if old is not None and old.source == "config":
            old.client.learn(peers)
            file = next(one.token_file for one in self._supernode.clusters if one.name == name)
            await asyncio.to_thread(_replace, file, token + "\n")
            return
        others = [line for line in self._read() if line["name"] != name]
        await asyncio.to_thread(self._write, [*others, {"name": name, "peers": list(peers), "token": token}])
        if old is not None:
            await self._stop(name)
        self._add(name, "joined", peers, _fixed(token))
        log.info("cluster.joined", extra={"cluster": name})

    async def leave(self, name: str) -> None:
        old = self.joined.by_name.get(name)
        if old is None:
            raise ClusterNotFound(cluster=name)
        if old.source == "config":
            raise Conflict(f"cluster {name} is one of the configuration; remove it there", cluster=name)
        await asyncio.to_thread(self._write, [line for line in self._read() if line["name"] != name])
        await self._stop(name)
        await self._catalog.forget(name)
        log.info("cluster.left", extra={"cluster": name})

    def _add(self, name: str, source: str, peers: Sequence[str], token: Any) -> None:
        if self._group is None:
            raise ClusterUnreachable("the supernode is still starting")
        client = ClusterHttp(name, peers, token, self._context)
        follower = ClusterFollower(name, client, self._catalog, self.joined.clock)
        self.joined.add(JoinedCluster(name, source, client, follower, self._group.create_task(follower.run())))

    async def _stop(self, name: str) -> None:
        old = self.joined.remove(name)
        if old is not None and old.task is not None:
            old.task.cancel()
            await asyncio.wait([old.task])
            await old.client.close()

    async def _forget_others(self) -> None:
        """What the catalog has of clusters that are not joined any more."""
        try:
            for known in await self._catalog.clusters():
                if known.name not in self.joined.by_name:
                    await self._catalog.forget(known.name)
        except FluffyError as error:
            log.warning("catalog.failed", extra={"reason": error.message})

    async def _bootstrap(self, file: TokenFile, peers: Sequence[str]) -> None:
        """Of the cluster of the same configuration, whose admin's token lies here: make the supernode's own."""
        while not file.path.exists():
            admin_file = self._settings.cluster.admin_token_file
            try:
                token = given_admin_token() or admin_file.read_text(encoding="ascii").strip()
                async with AsyncFluffy(peers, token, patience_s=BOOTSTRAP_PATIENCE_S, ca_file=self._settings.tls.ca
                                       ) as admin:
                    write_private_once(file.path, await admin.supernode_token(TOKEN_LABEL) + "\n")
                log.info("supernode.credential_made", extra={"path": file.path})
            except OSError:
                await asyncio.sleep(BOOTSTRAP_EVERY_S)
            except FluffyError as error:
                log.info("supernode.credential_waits", extra={"reason": error.message})
                await asyncio.sleep(BOOTSTRAP_EVERY_S)

    def _read(self) -> list[dict[str, Any]]:
        path = self._folder / JOINED_NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return [{"name": str(line["name"]), "peers": [str(peer) for peer in line["peers"]],
                     "token": str(line["token"])} for line in found]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigIllegal(f"{path} is not as this program wrote it; mend it or move it away") from error

    def _write(self, lines: list[dict[str, Any]]) -> None:
        _replace(self._folder / JOINED_NAME, json.dumps(lines, indent=1))


def _replace(path: Path, text: str) -> None:
    """Durably, for the owner's eyes only, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)


def _fixed(token: str) -> Any:
    return lambda: token
