"""Where a client's token comes from.

In this order: given by the caller, `FLUFFY_TOKEN`, the token files of the local cluster (made at genesis, readable by
their owner only; the composition names them), and `token` in the user's own configuration folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fluffy.base.errors import LocalFileFailed

TOKEN_VARIABLE = "FLUFFY_TOKEN"
PEERS_VARIABLE = "FLUFFY_PEERS"
# The door accepts no longer ones; more than that in a file is not a token.
TOKEN_CHARS_MAX = 512


def user_config_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/fluffy`, by default `~/.config/fluffy`."""
    base = environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path(environ.get("HOME", "~")).expanduser() / ".config") / "fluffy"


def user_state_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/fluffy`, by default `~/.local/state/fluffy`: what a machine remembers, and could do without."""
    base = environ.get("XDG_STATE_HOME", "")
    home = Path(environ.get("HOME", "~")).expanduser()
    return (Path(base) if os.path.isabs(base) else home / ".local" / "state") / "fluffy"


def find_token(given: str | None, environ: Mapping[str, str], files: Iterable[Path]) -> str | None:
    """The first token found; None when there is none anywhere.

    Raises LocalFileFailed for a token that cannot be one, and when the only token files there are cannot be read.
    """
    unreadable: LocalFileFailed | None = None
    if given:
        return check_token(given, "the token given")
    if environ.get(TOKEN_VARIABLE):
        return check_token(environ[TOKEN_VARIABLE], TOKEN_VARIABLE)
    for file in (*files, user_config_folder(environ) / "token"):
        try:
            text = file.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable = LocalFileFailed(f"the token in {file} cannot be read: {error.strerror}", local=str(file))
            continue
        if text.strip():
            return check_token(text, str(file))
    if unreadable is not None:
        raise unreadable
    return None


def check_token(text: str, where: str) -> str:
    """The token without blanks around it."""
    token = text.strip()
    if not token or len(token) > TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable() or " " in token:
        raise LocalFileFailed(f"{where} is not a token: one word of at most {TOKEN_CHARS_MAX} ASCII characters")
    return token
