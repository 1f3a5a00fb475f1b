"""Secrets that the client keeps for its user between commands: logins, and tokens of locks.

Each is one JSON file, mode 0600, replaced by a rename. A login belongs to a cluster and is offered to that cluster's
peers only: a token is a password, and no business of anybody else's. Of locks those that a one-shot command took are
kept, so that `unlock PATH` finds them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluffy.base.errors import LocalFileFailed
from fluffy.client.credentials import check_token, user_config_folder, user_state_folder
from fluffy.client.sources import local_failure

# More than a person has clusters, or holds locks; beyond it the oldest go.
LOGINS_MAX = 100
LOCKS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """`peers`: URLs of the cluster's nodes when it was stored. `expires`: RFC 3339, empty: never."""

    cluster: str
    cluster_name: str
    peers: tuple[str, ...]
    user: str
    token: str
    token_id: str
    expires: str

    @property
    def is_over(self) -> bool:
        try:
            return bool(self.expires) and datetime.fromisoformat(self.expires) <= datetime.now(UTC)
        except ValueError:
            return False  # a time that nobody can read: the cluster will say


class Logins:
    """`logins.json` in the user's config folder. Raises LocalFileFailed when it cannot be read or written."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = user_config_folder(environ) / "logins.json"

    def for_peers(self, peers: Iterable[str]) -> StoredLogin | None:
        """The login for the cluster that one of these peers belonged to; None when there is none that still holds."""
        wanted = {_plain(peer) for peer in peers}
        return next((login for login in self._read()
                     if not login.is_over and wanted & {_plain(peer) for peer in login.peers}), None)

    def all(self) -> list[StoredLogin]:
        """Those that still hold, the newest first."""
        return [login for login in self._read() if not login.is_over]

    def put(self, login: StoredLogin) -> None:
        """Keep this one; another one for the same cluster goes."""
        others = [old for old in self._read() if old.cluster != login.cluster and not old.is_over]
        self._write([login, *others][:LOGINS_MAX])

    def remove(self, gone: StoredLogin) -> None:
        self._write([login for login in self._read() if login != gone])

    def _read(self) -> list[StoredLogin]:
        found = []
        for entry in _read_list(self.path):
            try:
                login = StoredLogin(**entry)
                check_token(login.token, str(self.path))
                found.append(replace(login, peers=tuple(map(str, login.peers))))
            except (TypeError, AttributeError) as error:
                raise _not_ours(self.path) from error
        return found

    def _write(self, logins: Iterable[StoredLogin]) -> None:
        _write_list(self.path, [asdict(login) for login in logins])


class LockBook:
    """`locks.json` in the user's state folder: by cluster, user and path, the token that `lock` was given."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = user_state_folder(environ) / "locks.json"

    def token_of(self, cluster: str, user: str, path: str) -> str | None:
        return next((str(line["token"]) for line in _read_list(self._path)
                     if (line.get("cluster"), line.get("user"), line.get("path")) == (cluster, user, path)), None)

    def note(self, cluster: str, user: str, path: str, token: str) -> None:
        line = {"cluster": cluster, "user": user, "path": path, "token": token}
        _write_list(self._path, [line, *_read_list(self._path)][:LOCKS_MAX])

    def forget(self, token: str) -> None:
        lines = _read_list(self._path)
        left = [line for line in lines if line.get("token") != token]
        if len(left) < len(lines):
            _write_list(self._path, left)


def _plain(peer: str) -> str:
    return peer.replace("//localhost:", "//127.0.0.1:")


def _read_list(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise local_failure(path, error) from error
    except ValueError as error:
        raise _not_ours(path) from error
    if not isinstance(found, list) or not all(isinstance(line, dict) for line in found):
        raise _not_ours(path)
    return found


def _not_ours(path: Path) -> LocalFileFailed:
    return LocalFileFailed(f"{path} is not as this program wrote it; mend it or move it away", local=str(path))


def _write_list(path: Path, lines: list[dict[str, Any]]) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(lines, file, indent=1)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise local_failure(path, error) from error
