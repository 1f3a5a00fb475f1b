"""How two nodes prove to each other that they know the cluster secret, before a byte is decoded.

    acceptor -> dialer    MAGIC | nonce_a (32)
    dialer -> acceptor    MAGIC | nonce_d (32) | u16le length | identity | mac (32)
    acceptor -> dialer    u16le length | identity | mac (32)

The mac is keyed BLAKE3 over a role word, both nonces and the identity; its key is HKDF-SHA256 of the cluster secret for
one purpose (`raft`, `data`), so a transcript of one port says nothing to the other. An identity (msgpack) is decoded
only after its mac held. Fresh nonces from both sides make replays worthless. Sans-IO: bytes in, bytes out; the caller
owns the socket and the deadline.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgpack
from blake3 import blake3
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fluffy.base.errors import FrameCorrupt

MAGIC = b"FLUFFY\x00\x01"
NONCE_BYTES = 32
MAC_BYTES = 32
# A name, a UUID and a UUID, with room for what later versions add.
IDENTITY_BYTES_MAX = 512
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who a node says it is. `cluster_uuid` is empty before the cluster is born."""

    name: str
    disk_uuid: str
    cluster_uuid: str


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose, from the cluster secret."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fluffy/" + purpose.encode()).derive(secret)


class Handshake:
    """One side of one handshake. Feed received bytes to `receive`, send what it returns; then read `peer` and the keys.

    Raises FrameCorrupt for anything that is not the next expected message: close the connection then. After `done`,
    `leftover` holds bytes that already belong to what follows.
    """

    def __init__(self, role: Literal["dial", "accept"], key: bytes, identity: PeerIdentity,
                 random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._role = role
        self._key = key
        self._identity = _encode_identity(identity)
        self._nonce = random_bytes(NONCE_BYTES)
        self._peer_nonce = b""
        self._buffer = bytearray()
        self._challenged = False
        self.done = False
        self.peer: PeerIdentity | None = None
        self.leftover = b""

    def start(self) -> bytes:
        """What to send as soon as the connection is up: the acceptor's challenge; nothing for the dialer."""
        return MAGIC + self._nonce if self._role == "accept" else b""

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take bytes from the peer; returns bytes to send (maybe empty)."""
        self._buffer += data
        if self._role == "accept":
            return self._take_dialer_proof()
        if not self._challenged:
            return self._take_challenge()
        self._take_acceptor_proof()
        return b""

    @property
    def send_key(self) -> bytes:
        """Key for what this side sends after the handshake."""
        return self._session_key(self._role)

    @property
    def receive_key(self) -> bytes:
        return self._session_key("dial" if self._role == "accept" else "accept")

    def _take_challenge(self) -> bytes:
        head = len(MAGIC) + NONCE_BYTES
        self._check_magic()
        if len(self._buffer) < head:
            return b""
        self._peer_nonce = bytes(self._buffer[len(MAGIC):head])
        del self._buffer[:head]
        self._challenged = True
        return MAGIC + self._nonce + self._proof("dial", self._identity)

    def _take_dialer_proof(self) -> bytes:
        head = len(MAGIC) + NONCE_BYTES
        self._check_magic()
        if len(self._buffer) < head:
            return b""
        self._peer_nonce = bytes(self._buffer[len(MAGIC):head])
        if not self._take_proof("dial", head):
            return b""
        return self._proof("accept", self._identity)

    def _take_acceptor_proof(self) -> None:
        self._take_proof("accept", 0)

    def _take_proof(self, role: str, start: int) -> bool:
        """Check and decode `length | identity | mac` at `start` of the buffer; False when it is not all there yet."""
        if len(self._buffer) < start + _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if length > IDENTITY_BYTES_MAX:
            raise FrameCorrupt("a handshake announced too long an identity")
        identity_at = start + _LENGTH.size
        end = identity_at + length + MAC_BYTES
        if len(self._buffer) < end:
            return False
        identity = bytes(self._buffer[identity_at:identity_at + length])
        mac = bytes(self._buffer[identity_at + length:end])
        if not hmac.compare_digest(mac, self._mac(role, identity)):
            raise FrameCorrupt("a peer does not know this cluster's secret")
        self.peer = _decode_identity(identity)
        self.leftover = bytes(self._buffer[end:])
        self._buffer.clear()
        self.done = True
        return True

    def _check_magic(self) -> None:
        if bytes(self._buffer[:len(MAGIC)]) != MAGIC[:len(self._buffer)]:
            raise FrameCorrupt("a connection did not start as a Fluffy node's does")

    def _proof(self, role: str, identity: bytes) -> bytes:
        return _LENGTH.pack(len(identity)) + identity + self._mac(role, identity)

    def _mac(self, role: str, identity: bytes) -> bytes:
        first, second = self._nonces()
        return blake3(b"proof/" + role.encode() + first + second + identity, key=self._key).digest()

    def _session_key(self, role: str) -> bytes:
        first, second = self._nonces()
        return blake3(b"session/" + role.encode() + first + second, key=self._key).digest()

    def _nonces(self) -> tuple[bytes, bytes]:
        """(acceptor's, dialer's), the same order on both sides."""
        return (self._nonce, self._peer_nonce) if self._role == "accept" else (self._peer_nonce, self._nonce)


def _encode_identity(identity: PeerIdentity) -> bytes:
    packed: bytes = msgpack.packb([identity.name, identity.disk_uuid, identity.cluster_uuid])
    if len(packed) > IDENTITY_BYTES_MAX:
        raise ValueError("the node name is too long")
    return packed


def _decode_identity(data: bytes) -> PeerIdentity:
    try:
        values = msgpack.unpackb(data, raw=False, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameCorrupt("a peer's identity is not readable") from error
    if not isinstance(values, list) or len(values) < 3 or not all(isinstance(value, str) for value in values[:3]):
        raise FrameCorrupt("a peer's identity is not readable")
    return PeerIdentity(values[0], values[1], values[2])
