"""Where a supernode keeps what must not be lost with its state."""

from __future__ import annotations

from pathlib import Path

from fluffy.apps.settings import SupernodeSettings

OPERATOR_NAME = "operator.token"


def keep_folder(supernode: SupernodeSettings) -> Path:
    """Beside the state folder: what must not be lost with it."""
    return supernode.dir.with_name(supernode.dir.name + ".keep")
