"""Bringing a tree back into an empty cluster: from a backup, or from what the nodes' disks still hold.

Both ways make a *work file* on this machine, a state as the cluster is to have it, and send that step by step
(`sending`). From a backup it is a copy (`workfile`); from storage it is made of the nodes' manifests (`pile`,
`salvage`).
"""

from fluffy.base.later import found_later

__all__ = ["OnProgress", "Rebuilder", "Restored", "abandon", "restore_backup", "restore_from_storage"]

# A client is a client of a running cluster nearly always.
__getattr__ = found_later(__name__, {
    "OnProgress": "fluffy.client.rebuild.sending", "Rebuilder": "fluffy.client.verbs.disaster_steps",
    **dict.fromkeys(("Restored", "abandon", "restore_backup", "restore_from_storage"),
                    "fluffy.client.rebuild.restore")})
