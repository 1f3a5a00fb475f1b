"""The cluster's secret: 32 random bytes from which nodes derive the keys by which they know each other.

It is born once, by whichever process comes first, and is the same for all from then on. Written to a file of its own
name first and linked into place, so that no reader ever sees half of it and of two racing writers exactly one wins.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from fluffy.base.errors import ConfigIllegal

SECRET_ENV = "FLUFFY_CLUSTER_SECRET"
# The token that the admin of a cluster gets at its birth, for those who keep it elsewhere than in its file.
ADMIN_TOKEN_ENV = "FLUFFY_ADMIN_TOKEN"
ADMIN_TOKEN_CHARS_MIN = 24
ADMIN_TOKEN_CHARS_MAX = 512
SECRET_BYTES = 32
# The hex text, with room for a line end and a slip of the editor.
_SECRET_FILE_BYTES_MAX = 200


def given_admin_token() -> str | None:
    """The admin's token as the environment says it; None: it is in its file. Raises ConfigIllegal for a weak one."""
    token = os.environ.get(ADMIN_TOKEN_ENV, "").strip()
    if token and not (ADMIN_TOKEN_CHARS_MIN <= len(token) <= ADMIN_TOKEN_CHARS_MAX and token.isascii()
                      and token.isprintable() and " " not in token):
        raise ConfigIllegal(f"{ADMIN_TOKEN_ENV} is a token of {ADMIN_TOKEN_CHARS_MIN} to {ADMIN_TOKEN_CHARS_MAX} "
                            "characters without spaces, as made by: openssl rand -hex 32")
    return token or None


def read_secret(path: Path, *, create: bool) -> bytes:
    """The secret: from FLUFFY_CLUSTER_SECRET, else from the file, else (only if `create`) a new one, now in the file.

    Raises ConfigIllegal with what to do when it is missing, damaged, or readable by other users.
    """
    named = os.environ.get(SECRET_ENV)
    if named:
        return _decode(named, SECRET_ENV)
    if not path.exists():
        if not create:
            raise ConfigIllegal(f"the cluster secret {path} does not exist; copy it from a node that has it, or start "
                                f"a node of a new cluster with server.py, which makes it")
        write_private_once(path, secrets.token_hex(SECRET_BYTES) + "\n")
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_SECRET_FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError as error:
        raise ConfigIllegal(f"the cluster secret {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o007:
        raise ConfigIllegal(f"the cluster secret {path} may be read by every user of this machine; "
                            f"change that with: chmod 600 {path}")
    return _decode(text, str(path))


def write_private_once(path: Path, text: str) -> bool:
    """Durably make `path` with mode 0600 and this text, whole or not at all. False: another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(text: str, where: str) -> bytes:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigIllegal(f"{where} does not hold a cluster secret: {2 * SECRET_BYTES} hex digits, as made by: "
                            f"openssl rand -hex {SECRET_BYTES}")
    return secret
