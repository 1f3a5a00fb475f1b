"""Every bound of an HTTP connection, with its reason. All hold before a credential is looked at (promise P9)."""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.units import KIB, MIB

# 64 busy clients on each of a dozen applications. An idle connection costs about 10 KiB.
CONNECTIONS_MAX = 1024
# A path of 1,024 bytes, every one percent-encoded, is 3,072; search text and an absolute target need room too.
TARGET_BYTES_MAX = 8 * KIB
# User metadata of 8 KiB, a token, and what proxies add.
HEAD_BYTES_MAX = 64 * KIB
HEADERS_MAX = 100
# Requests of one connection that were parsed and wait for their turn.
PIPELINE_MAX = 8
# Bytes are parsed in steps of this, so that one packet full of tiny requests cannot queue thousands.
PARSE_STEP_BYTES = 4 * KIB
# What a chunked body may carry beside its bytes: chunk heads (six bytes for one byte at worst) and trailers.
CHUNK_OVERHEAD_BYTES_MAX = 64 * KIB
CHUNK_OVERHEAD_FACTOR = 8
# Parsed body bytes that nobody has asked for yet; then the socket is left unread.
BODY_BUFFER_BYTES = 256 * KIB
# Where at least this much of a body is still to come, the socket is read straight into the receiver's memory.
DIRECT_BYTES_MIN = 64 * KIB
# A client that has not sent its whole head by then is not a client.
HEAD_TIMEOUT_S = 10.0
# In any such span a body must bring, and an answer must get rid of, at least STALL_BYTES_MIN.
STALL_TIMEOUT_S = 20.0
STALL_BYTES_MIN = 4 * KIB
# Longer than a pooling client keeps a connection, so that it is the client who closes.
IDLE_TIMEOUT_S = 75.0
# After a refusal the rest of the body is read and thrown away for a while: a client that sends first and listens then
# sees the answer instead of a reset.
LINGER_TOTAL_S = 30.0
LINGER_IDLE_S = 3.0
SWEEP_EVERY_S = 1.0
# Write in one piece with the head below this, to save a system call.
JOINED_WRITE_BYTES_MAX = 64 * KIB
WRITE_PIECE_BYTES = 4 * MIB
invariant(PARSE_STEP_BYTES < HEAD_BYTES_MAX, "a head may take several steps")
invariant(TARGET_BYTES_MAX < HEAD_BYTES_MAX, "the target is a part of the head")
invariant(SWEEP_EVERY_S * 2 < LINGER_IDLE_S, "the sweep sees every deadline in time")
