"""Every bound of the data port, with its reason."""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.units import MIB

# A handshake is three small messages; whoever needs longer on a working network is not a node.
HANDSHAKE_S = 5.0
# Strangers may hold this many sockets, no more: nodes that start together need a few each.
UNAUTHENTICATED_MAX = 64
# Seven voters and as many storage nodes, each with its gateways, its keeper and two connections.
CONNECTIONS_MAX = 256
# Requests of one connection in work at once; enough to fill a disk's queue from one peer.
REQUESTS_PER_CONNECTION_MAX = 16
# Chunks of one connection held in memory at once, so that one peer cannot take the whole pool.
PAYLOADS_PER_CONNECTION_MAX = 4
# Reads of one connection held in memory or open at once, for the same reason.
READS_PER_CONNECTION_MAX = 8
# A connection without a request for this long is closed; the client makes a new one when it needs it.
IDLE_S = 120.0
# A frame that began must end: a second per MiB announced on top of this. Slow-loris peers hold memory no longer.
FRAME_S = 15.0
FRAME_S_PER_MIB = 1.0
# An answer must be taken: if not one byte could be sent for this long, the peer is gone or does not read.
SEND_STALL_S = 20.0
# How long a put waits for memory before it is told Overloaded; shorter than any client's patience.
BUFFER_WAIT_S = 5.0
# How long background work waits at this node's gate before it is told Overloaded: less than any keeper's patience.
BACKGROUND_WAIT_S = 8.0
SWEEP_EVERY_S = 1.0
# Below this, an answer is read into plain memory of its own: a pooled buffer would be wasted on it.
SMALL_READ_BYTES_MAX = MIB // 4
# Work in progress may end this long after the server was told to stop.
DRAIN_S = 5.0

# Client side.
CONNECT_S = 2.0
# A dial that was given up by its caller after this long counts as failed.
DIAL_SLOW_S = 0.5
# Two connections: a long answer does not hold up the other; more gain nothing on one path.
CONNECTIONS_PER_PEER = 2
# After a failure the peer is not asked for this long, doubled on each further one: a dead node costs nothing.
BACK_OFF_S_FIRST = 0.5
BACK_OFF_S_MAX = 2.0
# A connection on which nothing at all arrived for this long, although something was asked, is dead. Longer than a
# disk's worst flush, shorter than a user's patience.
SILENCE_S = 6.0

invariant(PAYLOADS_PER_CONNECTION_MAX <= REQUESTS_PER_CONNECTION_MAX, "a put is a request")
invariant(BUFFER_WAIT_S < FRAME_S, "a put that waits for memory is answered before its frame counts as stuck")
