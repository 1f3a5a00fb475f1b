"""Fluffy: a masterless, replicated file store.

The rooms, from the ground up (a room imports only rooms below it, `tests/test_architecture.py`):
base, core, wire, ports, services, drivers and sim, gateways and client, apps. See `docs/ARCHITECTURE.md`.

`from fluffy import Fluffy, AsyncFluffy` is the SDK. It is loaded when it is first asked for: every process of ours
imports this package, and a log process needs no HTTP client. (`__init__.pyi` tells type checkers.)
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["AsyncFluffy", "Fluffy", "__version__"]


def __getattr__(name: str) -> object:
    if name in ("AsyncFluffy", "Fluffy"):
        return getattr(import_module("fluffy.client"), name)
    raise AttributeError(f"module 'fluffy' has no attribute {name!r}")
