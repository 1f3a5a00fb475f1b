"""Floor 6: the SDK, and above it the shell (REPL and one-shot commands).

`from fluffy import Fluffy, AsyncFluffy` is the same as importing them from here.
"""

from fluffy.client.api import AsyncFluffy
from fluffy.client.sync import Fluffy

__all__ = ["AsyncFluffy", "Fluffy"]
