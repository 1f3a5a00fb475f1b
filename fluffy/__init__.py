"""Fluffy: a masterless, replicated file store.

The rooms, from the ground up (a room imports only rooms below it, `tests/test_architecture.py`):
base, core, wire, ports, services, drivers and sim, gateways and client, apps. See `docs/ARCHITECTURE.md`.
"""

__version__ = "0.1.0"
