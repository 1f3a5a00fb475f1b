"""For every test."""

from __future__ import annotations

import signal

# A run in the background of a shell script is born deaf to Ctrl-C, and so would be all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
