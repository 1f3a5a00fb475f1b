"""Bringing a tree back into an empty cluster: from a backup, or from what the nodes' disks still hold.

Both ways make a *work file* on this machine, a state as the cluster is to have it, and send that step by step
(`sending`). From a backup it is a copy (`workfile`); from storage it is made of the nodes' manifests (`pile`,
`salvage`).
"""
