"""Floor 6: the SDK, and above it the shell (REPL and one-shot commands).

`from fluffy import Fluffy, AsyncFluffy` is the same as importing them from here. They are loaded when they are first
asked for: what finds a token or shows a help needs no HTTP client.
"""

from fluffy.base.later import found_later

__all__ = ["AsyncFluffy", "Fluffy", "SyncLock"]

__getattr__ = found_later(__name__, {
    "AsyncFluffy": "fluffy.client.api", "Fluffy": "fluffy.client.sync", "SyncLock": "fluffy.client.sync_lock"})
