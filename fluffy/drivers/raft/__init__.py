"""PySyncObj, hardened: journal, transport, node and checkpoints (docs/RAFT.md)."""
